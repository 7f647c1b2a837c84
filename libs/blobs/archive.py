"""The one hardened reader of archives, and the writer whose output depends on content alone.

All functions here block: call them in a thread.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

import zstandard

from libs.blobs.ledger import ArchiveLimits, Ledger, Place
from libs.blobs.tar import BLOCK, Entry, Read, entries
from libs.kernel.errors import Conflict, Exhausted, Invalid
from libs.kernel.units import show_bytes

__all__ = ["ArchiveLimits", "Packed", "Unpacked", "inspect", "pack", "unpack"]

_CHUNK: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_WINDOW: Final = 128 * 1024 * 1024  # bytes of memory a zstd stream may ask for
_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What an archive held: entries, and bytes of content."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed, and the archive's own digest and size."""

    files: int
    bytes: int
    digest: str
    size: int


class _Stream(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


class _Source:
    """The archive's file, hashed and counted as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._running = hashlib.sha256()
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._file.read(size)
        self._running.update(chunk)
        self.count += len(chunk)
        return chunk

    def digest(self) -> str:
        while self.read(_CHUNK):
            pass
        return f"sha256:{self._running.hexdigest()}"


def inspect(
    source: Path, limits: ArchiveLimits | None = None, *, foreign_links: bool = False, digest: str | None = None
) -> Unpacked:
    """Reads an archive to its end without writing anything; raises what `unpack` would."""
    return _read(
        source,
        Ledger(limits or ArchiveLimits(), foreign_links=foreign_links),
        digest,
        lambda _entry, _place, _target, _read: None,
    )


def unpack(
    source: Path,
    target: Path,
    *,
    limits: ArchiveLimits | None = None,
    foreign_links: bool = False,
    digest: str | None = None,
) -> Unpacked:
    """Unpacks a tar (plain, gzip or zstd) into `target`, which must be new or empty; on any error nothing is left.

    Files become 0644 or 0755, directories 0755; owners, times and special bits are dropped. Invalid says what is wrong
    with the archive: paths or links that leave it (with `foreign_links` such symbolic links are kept, and never
    followed), devices, too much of anything, damage, bytes that do not have this `digest`.
    """
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise Conflict(f"{target} is not empty; an archive is unpacked into an empty directory.")
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    tree = _Tree(root)
    try:
        return _read(source, Ledger(limits or ArchiveLimits(), foreign_links=foreign_links), digest, tree.put)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise Exhausted("The disk is full.", hint="Free space, then try again.") from error
        raise
    finally:
        tree.close()
        os.close(root)


Put = Callable[[Entry, Place, "Place | None", Read], None]


def _read(source: Path, ledger: Ledger, digest: str | None, put: Put) -> Unpacked:
    with source.open("rb") as file:
        raw = _Source(file)
        with _opened(raw, file) as stream:
            given = 0

            def read(size: int) -> bytes:
                nonlocal given
                chunk = stream.read(min(size, _CHUNK))
                given += len(chunk)
                ledger.check_ratio(raw.count, given)
                return chunk

            try:
                for entry, part in entries(read, ledger.tick):
                    place = ledger.take(entry)
                    hard = ledger.link_target(entry) if entry.kind == "hardlink" else None
                    put(entry, place, hard, part)
            except (zlib.error, gzip.BadGzipFile, EOFError, zstandard.ZstdError) as error:
                raise Invalid(f"The archive is damaged or cut short ({error}).", field="archive") from error
        ledger.finish()
        if digest is not None and raw.digest() != digest:
            raise Invalid(f"The archive is damaged: its bytes are not those of {digest}.", field="archive")
    return Unpacked(ledger.files, ledger.bytes)


@contextmanager
def _opened(raw: _Source, file: IO[bytes]) -> Iterator[_Stream]:
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        with gzip.GzipFile(fileobj=raw, mode="rb") as stream:  # type: ignore[call-overload]  # it only reads
            yield stream
    elif magic == _ZSTD:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        with reader.stream_reader(raw, read_across_frames=True, closefd=False) as stream:  # type: ignore[arg-type]
            yield stream
    else:
        yield raw


class _Tree:
    """Writes entries below an open directory, stepping through real directories only."""

    def __init__(self, root: int) -> None:
        self._root = root
        # The folder written to last: archives list a folder's files one after another.
        self._last: tuple[Place, int] = ((), os.dup(root))

    def close(self) -> None:
        os.close(self._last[1])

    def put(self, entry: Entry, place: Place, hard: Place | None, read: Read) -> None:
        if not place:
            return
        if self._last[0] != place[:-1]:
            folder = self._open(place[:-1])
            os.close(self._last[1])
            self._last = (place[:-1], folder)
        folder, name = self._last[1], place[-1]
        if entry.kind == "directory":
            _make_directory(name, folder)
            return
        _remove(name, folder)
        if hard is not None:
            self._link(hard, name, folder)
        elif entry.kind == "symlink":
            os.symlink(entry.link, name, dir_fd=folder)
        else:
            _write(name, folder, entry, read)

    def _link(self, hard: Place, name: bytes, folder: int) -> None:
        other = self._open(hard[:-1])
        try:
            os.link(hard[-1], name, src_dir_fd=other, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(other)

    def _open(self, place: Place) -> int:
        here = os.dup(self._root)
        for part in place:
            try:
                deeper = _enter(part, here)
            finally:
                os.close(here)
            here = deeper
        return here


def _enter(name: bytes, folder: int) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        _make_directory(name, folder)
        return os.open(name, flags, dir_fd=folder)


def _make_directory(name: bytes, folder: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return
    os.chmod(name, 0o755, dir_fd=folder)  # noqa: S103 - like every directory of an application


def _remove(name: bytes, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _write(name: bytes, folder: int, entry: Entry, read: Read) -> None:
    handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(handle, "wb", buffering=0) as file:
        while chunk := read(_CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
        os.fchmod(handle, 0o755 if entry.executable else 0o644)


def pack(
    directory: Path,
    out: Path,
    *,
    prefix: str = "",
    skip: Callable[[str], bool] | None = None,
    limits: ArchiveLimits | None = None,
) -> Packed:
    """Packs a directory as tar.zst: the same content gives the same bytes, whoever owned it and whenever it was made.

    Every name gets `prefix` ("app/") before it. `skip` is asked with each path below the directory ("a/b"), and a
    skipped directory is not entered. Links are packed as links; pipes, sockets and devices are left out. Invalid when
    it holds more than `limits`, Conflict when a file changes while it is read.
    """
    ledger = Ledger(limits or ArchiveLimits(), foreign_links=True)
    with out.open("wb") as file:
        with zstandard.ZstdCompressor(level=_LEVEL).stream_writer(file, closefd=False) as stream:
            for path, name in _walk(directory, "", skip):
                _pack_one(path, prefix + name, stream, ledger)
            stream.write(bytes(2 * BLOCK))
        file.flush()
        os.fsync(file.fileno())
    with out.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Packed(ledger.files, ledger.bytes, f"sha256:{digest}", file.tell())


def _walk(directory: Path, below: str, skip: Callable[[str], bool] | None) -> Iterator[tuple[Path, str]]:
    for entry in sorted(os.scandir(directory), key=lambda entry: os.fsencode(entry.name)):
        name = f"{below}{entry.name}"
        if skip and skip(name):
            continue
        yield Path(entry.path), name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{name}/", skip)


def _pack_one(path: Path, name: str, stream: zstandard.ZstdCompressionWriter, ledger: Ledger) -> None:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode = 0o755 if found.st_mode & 0o111 else 0o644
    if stat.S_ISDIR(found.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISLNK(found.st_mode):
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, str(path.readlink())
    elif stat.S_ISREG(found.st_mode):
        info.size = found.st_size
    else:
        return
    kind = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink"}.get(info.type, "file")
    ledger.take(Entry(os.fsencode(name), kind, info.size, executable=False, link=os.fsencode(info.linkname)))
    stream.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    if kind == "file":
        _pack_content(path, info.size, stream)


def _pack_content(path: Path, size: int, stream: zstandard.ZstdCompressionWriter) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb", buffering=0) as file:
        left = size
        while left and (chunk := file.read(min(left, _CHUNK))):
            stream.write(chunk)
            left -= len(chunk)
        if left or file.read(1):
            raise Conflict(f"{path} changed while it was packed ({show_bytes(size)} before); stop what writes to it.")
    stream.write(bytes(-size % BLOCK))
