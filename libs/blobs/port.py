"""The port: bytes kept under the sha256 of themselves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from libs.kernel.errors import Invalid

_DIGEST: Final = re.compile(r"^sha256:[0-9a-f]{64}$")


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored blob: "sha256:<64 hex digits>" and its size in bytes."""

    digest: str
    size: int


class Writer(Protocol):
    """Takes a blob piece by piece; `blob` is set once its context ended well."""

    blob: Blob | None
    # Bytes taken so far, so that a caller can stop at its own limit by raising.
    size: int

    async def write(self, chunk: bytes) -> None:
        """Adds to the blob."""
        ...


class Blobs(Protocol):
    """Where blobs are. Whatever is stored stays as it was; the same bytes are stored once."""

    async def put_bytes(self, content: bytes) -> Blob:
        """Stores these bytes."""
        ...

    async def put_file(self, path: Path, *, move: bool = False) -> Blob:
        """Stores a file's bytes; with `move` the file itself may be taken away."""
        ...

    def writer(self) -> AbstractAsyncContextManager[Writer]:
        """Stores what is written inside the context; nothing is kept when the context ends in an error."""
        ...

    async def path(self, digest: str) -> Path:
        """A file with the blob's bytes, to be read only; NotFound when there is no such blob."""
        ...

    def open_read(self, digest: str) -> AsyncIterator[bytes]:
        """The blob's bytes in pieces; NotFound when there is no such blob."""
        ...

    async def exists(self, digest: str) -> bool:
        """Whether the blob is stored."""
        ...

    async def delete(self, digest: str) -> None:
        """Removes the blob; harmless when there is none."""
        ...

    async def list(self) -> Sequence[Blob]:
        """All blobs, in order of their digests."""
        ...


def hex_of(digest: str) -> str:
    """The hex digits of a digest; Invalid when it is none, so that a digest can never become a path elsewhere."""
    if not _DIGEST.match(digest):
        raise Invalid(f"“{digest[:100]}” is no digest; one reads sha256: and 64 hex digits.", field="digest")
    return digest.removeprefix("sha256:")
