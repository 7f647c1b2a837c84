"""PostgreSQL from the wheel: one cluster in one directory, loopback only, its superuser's password generated."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from libs.embedded import account, binaries, files, ports, probe, processes
from libs.embedded.part import Spec, launch, run_once
from libs.kernel.errors import Unavailable
from libs.kernel.secret import Secret

SUPERUSER = "postgres"
_INITDB_SECONDS = 120.0
_VERSION = "18"
# Fast shutdown: sessions end, everything is written; then immediate, which recovers at the next start.
_STOP = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
# Small on purpose: this is one machine's bookkeeping, not a warehouse.
_SETTINGS = {
    "shared_buffers": "32MB",
    "max_connections": "80",
    "superuser_reserved_connections": "3",
    "work_mem": "2MB",
    "maintenance_work_mem": "16MB",
    "temp_buffers": "1MB",
    "jit": "off",
    "io_method": "sync",
    "huge_pages": "off",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_buffers": "1MB",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "autovacuum_worker_slots": "2",
    "checkpoint_timeout": "10min",
    "bgwriter_delay": "1s",
    "wal_writer_delay": "1s",
    "log_checkpoints": "off",
    # After a crash: one call for the whole file system rather than one for each of some thousand files.
    "recovery_init_sync_method": "syncfs",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60s",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One PostgreSQL: its room (everything it writes is in it), port, superuser's password file and log."""

    room: Path
    port: int
    password_file: Path
    log: Path
    # False only in tests: a power failure may then cost the data.
    durable: bool = True
    die_with_starter: bool = False

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.room / "data"

    def dsn(self, database: str = "postgres") -> Secret[str]:
        """The superuser's DSN."""
        password = self.password_file.read_text().strip()
        return Secret(f"postgresql://{SUPERUSER}:{password}@{ports.LOOPBACK}:{self.port}/{database}")

    def prepare(self) -> None:
        """Makes the cluster when there is none, and removes what a crashed run left in the way. Blocking, ~0.6 s.

        Unavailable when initdb fails or the data was written by another major version.
        """
        files.make_room(self.room, mode=0o711)
        if self.data.exists():
            found = (self.data / "PG_VERSION").read_text().strip()
            if found != _VERSION:
                raise Unavailable(
                    f"The database in {self.data} was written by PostgreSQL {found}; this is PostgreSQL {_VERSION}.",
                    hint="Set LIGHTRAIL_HOME to another directory, or upgrade the data first.",
                )
        else:
            self._initialize()
        self._end_orphan()

    def spec(self) -> Spec:
        """How to run it."""
        settings = {
            **_SETTINGS,
            "listen_addresses": ports.LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        home = binaries.postgres()
        return Spec(
            name="postgres",
            argv=(str(home / "bin" / "postgres"), "-D", str(self.data), *options),
            env={"LANG": "C.UTF-8", "TZ": "UTC"},
            log=self.log,
            port=self.port,
            ready=lambda: probe.postgres_accepts(ports.LOOPBACK, self.port),
            account=account.unprivileged(),
            reach=(*_wheel(home), self.room),
            stop=_STOP,
            die_with_starter=self.die_with_starter,
            forks=True,
        )

    def _initialize(self) -> None:
        home, owner = binaries.postgres(), account.unprivileged()
        # Made aside and renamed, so that a start killed half-way begins afresh. It is not forced to disk: a power cut
        # in the first seconds of a platform's life costs a start from nothing; what is committed later is logged.
        fresh, note = self.room / "fresh", self.room / "superuser"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        files.make_room(self.password_file.parent)
        files.write_private(self.password_file, secrets.token_urlsafe(32))
        files.write_private(note, self.password_file.read_text())
        if owner:
            owner.own(fresh)
            owner.own(note)
        options = ["--no-sync", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "-U", SUPERUSER]
        code = run_once(
            Spec(
                name="initdb",
                argv=(str(home / "bin" / "initdb"), "-D", str(fresh), *options, f"--pwfile={note}"),
                env={"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
                log=self.log,
                port=0,
                ready=lambda: True,
                account=owner,
                reach=(*_wheel(home), self.room),
            ),
            timeout=_INITDB_SECONDS,
        )
        note.unlink()
        if code != 0:
            raise Unavailable(f"PostgreSQL's data could not be made.\n{files.tail(self.log)}")
        fresh.rename(self.data)

    def _end_orphan(self) -> None:
        """Ends a server of a crashed run that still uses this data; forgets a lock that another program's pid keeps."""
        lock = self.data / "postmaster.pid"
        try:
            found = processes.find(int(lock.read_text().split("\n", 1)[0]))
        except (FileNotFoundError, ValueError):
            return
        descriptor = found.attach() if found and _serves(found.pid, self.data) else None
        if descriptor is None:
            lock.unlink(missing_ok=True)
            return
        processes.end([(descriptor, _STOP)])
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class RunningPostgres:
    """A PostgreSQL that answers."""

    admin_dsn: Secret[str]
    host: str
    port: int
    process: subprocess.Popen[bytes]


@asynccontextmanager
async def running(data_dir: Path, port: int = 0, *, durable: bool = False) -> AsyncIterator[RunningPostgres]:
    """Runs a PostgreSQL in `data_dir` (data kept for the next one) on `port`, 0: any; stops it at the end.

    Fast by default, not durable: it is for tests. It dies with the process that runs it.
    """
    from libs.embedded import trial  # noqa: PLC0415 - it loads asyncio, which the supervisor must not carry

    cluster = Cluster(
        room=data_dir,
        port=port or ports.free_port(),
        password_file=data_dir / "superuser.password",
        log=data_dir / "postgres.log",
        durable=durable,
        die_with_starter=True,
    )
    cluster.prepare()
    async with trial.running(cluster.spec(), launch) as process:
        yield RunningPostgres(cluster.dsn(), ports.LOOPBACK, cluster.port, process)


def _wheel(home: Path) -> tuple[Path, ...]:
    """The wheel's folder, and the one beside it that auditwheel puts shared libraries into."""
    package = home.parent
    libraries = package.with_name(package.name + ".libs")
    return (package, libraries) if libraries.is_dir() else (package,)


def _serves(pid: int, data: Path) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        return (process / "cwd").readlink() == data.resolve() and (process / "comm").read_text() == "postgres\n"
    except OSError:
        return False
