"""Reads requirement files the way an installer does, as far as a plan needs it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from libs.plans.faults import BuildFault
from libs.plans.tree import Tree
from libs.plans.values import rows

_NAME: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
_INCLUDE: Final = re.compile(r"^(?:-r|-c|--requirement|--constraint)(?:\s+|=)?(\S+)$")
_EDITABLE: Final = re.compile(r"^(?:-e|--editable)(?:\s+|=)")
_LIMIT: Final = 50


@dataclass(slots=True)
class Requirements:
    """What a project asks for."""

    # Lower-case normalised names; extras as "fastapi[standard]" beside "fastapi".
    names: set[str] = field(default_factory=set)
    # Files that say so.
    files: list[str] = field(default_factory=list)
    # Asks for something in the source itself, so that installing reads any file.
    local: bool = False

    def has(self, *names: str) -> bool:
        """Whether one of these is asked for."""
        return any(name in self.names for name in names)

    def add(self, requirement: str) -> None:
        """Notes one requirement as written in PEP 508."""
        match = _NAME.match(requirement.strip())
        if match is None:
            return
        name = normal(match[1])
        self.names.add(name)
        for extra in (match[2] or "").split(","):
            if extra.strip():
                self.names.add(f"{name}[{normal(extra.strip())}]")


def normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements(tree: Tree, path: str, into: Requirements) -> None:
    """Reads a requirements file and all it includes. BuildFault naming the line of a file that is missing."""
    if path in into.files:
        return
    if len(into.files) >= _LIMIT:
        raise BuildFault(f"{path}: more than {_LIMIT} requirement files include each other.")
    into.files.append(path)
    text = re.sub(r"\\\r?\n", " ", tree.read(path))
    for number, raw in enumerate(text.splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        include = _INCLUDE.match(line)
        if include:
            _include(tree, path, number, include[1], into)
        elif _EDITABLE.match(line):
            into.local = into.local or "://" not in line
        elif line.startswith(("./", "../", "/", ".", "file:")) or "@ file:" in line:
            into.local = True
        elif not line.startswith("-"):
            into.add(line)


def _include(tree: Tree, path: str, number: int, target: str, into: Requirements) -> None:
    if "://" in target:
        return
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if not tree.has(found):
        raise BuildFault(f"{path}, line {number}: the file “{target}” is not in the upload.")
    read_requirements(tree, found, into)


def read_project(document: dict[str, Any], into: Requirements) -> None:
    """Notes what a pyproject.toml asks for (PEP 621, and Poetry's own table)."""
    project = _table(document, "project")
    _add_all(project.get("dependencies"), into)
    poetry = _table(_table(document, "tool"), "poetry")
    for name, wanted in _table(poetry, "dependencies").items():
        if name == "python":
            continue
        into.names.add(normal(name))
        if isinstance(wanted, dict):
            extras = rows(wanted, "extras")
            into.names.update(f"{normal(name)}[{normal(str(extra))}]" for extra in extras)
            into.local = into.local or "path" in wanted
    for source in _table(_table(_table(document, "tool"), "uv"), "sources").values():
        if isinstance(source, dict) and ("path" in source or "workspace" in source):
            into.local = True


def read_lock(document: dict[str, Any], into: Requirements) -> None:
    """Notes every package that a uv.lock or poetry.lock holds."""
    packages = document.get("package")
    for package in packages if isinstance(packages, list) else []:
        if isinstance(package, dict) and isinstance(package.get("name"), str):
            into.names.add(normal(package["name"]))


def _add_all(values: object, into: Requirements) -> None:
    for value in values if isinstance(values, Iterable) and not isinstance(values, str) else []:
        if isinstance(value, str):
            into.add(value)


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
