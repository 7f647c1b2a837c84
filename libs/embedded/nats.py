"""NATS with JetStream from the wheel: streams on disk, loopback only, one generated password."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.embedded import account, binaries, files, ports, probe
from libs.embedded.part import Spec, launch
from libs.kernel.secret import Secret
from libs.kernel.units import MIB

USER = "lightrail"
_MEMORY_STORE = 16 * MIB
_FILE_STORE = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Server:
    """One NATS server: its room, port, password file and log."""

    room: Path
    port: int
    password_file: Path
    log: Path
    die_with_starter: bool = False

    @property
    def url(self) -> Secret[str]:
        """Where clients connect, with the password."""
        return Secret(f"nats://{USER}:{self._password()}@{ports.LOOPBACK}:{self.port}")

    def prepare(self) -> None:
        """Makes the room, the password (once) and the configuration. Blocking."""
        owner = account.unprivileged()
        files.make_room(self.room, mode=0o711)
        store = self.room / "jetstream"
        files.make_room(store, mode=0o700)
        files.make_room(self.password_file.parent)
        if not self.password_file.exists():
            files.write_private(self.password_file, secrets.token_urlsafe(32))
        files.write_private(self._configuration_file, self._configuration())
        if owner:
            owner.own(store)
            owner.own(self._configuration_file)

    def spec(self) -> Spec:
        """How to run it; `prepare` comes first."""
        program = binaries.nats_server()
        return Spec(
            name="nats",
            argv=(str(program), "--config", str(self._configuration_file)),
            # Go keeps within these rather than growing to the machine's size.
            env={"GOMEMLIMIT": "64MiB", "GOMAXPROCS": "2", "TZ": "UTC"},
            log=self.log,
            port=self.port,
            ready=lambda: probe.nats_accepts(ports.LOOPBACK, self.port),
            account=account.unprivileged(),
            reach=(program, self.room),
            configuration=self._configuration(),
            die_with_starter=self.die_with_starter,
        )

    @property
    def _configuration_file(self) -> Path:
        return self.room / "nats.json"

    def _password(self) -> str:
        return self.password_file.read_text().strip()

    def _configuration(self) -> str:
        # NATS reads JSON as a subset of its own language.
        return json.dumps(
            {
                "server_name": "lightrail",
                "listen": f"{ports.LOOPBACK}:{self.port}",
                "max_payload": MIB,
                "jetstream": {
                    "store_dir": str(self.room / "jetstream"),
                    "max_memory_store": _MEMORY_STORE,
                    "max_file_store": _FILE_STORE,
                },
                "authorization": {"user": USER, "password": self._password()},
            },
            indent=1,
        )


@dataclass(frozen=True, slots=True)
class RunningNats:
    """A NATS server that answers; its URL carries the password."""

    url: str
    port: int
    process: subprocess.Popen[bytes]


@asynccontextmanager
async def running(data_dir: Path, port: int = 0) -> AsyncIterator[RunningNats]:
    """Runs a NATS server in `data_dir` (streams kept for the next one) on `port`, 0: any; stops it at the end.

    It dies with the process that runs it.
    """
    from libs.embedded import trial  # noqa: PLC0415 - it loads asyncio, which the supervisor must not carry

    server = Server(
        room=data_dir,
        port=port or ports.free_port(),
        password_file=data_dir / "nats.password",
        log=data_dir / "nats.log",
        die_with_starter=True,
    )
    server.prepare()
    async with trial.running(server.spec(), launch) as process:
        yield RunningNats(server.url.reveal(), server.port, process)
