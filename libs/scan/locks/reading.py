"""Reads values of unknown shape without surprise: what is not as expected is empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def _plain(word: str) -> bool:
    return len(word) <= 500 and word.isprintable() and not any(letter.isspace() for letter in word)  # noqa: PLR2004 - longer is no name
