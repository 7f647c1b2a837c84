"""A directory as a gzipped tar: what is ignored stays out, and the same files give the same bytes."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final, cast

from libs.kernel.errors import Invalid
from libs.kernel.units import MIB

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# Never part of a source tree, whatever the ignore files say.
ALWAYS: Final = frozenset({".git", ".venv", "node_modules", "__pycache__", ".lightrail"})
# Packed bytes kept in memory; larger archives go to a temporary file.
IN_MEMORY: Final = 16 * MIB
# The fastest level: the way is short, and a second saved here is a second sooner live.
LEVEL: Final = 1

# Seconds since 1970 that every file tells: 2000-01-01. A clone or a touch makes no other source; zip files, which some
# builds make of these, know no time before 1980.
SAME_TIME: Final = 946_684_800


@dataclass
class Packed:
    """An archive, ready to be read from its start."""

    file: BinaryIO
    # Bytes of the archive.
    size: int
    # Files and links in it.
    files: int
    # What cannot be packed: sockets, pipes, devices.
    left_out: list[str] = field(default_factory=list)


def pack(directory: Path) -> Packed:
    """Packs a directory. Invalid when it is none, or when nothing in it is left to deploy."""
    if not directory.is_dir():
        raise Invalid(f"{directory} is no directory.", hint="Give the directory that holds your source.")
    packed = Packed(cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)), 0, 0)  # noqa: SIM115 - the caller closes it
    with (
        gzip.GzipFile(fileobj=packed.file, mode="wb", compresslevel=LEVEL, mtime=0) as squeezed,
        tarfile.open(fileobj=cast("IO[bytes]", squeezed), mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry, name in walk(directory):
            _add(archive, packed, entry, name)
    if packed.files == 0:
        packed.file.close()
        raise Invalid(
            f"There are no files to deploy in {directory}.",
            hint="It is empty, or everything in it is ignored by .gitignore, .dockerignore or .lightrailignore.",
        )
    packed.size = packed.file.tell()
    packed.file.seek(0)
    return packed


def walk(directory: Path) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Everything in a directory that is not ignored, directories before what is in them, in order of names."""
    rules = _Rules(directory)
    yield from _walk(directory, "", rules)


def _walk(directory: Path, prefix: str, rules: _Rules) -> Iterator[tuple[os.DirEntry[str], str]]:
    rules.enter(directory, prefix)
    try:
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise Invalid(f"{directory} cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name in ALWAYS:
            continue
        name = f"{prefix}{entry.name}"
        is_directory = entry.is_dir(follow_symlinks=False)
        ignored = rules.ignores(f"{name}/" if is_directory else name)
        if not ignored:
            yield entry, name
        if is_directory and (not ignored or rules.may_come_back):
            yield from _walk(Path(entry.path), f"{name}/", rules)


def _add(archive: tarfile.TarFile, packed: Packed, entry: os.DirEntry[str], name: str) -> None:
    status = entry.stat(follow_symlinks=False)
    info = tarfile.TarInfo(name)
    info.mtime = SAME_TIME
    # Only what means something elsewhere: may it be executed?
    executable = bool(status.st_mode & stat.S_IXUSR)
    info.mode = 0o755 if executable or stat.S_ISDIR(status.st_mode) else 0o644
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        return
    if stat.S_ISLNK(status.st_mode):
        info.type = tarfile.SYMTYPE
        info.linkname = str(Path(entry.path).readlink())
        archive.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        _add_file(archive, info, entry.path)
    else:
        packed.left_out.append(name)
        return
    packed.files += 1


def _add_file(archive: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> None:
    try:
        with Path(path).open("rb") as content:
            # The size of what is open, not of what was listed: it may have grown.
            info.size = os.fstat(content.fileno()).st_size
            archive.addfile(info, content)
    except PermissionError as error:
        raise Invalid(f"{path} cannot be read.", hint="Allow it, or name it in .lightrailignore.") from error
    except OSError as error:
        raise Invalid(f"{path} changed while it was packed.", hint="Try again when nothing writes to it.") from error


class _Rules:
    """Ignore files; the last that has an opinion decides: each .gitignore, .dockerignore, .lightrailignore."""

    def __init__(self, root: Path) -> None:
        self._git: list[tuple[str, GitIgnoreSpec]] = []
        self._folders: dict[str, bool] = {}
        self._last = [
            spec
            for spec in (_docker(_lines(root / ".dockerignore")), _spec(_lines(root / ".lightrailignore")))
            if spec is not None
        ]
        # Whether something inside an ignored directory may be wanted after all.
        self.may_come_back = any(
            line.startswith("!") for name in (".dockerignore", ".lightrailignore") for line in _lines(root / name)
        )

    def enter(self, directory: Path, prefix: str) -> None:
        """Reads the .gitignore of a directory before what is in it is judged."""
        spec = _spec(_lines(directory / ".gitignore"))
        if spec is not None:
            self._git.append((prefix, spec))

    def _folder_ignored(self, folder: str) -> bool:
        """Whether git leaves this folder out, or one that it is in; found out once, for many files are in it."""
        if not folder:
            return False
        known = self._folders.get(folder)
        if known is None:
            known = self._folder_ignored(folder.rpartition("/")[0]) or any(
                spec.match_file(f"{folder[len(prefix) :]}/") for prefix, spec in self._git if folder.startswith(prefix)
            )
            self._folders[folder] = known
        return known

    def ignores(self, name: str) -> bool:
        """Whether a path (directories end with a slash) stays out."""
        ignored = False
        for prefix, spec in self._git:
            if name.startswith(prefix) and (opinion := spec.check_file(name[len(prefix) :]).include) is not None:
                ignored = opinion
        if not ignored:
            # What is in an ignored directory is ignored, as git has it.
            ignored = self._folder_ignored(name.rstrip("/").rpartition("/")[0])
        for spec in self._last:
            if (opinion := spec.check_file(name).include) is not None:
                ignored = opinion
        return ignored


def _lines(path: Path) -> list[str]:
    """The patterns of an ignore file; none when there is no such file."""
    try:
        text = path.read_text("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return []
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _spec(lines: Sequence[str]) -> GitIgnoreSpec | None:
    if not lines:
        return None
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - only where there is something to ignore

    return GitIgnoreSpec.from_lines(lines)


def _docker(lines: Sequence[str]) -> GitIgnoreSpec | None:
    """Patterns of .dockerignore mean paths from the root, unlike git's."""
    anchored = []
    for line in lines:
        negated, pattern = line.startswith("!"), line.lstrip("!").strip().removeprefix("./").lstrip("/")
        anchored.append(f"{'!' if negated else ''}/{pattern}")
    return _spec(anchored)
