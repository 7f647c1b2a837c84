"""The registry that images are pushed to."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from libs.kernel.secret import Secret

LOGINS: Final = "config.json"


@dataclass(frozen=True, slots=True)
class Registry:
    """Where images go: `address` is host[:port][/path]."""

    address: str
    username: str = ""
    password: Secret[str] | None = None
    # Spoken to without TLS, or with a certificate nobody knows.
    insecure: bool = False

    def name(self, repository: str, tag: str) -> str:
        """What an image is called there."""
        return f"{self.address.rstrip('/')}/{repository}:{tag}"

    @property
    def host(self) -> str:
        """host[:port] alone."""
        return self.address.split("/", maxsplit=1)[0]

    @property
    def secrets(self) -> frozenset[str]:
        """Values that no log may show."""
        return frozenset({self.password.reveal()} if self.password else ())

    @contextmanager
    def credentials(self) -> Iterator[Path]:
        """A folder whose config.json lets an engine's program in; it is gone afterwards."""
        with TemporaryDirectory(prefix="lightrail-registry-") as folder:
            auths = {}
            if self.password:
                pair = f"{self.username}:{self.password.reveal()}".encode()
                auths[self.host] = {"auth": base64.b64encode(pair).decode()}
            file = Path(folder) / LOGINS
            file.touch(mode=0o600)
            file.write_text(json.dumps({"auths": auths}), encoding="utf-8")
            yield Path(folder)


def lay_logins(folder: Path, plugins: Path) -> None:
    """The folder from which builds log in to registries: what the operator puts into its config.json, at first nothing.

    Not the user's own, whom the platform runs as: what that user may read, everybody's builds could. `plugins` is where
    this user's plugins of docker's program lie, which that folder would have as well. Blocks.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / LOGINS
    # Empty: who was writing it died. The programs take that for damage, and build nothing.
    if not file.exists() or file.stat().st_size == 0:
        file.write_text("{}\n", encoding="ascii")
    if plugins.is_dir():
        with suppress(FileExistsError):
            (folder / plugins.name).symlink_to(plugins)
