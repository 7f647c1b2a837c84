"""Lock files of Python's tools: pip, uv, Poetry, PDM, Pipenv, and the standard pylock.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from libs.scan.locks.javascript import read_object
from libs.scan.locks.reading import Unreadable, joined, package, rows, table, text, words
from libs.scan.package import Package

_PINNED: Final = re.compile(
    r"^([A-Za-z0-9][A-Za-z0-9._-]{0,200})(?:\[[^\]]{0,200}\])?\s{0,20}={2,3}\s{0,20}([^\s;,#\\*]{1,100})"
)
_NAME: Final = re.compile(r"^\s{0,20}([A-Za-z0-9][A-Za-z0-9._-]{0,200})")
_OWN: Final = frozenset({"virtual", "editable", "directory", "workspace", "path"})


def requirements(content: str) -> Iterator[Package]:
    """requirements.txt: what is pinned to one version; the rest is known only when it is installed."""
    for line in content.splitlines():
        if found := _PINNED.match(line.strip()):
            yield from package("pypi", found[1], found[2])


def toml_lock(content: str) -> Iterator[Package]:
    """uv.lock, poetry.lock, pdm.lock (tables “package”) and pylock.toml (“packages”)."""
    yield from joined(_toml_entries(read_toml(content)))


def _toml_entries(lock: Mapping[str, Any]) -> Iterator[tuple[Package, list[tuple[str, str]]]]:
    for entry in [*rows(lock.get("package")), *rows(lock.get("packages"))]:
        source = table(entry.get("source"))
        if _OWN & (source.keys() | entry.keys()) or text(source.get("type")) == "directory":
            continue
        groups = words(entry.get("groups"))
        development = text(entry.get("category")) == "dev" or (bool(groups) and groups == ("dev",))
        for one in package("pypi", text(entry.get("name")), text(entry.get("version")), development=development):
            yield one, _wanted(entry.get("dependencies"))


def _wanted(dependencies: object) -> list[tuple[str, str]]:
    """Poetry's table by name, PDM's requirements, and uv's tables; what only an extra asks for is left out."""
    if isinstance(dependencies, dict):
        return [(name, "") for name, told in dependencies.items() if not table(told).get("optional")]
    required = (_NAME.match(one) for one in words(dependencies))
    return [
        *((found[0], "") for found in required if found),
        *((text(one.get("name")), text(one.get("version"))) for one in rows(dependencies)),
    ]


def pipfile_lock(content: str) -> Iterator[Package]:
    """Pipfile.lock."""
    lock = read_object(content)
    for section, development in (("default", False), ("develop", True)):
        for name, entry in table(lock.get(section)).items():
            version = text(table(entry).get("version")).removeprefix("==")
            yield from package("pypi", name, version, development=development)


def read_toml(content: str) -> dict[str, Any]:
    """A TOML document. Unreadable when it is none."""
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise Unreadable(f"this is no valid TOML: {error}") from error
    except RecursionError as error:
        raise Unreadable("this TOML is nested too deeply to read") from error
    except ValueError as error:
        raise Unreadable("a number in it has too many digits to read") from error
