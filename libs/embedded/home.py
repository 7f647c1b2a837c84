"""The directory of one platform: which room is where, made with the right modes, and its lock."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from libs.embedded import files
from libs.kernel.errors import Conflict, Exhausted, Invalid
from libs.kernel.units import MIB, show_bytes

# A fresh PostgreSQL, JetStream and some logs; below it something would fail half-way.
LEAST_FREE = 128 * MIB


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below LIGHTRAIL_HOME that the supervisor owns."""

    path: Path

    @property
    def postgres(self) -> Path:
        """PostgreSQL's room."""
        return self.path / "postgres"

    @property
    def nats(self) -> Path:
        """NATS's room."""
        return self.path / "nats"

    @property
    def envoy(self) -> Path:
        """Envoy's room."""
        return self.path / "envoy"

    @property
    def logs(self) -> Path:
        """Logs of parts."""
        return self.path / "logs"

    @property
    def keys(self) -> Path:
        """Secrets, readable by the platform only."""
        return self.path / "keys"

    @property
    def state(self) -> Path:
        """What is running, for the next supervisor and for people."""
        return self.path / "state"

    @property
    def identity_key(self) -> Path:
        """The ES256 key that parts of the platform sign with (PEM)."""
        return self.keys / "identity.pem"

    @property
    def secrets_key(self) -> Path:
        """The key that encrypts variables: 32 bytes, base64."""
        return self.keys / "secrets.key"

    @property
    def provenance_key(self) -> Path:
        """The key that build signs artifacts' provenance with (PEM)."""
        return self.keys / "provenance.pem"

    @property
    def provenance_public_key(self) -> Path:
        """The half of it that everybody may have (PEM)."""
        return self.keys / "provenance.pub"

    @property
    def setup_token(self) -> Path:
        """The one-time token of the first account."""
        return self.keys / "setup.token"

    @property
    def edge_token(self) -> Path:
        """What the edge shows the gateway, so that it is believed where a request came from."""
        return self.keys / "edge.token"

    @property
    def database_passwords(self) -> Path:
        """Passwords of the services' database roles: JSON, role -> password."""
        return self.keys / "database.json"

    def log(self, part: str) -> Path:
        """The log of a part."""
        return self.logs / f"{part}.log"

    def prepare(self) -> None:
        """Makes the rooms. Invalid when they cannot be written, Exhausted when the disk is full, each as a sentence."""
        other = "Set LIGHTRAIL_HOME to another directory."
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Accounts of applications walk through it; they see no names and open nothing that is not theirs.
            self.path.chmod(0o711)
            for private in (self.logs, self.keys, self.state):
                files.make_room(private, mode=0o700)
            trial = self.state / ".trial"
            trial.write_bytes(b"written")
            trial.unlink()
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise Exhausted(f"The disk of {self.path} is full.", hint=f"Free some space. {other}") from error
            why = error.strerror or str(error)
            raise Invalid(f"The platform cannot write to its directory {self.path}: {why}.", hint=other) from error
        free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE:
            raise Exhausted(
                f"Only {show_bytes(free)} are free on the disk of {self.path}; the platform needs "
                f"{show_bytes(LEAST_FREE)} to start.",
                hint=f"Free some space. {other}",
            )

    def lock(self) -> int:
        """Takes the right to run this platform, until the descriptor is closed. Conflict when another has it."""
        descriptor = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise Conflict(f"The platform in {self.path} is already running.", hint="See: lr platform status") from None
        return descriptor
