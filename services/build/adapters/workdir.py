"""Work directories of builds, and what is read from them. All functions block: call them in a thread.

Programs of the user may have written there. So nothing here follows a link out of the directory it was asked about;
no such program runs while these functions do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from libs.plans.faults import BuildFault
from libs.plans.plan import APP, EVERYTHING
from libs.plans.tree import UNWRITTEN, Tree, decoded

# Larger files are no configuration and no program that a person wrote.
_READ: Final = 4 * 1024 * 1024
# Folders that tools scribble in while they build; not part of a result.
_SCRIBBLES: Final = frozenset({".cache", ".vite", ".vite-temp", "__pycache__", ".package-lock.json"})


class WorkDirs:
    """One directory per build."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o711, parents=True, exist_ok=True)

    def of(self, build_id: str) -> Path:
        """The build's directory, whether or not it is there."""
        return self._root / build_id

    def fresh(self, build_id: str) -> Path:
        """An empty directory for the build."""
        self.clean(build_id)
        folder = self.of(build_id)
        folder.mkdir(mode=0o711)
        return folder

    def clean(self, build_id: str) -> None:
        """Removes the build's directory; harmless when there is none."""
        remove(self.of(build_id))

    def sweep(self, keep: Collection[str]) -> None:
        """Removes the directories of all other builds."""
        for folder in self._root.iterdir():
            if folder.name not in keep:
                remove(folder)


def remove(folder: Path) -> None:
    """Removes a directory with all in it, also what its owner made unreadable."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
        return
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except PermissionError:
        folder.chmod(0o700)
        for place, folders, _ in os.walk(folder):
            for path in (Path(place) / name for name in folders):
                if not path.is_symlink():
                    path.chmod(0o700)
        shutil.rmtree(folder)


def read_tree(folder: Path) -> Tree:
    """The source as data: every file by its path; folders that hold no source are left out."""
    files: set[str] = set()
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in UNWRITTEN]
        below = os.path.relpath(place, folder)
        files.update(name if below == "." else f"{below}/{name}" for name in names)

    def read(path: str) -> str:
        with inside(folder, path).open("rb") as file:
            return decoded(file.read(_READ))

    return Tree(frozenset(files), read)


def inside(folder: Path, path: str) -> Path:
    """The regular file that `path` leads to, when it lies in `folder`; BuildFault when it leads elsewhere."""
    root = folder.resolve()
    try:
        found = (root / path).resolve()
        if found.is_relative_to(root) and found.is_file():
            return found
    except (OSError, RuntimeError) as error:  # a link that leads to itself is the latter
        raise _no_file(path) from error
    raise _no_file(path)


def _no_file(path: str) -> BuildFault:
    return BuildFault(f"{path} is no file of the source.", hint="Commit the file itself, not a link to it.")


def hashes(folder: Path, inputs: Iterable[str]) -> dict[str, str]:
    """sha256 of each input by its path; of every file when the inputs are everything."""
    if tuple(inputs) != EVERYTHING:
        return {path: _hash(inside(folder, path)) for path in inputs}
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in UNWRITTEN]
        for name in names:
            path = Path(place) / name
            shown = path.relative_to(folder).as_posix()
            if path.is_symlink():
                found[shown] = f"link:{path.readlink()}"
            elif path.is_file():
                found[shown] = _hash(path) + ("x" if path.stat().st_mode & stat.S_IXUSR else "")
    return found


def copy_inputs(folder: Path, inputs: Iterable[str], target: Path) -> None:
    """Copies files of the source, with the folders they lie in."""
    target.mkdir()
    for path in inputs:
        source = inside(folder, path)
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Writes files that a plan brings along."""
    root = folder.resolve()
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.parent.resolve().is_relative_to(root):
            raise BuildFault(f"{PurePosixPath(path).parent} leads out of the source.")
        place.unlink(missing_ok=True)
        place.write_text(text, encoding="utf-8")


def mount_point(app: Path, mount: str) -> None:
    """Makes an empty folder in the source where a layer will be shown; what was uploaded there goes."""
    place = app / PurePosixPath(mount).relative_to(APP)
    remove(place)
    place.mkdir()


def marks(folder: Path) -> str:
    """A hash that changes when anything below changes, by names, sizes and times; scribbles do not count."""
    running = hashlib.sha256()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SCRIBBLES)
        for name in sorted(names):
            if name not in _SCRIBBLES:
                found = os.lstat(os.path.join(place, name))  # noqa: PTH118 - a Path each would double the time
                running.update(f"{place}/{name}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}\n".encode())
    return running.hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
