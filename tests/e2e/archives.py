"""Source archives, good and hostile, as bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

MEGABYTE = 1024 * 1024


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Writes a gzipped tar of these members, whatever they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def file(name: str, content: bytes = b"hello\n") -> tuple[tarfile.TarInfo, bytes]:
    """A plain file."""
    return tarfile.TarInfo(name), content


def special(name: str, kind: bytes, *, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    """A member that is no file: a link, a device, a pipe."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.devmajor, info.devminor = 1, 8
    return info, b""


def honest() -> bytes:
    """A site that can be deployed."""
    return tar_of(file("index.html", b"<!doctype html><title>ok</title>ok\n"))


HOSTILE = {
    "parent": lambda: tar_of(file("../escaped.txt")),
    "parent-inside": lambda: tar_of(file("site/../../escaped.txt")),
    "absolute": lambda: tar_of(file("/etc/escaped.txt")),
    "symlink-outside": lambda: tar_of(special("link", tarfile.SYMTYPE, link="/etc"), file("link/escaped.txt")),
    "symlink-up": lambda: tar_of(special("link", tarfile.SYMTYPE, link="../../etc/passwd")),
    "hardlink-outside": lambda: tar_of(special("link", tarfile.LNKTYPE, link="../../etc/passwd")),
    "device": lambda: tar_of(special("random", tarfile.CHRTYPE)),
    "pipe": lambda: tar_of(special("pipe", tarfile.FIFOTYPE)),
    "not-an-archive": lambda: b"this is no archive at all\n" * 100,
    "cut-short": lambda: honest()[:-40],
}


def bomb(gigabytes: int) -> bytes:
    """One file of zeros, that many gigabytes large, in some megabytes of gzip."""
    info = tarfile.TarInfo("zeros")
    info.size = gigabytes * 1024 * MEGABYTE
    block = gzip.compress(bytes(64 * MEGABYTE), compresslevel=9)
    return gzip.compress(info.tobuf()) + block * (gigabytes * 16)


def flood(megabytes: int) -> Iterator[bytes]:
    """That many megabytes that cannot be compressed away, in pieces."""
    piece = bytes(range(256)) * (MEGABYTE // 256)
    for _ in range(megabytes):
        yield piece


def escaped(home: Path) -> list[Path]:
    """Gives the files that a hostile archive managed to write: on the machine, or anywhere in the platform's data."""
    places = [Path("/etc"), Path("/tmp"), Path("/")]  # noqa: S108 - looked at, never written to
    outside = [place / "escaped.txt" for place in places if (place / "escaped.txt").exists()]
    return [*outside, *home.rglob("escaped.txt")]
