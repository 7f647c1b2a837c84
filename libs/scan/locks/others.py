"""Lock files of Go, Ruby, PHP, Rust, Elixir, .NET and Gradle."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from libs.scan.locks.javascript import read_object
from libs.scan.locks.pythonic import read_toml
from libs.scan.locks.reading import joined, package, rows, table, text, words
from libs.scan.package import Package

_GO_SUM: Final = re.compile(r"^(\S{1,300}) (v\S{1,200}) h1:")
_GO_MODULE: Final = re.compile(r"^(\S{1,300}) (v[^\s/]{1,200})(?:\s|$)")
_GO_REPLACE: Final = re.compile(r"^(\S{1,300})(?: v\S{1,200})? => (\S{1,300})(?: (v\S{1,200}))?")
_GEM: Final = re.compile(r"^    ([A-Za-z0-9._-]{1,200}) \(([0-9][0-9A-Za-z.]{0,100})(?:-[^)]{1,100})?\)$")
_HEX: Final = re.compile(r'^\s{0,10}"[^"]{1,200}": \{:hex, :"?([A-Za-z0-9_]{1,200})"?, "([^"]{1,100})"')
_GRADLE: Final = re.compile(r"^([^:=#\s]{1,200}:[^:=\s]{1,200}):([^:=\s]{1,100})=(\S{0,5000})$")


def go_mod(content: str) -> Iterator[Package]:
    """go.mod: since Go 1.17 it names every module that is built in."""
    wanted: dict[str, str] = {}
    replaced: dict[str, tuple[str, str]] = {}
    block = ""
    for raw in content.splitlines():
        line = raw.partition("//")[0].strip()
        if line == ")":
            block = ""
        elif line.endswith("(") and " " in line:
            block = line.removesuffix("(").strip()
        elif block or line.startswith(("require ", "replace ")):
            verb, rest = (block, line) if block else (line.split(" ", 1)[0], line.split(" ", 1)[1].strip())
            if verb == "require" and (found := _GO_MODULE.match(rest)):
                wanted[found[1]] = found[2]
            elif verb == "replace" and (found := _GO_REPLACE.match(rest)):
                replaced[found[1]] = (found[2], found[3] or "")
    for name, version in wanted.items():
        other = replaced.get(name, (name, version))
        # Without a version the replacement is a folder: source of the user's own.
        yield from package("golang", *other)


def go_sum(content: str) -> Iterator[Package]:
    """go.sum: every module that was looked at, so read only where go.mod does not tell."""
    for line in content.splitlines():
        if (found := _GO_SUM.match(line)) and not found[2].endswith("/go.mod"):
            yield from package("golang", found[1], found[2])


def gemfile_lock(content: str) -> Iterator[Package]:
    """Gemfile.lock; gems in the source itself are none."""
    section = ""
    for line in content.splitlines():
        if line and not line.startswith(" "):
            section = line.strip()
        elif section in {"GEM", "GIT"} and (found := _GEM.match(line)):
            yield from package("gem", found[1], found[2])


def composer_lock(content: str) -> Iterator[Package]:
    """composer.lock."""
    lock = read_object(content)
    for section, development in (("packages", False), ("packages-dev", True)):
        for entry in rows(lock.get(section)):
            licences = words(entry.get("license"))
            name, version = text(entry.get("name")), text(entry.get("version"))
            yield from package("composer", name, version, licences=licences, development=development)


def cargo_lock(content: str) -> Iterator[Package]:
    """Cargo.lock; a package without a source is the user's own."""
    yield from joined(_crates(rows(read_toml(content).get("package"))))


def _crates(entries: list[Mapping[str, Any]]) -> Iterator[tuple[Package, list[tuple[str, str]]]]:
    for entry in entries:
        if text(entry.get("source")):
            # "name", "name 1.2.3" when there are several, or both and where it comes from.
            wanted = [(*one.split(" ", 2), "")[:2] for one in words(entry.get("dependencies"))]
            for one in package("cargo", text(entry.get("name")), text(entry.get("version"))):
                yield one, [(name, version) for name, version in wanted]


def mix_lock(content: str) -> Iterator[Package]:
    """mix.lock."""
    for line in content.splitlines():
        if found := _HEX.match(line):
            yield from package("hex", found[1], found[2])


def nuget_lock(content: str) -> Iterator[Package]:
    """packages.lock.json of .NET, for all its frameworks."""
    for framework in table(read_object(content).get("dependencies")).values():
        for name, entry in table(framework).items():
            if text(table(entry).get("type")) != "Project":
                yield from package("nuget", name, text(table(entry).get("resolved")))


def gradle_lock(content: str) -> Iterator[Package]:
    """gradle.lockfile; what only tests use is for development."""
    for line in content.splitlines():
        if found := _GRADLE.match(line.strip()):
            uses = [use for use in found[3].split(",") if use]
            development = bool(uses) and all(use.startswith("test") for use in uses)
            yield from package("maven", found[1], found[2], development=development)
