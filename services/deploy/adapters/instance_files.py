"""The files of one instance: what was decided for it, what it printed, whether it was asked to end."""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from libs.kernel.errors import Invalid, NotFound
from libs.kernel.ids import is_id

_PUNCH_HOLE: Final = 0x02 | 0x01  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from linux/falloc.h
# Holes are made in steps of this many bytes: file systems free whole blocks, and each hole costs a call.
_STEP: Final = 256 * 1024
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Decided(msgspec.Struct, frozen=True):
    """What was decided before the start, so that a second start decides the same. No variable is in here."""

    port: int
    started_at: datetime
    # Digests of the layers it has.
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstanceFiles:
    """`instances/<id>/`: nobody but the platform enters it; the instance sees only what is mounted from it."""

    folder: Path

    @property
    def name(self) -> str:
        """The instance's id."""
        return self.folder.name

    @property
    def output(self) -> Path:
        """What it printed."""
        return self.folder / "output"

    @property
    def status(self) -> Path:
        """What the sandbox says about it."""
        return self.folder / "status"

    def layer(self, number: int) -> Path:
        """Its own copy of a writable layer."""
        return self.folder / f"layer-{number}"

    def decided(self) -> Decided | None:
        """What was decided; None before."""
        try:
            return msgspec.json.decode((self.folder / "decided.json").read_bytes(), type=Decided)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except msgspec.DecodeError:
            return None  # torn by a power failure: nothing of it can have been started

    def decide(self, decided: Decided) -> None:
        """Writes down what was decided, whole or not at all."""
        fresh = self.folder / "decided.new"
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(decided))
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.folder / "decided.json")

    def mark_asked(self) -> bool:
        """Remembers that it was asked to end; True the first time."""
        try:
            (self.folder / "asked-to-end").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def was_asked(self) -> bool:
        """Whether it was asked to end."""
        return (self.folder / "asked-to-end").exists()

    def read(self, offset: int, limit: int) -> bytes:
        """What it printed from byte `offset`; NotFound when there is no such instance."""
        try:
            handle = os.open(self.output, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self.folder.is_dir():
                return b""
            raise NotFound(f"Instance {self.name} is not here.") from None
        try:
            return os.pread(handle, limit, offset)
        finally:
            os.close(handle)

    def size(self) -> int:
        """Bytes printed so far, trimmed or not."""
        try:
            return self.output.stat().st_size
        except FileNotFoundError:
            return 0

    def trim(self, offset: int) -> None:
        """Frees the room before byte `offset`, in whole steps; the file's length and later bytes stay."""
        end = offset // _STEP * _STEP
        if not end:
            return
        try:
            handle = os.open(self.output, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            # Only what later steps left: making a hole again where there is one costs almost nothing.
            if _LIBC.fallocate(handle, _PUNCH_HOLE, ctypes.c_longlong(0), ctypes.c_longlong(end)) == 0:
                return
        finally:
            os.close(handle)
        code = ctypes.get_errno()
        if code not in {errno.EOPNOTSUPP, errno.ENOSYS}:  # then the disk keeps it until the instance is removed
            raise OSError(code, os.strerror(code), str(self.output))


def files_of(root: Path, instance_id: str) -> InstanceFiles:
    """The files of an instance, whether or not they exist; Invalid when the id is none, so it is never a path."""
    if not is_id(instance_id, "instance"):
        raise Invalid(f"“{instance_id[:60]}” is no instance id.", field="instance_id")
    return InstanceFiles(root / instance_id)
