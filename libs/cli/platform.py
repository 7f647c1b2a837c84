"""`lr platform …`: starts, stops and shows the platform on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from libs.cli import platform_start, platform_view, screen
from libs.cli.platform_start import Supervisor
from libs.cli.session import Json
from libs.embedded import record, status
from libs.embedded.home import Home
from libs.embedded.record import Record
from libs.embedded.settings import SERVICES, Settings
from libs.kernel.errors import Conflict, Denied, Invalid, NotFound, Unavailable

app = App(name="platform", help="Start, stop and look after the platform on this machine.")
app.command("libs.cli.platform_stack:app", name="stack")
app.command("libs.cli.platform_facts:trace", name="trace", help="Print what happened to one deployment.")
app.command("libs.cli.platform_collect:collect", name="collect", help="Remove what nobody needs any more.")
app.command("libs.cli.platform_facts:deadletters", name="deadletters", help="Facts that a service could not react to.")
_LOOK_SECONDS = 0.2


@app.command
def up(
    *,
    detach: Annotated[bool, Parameter(name=["--detach", "-d"], negative="")] = False,
    topology: str | None = None,
    as_json: Json = False,
) -> int:
    """Start the platform; return when it is ready (--detach), else stay until Ctrl-C stops it.

    Parameters
    ----------
    detach
        Leave it running in the background.
    topology
        "all": every service in one process (default). "split": each in its own.
    """
    launched: list[Supervisor] = []
    with _machine():
        wanted = platform_start.configured(topology)
        try:
            return _up(wanted, launched, detach=detach, topology=topology, as_json=as_json)
        except KeyboardInterrupt:
            _leave(Home(wanted.home), launched, detach=detach)
            raise


def _leave(home: Home, launched: list[Supervisor], *, detach: bool) -> None:
    """Stops what this call launched, unless it was to run in the background; says what goes on."""
    if launched and not detach:
        screen.note("\nStopping what was started.")
        platform_start.end(launched[0])
        screen.note("Stopped.")
    elif launched or record.running(home):
        screen.note("\nThe platform goes on by itself. Look: lr platform status")
    else:
        screen.note("\nNothing was started.")


def _up(wanted: Settings, launched: list[Supervisor], *, detach: bool, topology: str | None, as_json: bool) -> int:
    """Starts the platform; puts the supervisor into `launched` as soon as there is a new one."""
    began = time.monotonic()
    ready, is_new = platform_start.start(wanted, _quiet if as_json else screen.say, launched)
    took = time.monotonic() - began
    if (topology or os.environ.get("LIGHTRAIL_TOPOLOGY")) and ready.topology != wanted.topology:
        raise Conflict(
            f"The platform in {wanted.home} runs in topology {ready.topology}, not in {wanted.topology}.",
            hint="To change it, stop it first: lr platform down",
        )
    setup = platform_start.setup_url(ready, wanted)
    if as_json:
        screen.emit({**_summary(wanted), "started": is_new, "seconds": round(took, 3), "setup_url": setup})
    else:
        platform_view.announce(status.look(wanted), is_new=is_new, seconds=took, setup_url=setup)
    return 0 if detach or not is_new else _stay(Home(wanted.home), ready, as_json=as_json)


@app.command
def down(*, as_json: Json = False) -> int:
    """Stop the platform. Applications go on; they are adopted when it starts again."""
    with _machine():
        wanted = platform_start.configured(None)
        began = time.monotonic()
        stopped = platform_start.stop(wanted, _quiet if as_json else screen.say)
        if as_json:
            screen.emit({"stopped": stopped, "seconds": round(time.monotonic() - began, 3), "home": str(wanted.home)})
        elif stopped:
            screen.say(
                f"Stopped in {time.monotonic() - began:.2f} s. Applications go on; the data stays in {wanted.home}."
            )
        else:
            screen.say("It is not running.")
        return 0


@app.command(name="status")
def show_status(*, as_json: Json = False) -> int:
    """Show every part of the platform; exit code 0 when all of them run."""
    with _machine():
        now = status.look(platform_start.configured(None))
        if as_json:
            screen.emit(asdict(now))
        else:
            platform_view.show(now)
        return 0 if now.is_well else 1


@app.command
def logs(
    part: str = "platform",
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    lines: Annotated[int, Parameter(name=["--lines", "-n"])] = 100,
    as_json: Json = False,
) -> int:
    """Print what a part of the platform wrote.

    Parameters
    ----------
    part
        postgres, nats, envoy, a service, or platform (the supervisor). Services of one process share one log.
    follow
        Go on with what it writes from now on.
    lines
        How many lines of the past.
    """
    with _machine():
        wanted = platform_start.configured(None)
        log = _log_of(part, Home(wanted.home))
        for line in platform_view.lines_of(log, lines, follow=follow):
            if as_json:
                screen.emit_line({"part": log.stem, "line": line})
            else:
                screen.say(line)
        return 0


@app.command
def reset(*, yes: Annotated[bool, Parameter(negative="")] = False, as_json: Json = False) -> int:
    """Stop the platform and delete everything it has: accounts, applications, data.

    Parameters
    ----------
    yes
        Do not ask.
    """
    with _machine():
        wanted = platform_start.configured(None)
        question = f"Delete the platform in {wanted.home} with all applications and their data?"
        if not yes and not (screen.can_ask() and screen.agreed(question, otherwise=False)):
            raise Invalid("Nothing was deleted.", hint="Add --yes to delete without being asked.")
        deleted = platform_start.reset(wanted, _quiet if as_json else screen.say)
        if as_json:
            screen.emit({"deleted": deleted, "home": str(wanted.home)})
        elif not deleted:
            screen.say(f"There is no platform in {wanted.home}.")
        return 0


def _stay(home: Home, ready: Record, *, as_json: bool) -> int:
    """Waits with the platform in the foreground: a signal stops it, and its end is ours."""
    if not as_json:
        screen.note("Ctrl-C stops it.")
    descriptor = ready.supervisor.attach()
    if descriptor is None:
        return 1

    def pass_on(number: int, _frame: object) -> None:
        signal.pidfd_send_signal(descriptor, number)

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    while ready.supervisor.alive:
        time.sleep(_LOOK_SECONDS)
    os.close(descriptor)
    last = record.load(home)
    return 0 if last and last.phase == "stopped" else 1


def _log_of(part: str, home: Home) -> Path:
    log = home.log("platform" if part == "supervisor" else part)
    if part in SERVICES and not log.exists():
        log = home.log("services")
    if not log.exists():
        known = ", ".join(sorted(path.stem for path in home.logs.glob("*.log"))) or "none yet"
        raise NotFound(f"There is no log of “{part}”.", hint=f"There are: {known}.")
    return log


def _summary(wanted: Settings) -> dict[str, Any]:
    now = status.look(wanted)
    keys = ("phase", "topology", "home", "url", "reachable_from_outside")
    return {key: value for key, value in asdict(now).items() if key in keys}


@contextmanager
def _machine() -> Iterator[None]:
    """Runs its body; what the machine refuses comes out as a sentence."""
    try:
        yield
    except BrokenPipeError:
        raise
    except PermissionError as error:
        if error.filename is None:
            raise Denied(f"The machine refuses: {error}.", hint="Act as the user who started it.") from error
        raise Denied(
            f"You may not use {error.filename}: the platform there belongs to another user.",
            hint="Act as that user, or set LIGHTRAIL_HOME to the directory of a platform of your own.",
        ) from error
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"The machine refuses: {error}.", hint="See: lr platform logs") from error


def _quiet(_line: str) -> None:
    """Says nothing: what is printed is one JSON value."""
