"""Files that ask for packages without saying which versions come: with no lock file, nobody knows what is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from libs.scan.locks.javascript import read_object
from libs.scan.locks.pythonic import read_toml
from libs.scan.locks.reading import Unreadable, table, words

_GEM: Final = re.compile(r"^\s{0,20}gem[ (]", re.MULTILINE)
_GRADLE: Final = re.compile(r"^\s{0,40}(?:implementation|api|compile|runtimeOnly)\b", re.MULTILINE)
_WANTED: Final = re.compile(r"^[A-Za-z0-9]")
_PINNED: Final = re.compile(r"={2,3}|\s@\s")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A kind of file that asks for packages: the lock files that answer it, and whether one of these asks for any."""

    locks: tuple[str, ...]
    asks: Callable[[str], bool]


def _package_json(content: str) -> bool:
    told = read_object(content)
    return any(table(told.get(key)) for key in ("dependencies", "devDependencies", "optionalDependencies"))


def _pyproject(content: str) -> bool:
    told = read_toml(content)
    poetry = table(table(table(told.get("tool")).get("poetry")).get("dependencies"))
    return bool(words(table(told.get("project")).get("dependencies"))) or bool(poetry.keys() - {"python"})


def _composer(content: str) -> bool:
    required = table(read_object(content).get("require"))
    return any(name != "php" and not name.startswith("ext-") for name in required)


def _has(*path: str) -> Callable[[str], bool]:
    def asks(content: str) -> bool:
        found: Any = read_toml(content)
        for name in path:
            found = table(found).get(name)
        return bool(table(found))

    return asks


def _unpinned(content: str) -> bool:
    lines = [line.strip() for line in content.splitlines()]
    return any(_WANTED.match(line) and not _PINNED.search(line) for line in lines)


_NODE: Final = (
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "deno.lock"
)  # fmt: skip
MANIFESTS: Final[Mapping[str, Manifest]] = {
    "package.json": Manifest(_NODE, _package_json),
    "pyproject.toml": Manifest(
        ("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock", "requirements.txt"), _pyproject
    ),
    "requirements.txt": Manifest(("uv.lock", "poetry.lock", "pdm.lock", "pylock.toml", "Pipfile.lock"), _unpinned),
    "Pipfile": Manifest(("Pipfile.lock",), _has("packages")),
    "Gemfile": Manifest(("Gemfile.lock",), lambda content: bool(_GEM.search(content))),
    "composer.json": Manifest(("composer.lock",), _composer),
    "Cargo.toml": Manifest(("Cargo.lock",), _has("dependencies")),
    "mix.exs": Manifest(("mix.lock",), lambda content: "{:" in content),
    "pom.xml": Manifest((), lambda content: "<dependency>" in content),
    "build.gradle": Manifest(("gradle.lockfile",), lambda content: bool(_GRADLE.search(content))),
    "build.gradle.kts": Manifest(("gradle.lockfile",), lambda content: bool(_GRADLE.search(content))),
}


def asks(path: str, content: bytes) -> bool:
    """Whether this manifest asks for packages; one that cannot be read asks for none: the plan tells of it."""
    manifest = MANIFESTS.get(path.rpartition("/")[2])
    if manifest is None:
        return False
    try:
        return manifest.asks(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, Unreadable):
        return False


def unanswered(manifests: Iterable[str], files: Iterable[str]) -> list[str]:
    """The manifests that no lock file beside or above them answers."""
    there = frozenset(files)
    return sorted(path for path in manifests if not _answered(path, there))


def _answered(path: str, there: frozenset[str]) -> bool:
    folder, _, name = path.rpartition("/")
    while True:
        if any(f"{folder}/{lock}".lstrip("/") in there for lock in MANIFESTS[name].locks):
            return True
        if not folder:
            return False
        folder = folder.rpartition("/")[0]
