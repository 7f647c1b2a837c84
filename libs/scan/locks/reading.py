"""Reads values of unknown shape without surprise: what is not as expected is empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from libs.scan.package import Package, scoped


class Unreadable(ValueError):  # noqa: N818 - what it is, not that it is an error
    """A lock file that cannot be read; its text says why, for people."""


def table(value: object) -> Mapping[str, Any]:
    """The value when it is an object."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Mapping[str, Any]]:
    """The objects in the value when it is a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def words(value: object) -> tuple[str, ...]:
    """The texts in the value when it is a list, or the one text that it is."""
    found = value if isinstance(value, list) else [value]
    return tuple(one for one in found if isinstance(one, str) and one)


def text(value: object) -> str:
    """The value when it is a text."""
    return value if isinstance(value, str) else ""


def package(
    kind: str, name: str, version: str, *, licences: tuple[str, ...] = (), development: bool = False
) -> Iterator[Package]:
    """The package, when it has a name and a version that can be ones."""
    name, version = name.strip(), version.strip()
    if "://" in version:
        # An address instead of a version may hold a password, so only its last part is taken.
        version = version.partition("?")[0].rstrip("/").rpartition("/")[2].rpartition("@")[2]
    namespace, last = scoped(kind, name)
    if last and version and _plain(name) and _plain(version):
        yield Package(kind, namespace, last, version, licences, development)


def joined(found: Iterable[tuple[Package, Iterable[tuple[str, str]]]]) -> Iterator[Package]:
    """Each package with what it asks for, by name and version (empty: the only one of this name)."""
    told = [(one, list(wanted)) for one, wanted in found]
    known: dict[str, dict[str, str]] = {}
    for one, _ in told:
        known.setdefault(_key(one.full_name), {})[one.version] = one.purl
    for one, wanted in told:
        needs = {_meant(known.get(_key(name), {}), version) for name, version in wanted} - {"", one.purl}
        yield replace(one, needs=tuple(sorted(needs)))


def _meant(versions: Mapping[str, str], version: str) -> str:
    if version:
        return versions.get(version, "")
    return next(iter(versions.values())) if len(versions) == 1 else ""


def _key(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _plain(word: str) -> bool:
    return len(word) <= 500 and word.isprintable() and not any(letter.isspace() for letter in word)  # noqa: PLR2004 - longer is no name
