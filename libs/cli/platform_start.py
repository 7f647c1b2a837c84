"""Starts a platform's supervisor and follows what it does; stops it; deletes a platform."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from libs.embedded import binaries, doors, files, probe, record, settings
from libs.embedded.home import Home
from libs.embedded.leftovers import Leftovers
from libs.embedded.plan import ROOT
from libs.embedded.record import Record
from libs.embedded.settings import Settings
from libs.kernel.errors import Conflict, Unavailable

_OLDEST = (3, 11)
_LOOK_SECONDS = 0.02
# A supervisor that says nothing for this long after its start is broken.
_FIRST_WORD_SECONDS = 30.0
# Services get 10 s, Envoy 10, NATS 10, PostgreSQL 20, and a kill 10 each.
_STOP_SECONDS = 120.0
Tell = Callable[[str], None]
Supervisor = subprocess.Popen[bytes]


def configured(topology: str | None) -> Settings:
    """Returns the settings of the environment, with the topology asked for."""
    found = settings.read(os.environ)
    return replace(found, topology=settings.parse_topology(topology)) if topology else found


def start(wanted: Settings, tell: Tell, launched: list[Supervisor] | None = None) -> tuple[Record, bool]:
    """Returns the record of a platform that is ready, and whether this call started it.

    The supervisor that this call starts is put into `launched` before it is waited for.
    Conflict when the port is taken or it runs on another, Unavailable with the last log lines when a part does not
    start, Exhausted or Invalid when the home cannot be used.
    """
    if sys.version_info < _OLDEST:
        raise Unavailable(f"This is Python {sys.version.split()[0]}; the platform needs 3.11 or newer.")
    home = Home(wanted.home)
    home.prepare()
    _require_programs(wanted)
    running = record.running(home)
    if running and running.phase == "stopping":
        tell("It is being stopped; waiting for that.")
        _wait_for_end(running)
        running = None
    if running:
        _require_same(running, wanted)
    if running and running.phase == "ready":
        return running, False
    if running:
        return _follow(home, running.pid, tell), False
    _require_sandbox()
    supervisor = _launch(wanted, home)
    if launched is not None:
        launched.append(supervisor)
    return _follow(home, supervisor.pid, tell, supervisor), True


def stop(wanted: Settings, tell: Tell) -> bool:
    """Stops the platform, applications excepted; False when nothing of it ran. Unavailable when it does not stop."""
    home = Home(wanted.home)
    running = record.running(home)
    if running:
        descriptor = running.supervisor.attach()
        if descriptor is not None:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            os.close(descriptor)
        _wait_for_end(running)
        for part in running.parts:
            if part.pid:
                tell(f"{part.name} stopped")
        return True
    if not home.state.exists():
        return False
    lock = home.lock()
    try:
        left = Leftovers(home)
        names = left.names
        left.end_services()
        left.end()
    finally:
        os.close(lock)
    for name in names:
        tell(f"{name} stopped, which a crashed supervisor had left")
    return bool(names)


def end(supervisor: Supervisor) -> None:
    """Stops the platform of a supervisor that this process launched. Unavailable when it does not stop."""
    supervisor.terminate()
    try:
        supervisor.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"The platform does not stop (supervisor {supervisor.pid}).", hint="See: lr platform logs platform"
        ) from None


def reset(wanted: Settings, tell: Tell) -> bool:
    """Stops the platform and its applications and deletes their data; False when there was none."""
    home = Home(wanted.home)
    if not home.path.exists():
        return False
    if not home.state.is_dir() or not home.keys.is_dir():
        raise Conflict(
            f"{home.path} does not look like a platform's directory: nothing is deleted.", hint="Check LIGHTRAIL_HOME."
        )
    from libs.cli import platform_applications  # noqa: PLC0415 - only this verb needs the sandbox
    from libs.sandbox.mounts import unmount_below  # noqa: PLC0415 - the same

    stop(wanted, tell)
    for application in platform_applications.end(home.path):
        tell(f"application process {application} ended")
    if (apart := doors.remembered(home.state / "doors")) is not None:
        shutil.rmtree(apart, ignore_errors=True)
    # A builder of images that was killed leaves its store mounted.
    unmount_below(home.path / "build" / "buildah")
    shutil.rmtree(home.path)
    tell(f"{home.path} deleted")
    return True


def setup_url(running: Record, wanted: Settings) -> str | None:
    """Returns the one-time URL of the first account; None when the platform has its first account."""
    home = Home(wanted.home)
    port = int(running.url.rpartition(":")[2])
    answer = probe.http_body(wanted.edge_address, port, "/api/v1/setup")
    try:
        claimed = bool(json.loads(answer)["claimed"])
    except (ValueError, KeyError, TypeError):
        claimed = not running.first
    if claimed or not home.setup_token.exists():
        return None
    return f"{running.url}/setup?token={home.setup_token.read_text().strip()}"


def _require_same(running: Record, wanted: Settings) -> None:
    """Raises Conflict for a platform that runs on another port: the other verbs would not find it."""
    port = running.url.rpartition(":")[2]
    if port != str(wanted.port):
        raise Conflict(
            f"The platform in {wanted.home} runs on port {port}, not on {wanted.port}.",
            hint=f"Use it with LIGHTRAIL_PORT={port}, or stop it first: lr platform down",
        )


def _require_programs(wanted: Settings) -> None:
    if not wanted.database_url:
        binaries.postgres()
    if not wanted.nats_url:
        binaries.nats_server()
    if not wanted.envoy_external:
        binaries.envoy()
    binaries.uv()


def _require_sandbox() -> None:
    """Tries what builds and applications run in; without it the services would only die one after the other."""
    import asyncio  # noqa: PLC0415 - only a start needs it

    from libs.sandbox import bwrap  # noqa: PLC0415 - the same

    asyncio.run(bwrap.find())


def _launch(wanted: Settings, home: Home) -> Supervisor:
    log = home.log("platform")
    files.rotate(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "libs.embedded.supervisor"],
            env={**os.environ, "LIGHTRAIL_HOME": str(wanted.home), "LIGHTRAIL_TOPOLOGY": wanted.topology},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            start_new_session=True,
        )


def _follow(home: Home, pid: int, tell: Tell, child: Supervisor | None = None) -> Record:
    """Returns the record once it says ready, telling of each part as it becomes so."""
    began = time.monotonic()
    told: set[str] = set()
    while True:
        now = record.load(home)
        if now is not None and now.pid == pid:
            for part in now.parts:
                if part.state in {"ready", "done"} and part.name not in told:
                    told.add(part.name)
                    tell(f"{part.name:<10} {_took(part.seconds)}")
            if now.phase == "ready":
                return now
            if now.phase in {"failed", "stopped", "stopping"} or not now.supervisor.alive:
                _wait_for_end(now)
                last = record.load(home) or now
                raise Unavailable(last.message or f"The platform ended.\n{files.tail(home.log('platform'))}")
        elif child is not None and child.poll() is not None:
            # It could not even take the lock: its last line is the sentence that says why.
            raise Unavailable(files.tail(home.log("platform"), lines=1))
        elif time.monotonic() - began > _FIRST_WORD_SECONDS:
            raise Unavailable(f"The supervisor says nothing.\n{files.tail(home.log('platform'))}")
        time.sleep(_LOOK_SECONDS)


def _took(seconds: float | None) -> str:
    return f"ready after {seconds:.2f} s" if seconds else "ready (was there)"


def _wait_for_end(running: Record) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while running.supervisor.alive:
        if time.monotonic() > deadline:
            raise Unavailable(
                f"The platform does not stop (supervisor {running.pid}).", hint="See: lr platform logs platform"
            )
        time.sleep(_LOOK_SECONDS)
