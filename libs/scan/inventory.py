"""All packages that lock files speak of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from libs.scan.locks import javascript, others, pythonic
from libs.scan.locks.reading import Unreadable
from libs.scan.manifests import MANIFESTS, asks, unanswered
from libs.scan.package import Package

Reader = Callable[[str], Iterator[Package]]
# Bytes of the largest lock file that is read.
LARGEST_LOCK: Final = 32 * 1024 * 1024
# Lock files and packages of one source; no person keeps more.
MOST_LOCKS: Final = 500
MOST_PACKAGES: Final = 50_000
READERS: Final[Mapping[str, Reader]] = {
    "package-lock.json": javascript.package_lock,
    "npm-shrinkwrap.json": javascript.package_lock,
    "yarn.lock": javascript.yarn_lock,
    "pnpm-lock.yaml": javascript.pnpm_lock,
    "bun.lock": javascript.bun_lock,
    "deno.lock": javascript.deno_lock,
    "requirements.txt": pythonic.requirements,
    "uv.lock": pythonic.toml_lock,
    "poetry.lock": pythonic.toml_lock,
    "pdm.lock": pythonic.toml_lock,
    "pylock.toml": pythonic.toml_lock,
    "Pipfile.lock": pythonic.pipfile_lock,
    "go.mod": others.go_mod,
    "go.sum": others.go_sum,
    "Gemfile.lock": others.gemfile_lock,
    "composer.lock": others.composer_lock,
    "Cargo.lock": others.cargo_lock,
    "mix.lock": others.mix_lock,
    "packages.lock.json": others.nuget_lock,
    "gradle.lockfile": others.gradle_lock,
    "buildscript-gradle.lockfile": others.gradle_lock,
}
_REQUIREMENTS: Final = re.compile(r"^requirements[A-Za-z0-9._-]{0,60}\.txt$")
_GO: Final = re.compile(r"^go (\d{1,3})\.(\d{1,4})", re.MULTILINE)
# Files that say that there are packages, without saying which in a way that can be read.
_MUTE: Final[Mapping[str, str]] = {
    "bun.lockb": "is in Bun's old binary format; “bun install --save-text-lockfile” writes one that can be read",
}


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was found: packages sorted, each once; the files that told; and what could not be read, in sentences."""

    packages: tuple[Package, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    # Files that ask for packages of which nobody knows the versions; each is in a note too.
    unlocked: tuple[str, ...] = ()
    # Lock files that were not read; the same.
    unread: tuple[str, ...] = ()


@dataclass(slots=True)
class Gatherer:
    """Reads lock files one after the other, in any order."""

    packages: list[Package] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _unread: list[str] = field(default_factory=list)
    _sums: dict[str, list[Package]] = field(default_factory=dict)
    _complete: set[str] = field(default_factory=set)
    _manifests: list[str] = field(default_factory=list)

    def add(self, path: str, content: bytes, size: int) -> None:
        """Reads one file, of which `content` is all or the beginning. Never fails: what is wrong becomes a note."""
        name = path.rpartition("/")[2]
        if len(self._manifests) < MOST_LOCKS and asks(path, content):
            self._manifests.append(path)
        if name in _MUTE:
            self.notes.append(f"{path} {_MUTE[name]}: its packages are known only once they are installed.")
        reader = reader_of(path)
        if reader is None:
            return
        if len(self.files) >= MOST_LOCKS:
            if len(self.files) == MOST_LOCKS:
                self.notes.append(f"There are more than {MOST_LOCKS} lock files; the rest was not read.")
            return
        self.files.append(path)
        if size > len(content):
            self._unread.append(path)
            self.notes.append(f"{path} was not read: it is larger than {LARGEST_LOCK // 1024**2} MiB.")
            return
        try:
            text = content.decode("utf-8-sig")
            found = [replace(package, found_in=path) for package in reader(text)]
        except UnicodeDecodeError as error:
            self._unread.append(path)
            self.notes.append(f"{path} cannot be read: byte {error.start} is no UTF-8.")
        except Unreadable as error:
            self._unread.append(path)
            self.notes.append(f"{path} cannot be read: {error}. Its packages are not in the list.")
        else:
            self._keep(path, name, text, found)

    def _keep(self, path: str, name: str, text: str, found: list[Package]) -> None:
        folder = path.removesuffix(name)
        if name == "go.sum":
            self._sums[folder] = found
            return
        if name == "go.mod" and (go := _GO.search(text)) and (int(go[1]), int(go[2])) >= (1, 17):
            self._complete.add(folder)
        self.packages += found

    def result(self) -> Inventory:
        """Everything so far."""
        sums = [one for folder, found in self._sums.items() if folder not in self._complete for one in found]
        unlocked = unanswered(self._manifests, self.files)
        notes = [
            f"{path} asks for packages without saying which versions, and no lock file does: they are not in the list."
            for path in unlocked
        ]
        found = inventory_of([*self.packages, *sums], self.files, [*self.notes, *notes])
        return replace(found, unlocked=tuple(unlocked), unread=tuple(sorted(self._unread)))


def inventory_of(packages: Iterable[Package], files: Iterable[str], notes: Iterable[str]) -> Inventory:
    """These packages, each once: what runs anywhere is not for development, and the first file that told counts."""
    merged: dict[str, Package] = {}
    for one in sorted(packages):
        before = merged.get(one.purl)
        merged[one.purl] = one if before is None else _merged(before, one)
    told = list(dict.fromkeys(notes))
    if len(merged) > MOST_PACKAGES:
        told.append(f"There are {len(merged):,} packages; only the first {MOST_PACKAGES:,} are in the list.")
    kept = sorted(merged.values())[:MOST_PACKAGES]
    return Inventory(tuple(kept), tuple(sorted(files)), tuple(sorted(told)))


def reader_of(path: str) -> Reader | None:
    """What reads this file; None when it is no lock file."""
    name = path.rpartition("/")[2]
    reader = READERS.get(name)
    if reader is None and _REQUIREMENTS.match(name):
        return pythonic.requirements
    return reader


def is_mute(path: str) -> bool:
    """Whether the file only says that there are packages."""
    name = path.rpartition("/")[2]
    return name in _MUTE or name in MANIFESTS


def _merged(one: Package, other: Package) -> Package:
    places = [place for place in (one.found_in, other.found_in) if place]
    return replace(
        one,
        licences=one.licences or other.licences,
        development=one.development and other.development,
        found_in=min(places, default=""),
        needs=tuple(sorted({*one.needs, *other.needs})),
    )
