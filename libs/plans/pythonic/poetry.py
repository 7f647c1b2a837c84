"""Turns poetry.lock into requirements that any installer reads: only what the application needs at run time."""

from __future__ import annotations

import re
from typing import Any, Final

from libs.plans.faults import BuildFault
from libs.plans.pythonic.requirements import normal
from libs.plans.values import rows, table

_HASH: Final = re.compile(r"^sha(256|384|512):[0-9a-f]+$")


def poetry_requirements(project: dict[str, Any], lock: dict[str, Any]) -> str:
    """Pinned requirements with hashes, sorted. BuildFault when the lock lacks what the project asks for."""
    packages = _by_name(lock)
    wanted = _wanted(project)
    reached: dict[str, set[str]] = {}
    waiting = [(name, extras) for name, extras in wanted.items() if name != "python"]
    while waiting:
        name, extras = waiting.pop()
        if name in reached and extras <= reached[name]:
            continue
        if name not in packages:
            if name in wanted:
                raise BuildFault(
                    f"poetry.lock does not hold “{name}”, which pyproject.toml asks for.",
                    hint="Run “poetry lock” and deploy again.",
                )
            continue
        reached[name] = reached.get(name, set()) | extras
        for package in packages[name]:
            waiting.extend(_dependencies(package, reached[name]))
    lines = [line for name in sorted(reached) for line in sorted(_lines(packages[name]))]
    return "\n".join(lines) + "\n"


def _by_name(lock: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for package in rows(lock, "package"):
        if not isinstance(package, dict) or not isinstance(package.get("name"), str):
            raise BuildFault("poetry.lock: a package has no name.", hint="Run “poetry lock” and deploy again.")
        found.setdefault(normal(package["name"]), []).append(package)
    return found


def _wanted(project: dict[str, Any]) -> dict[str, set[str]]:
    wanted: dict[str, set[str]] = {}
    for text in rows(project, "project", "dependencies"):
        match = re.match(r"^([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?", str(text).strip())
        if match:
            extras = {normal(extra.strip()) for extra in (match[2] or "").split(",") if extra.strip()}
            wanted[normal(match[1])] = extras
    poetry = table(project, "tool", "poetry")
    for name, constraint in table(poetry, "dependencies").items():
        if isinstance(constraint, dict) and constraint.get("optional"):
            continue
        listed = rows(constraint, "extras")
        wanted.setdefault(normal(name), set()).update(normal(str(extra)) for extra in listed)
    return wanted


def _dependencies(package: dict[str, Any], extras: set[str]) -> list[tuple[str, set[str]]]:
    optional_by_extra = {
        normal(re.split(r"[\s\[(<>=!~;]", str(text).strip(), maxsplit=1)[0])
        for extra, texts in table(package, "extras").items()
        if normal(extra) in extras
        for text in (texts if isinstance(texts, list) else [])
    }
    found = []
    for name, constraints in table(package, "dependencies").items():
        every = constraints if isinstance(constraints, list) else [constraints]
        optional = all(isinstance(one, dict) and one.get("optional") for one in every)
        if optional and normal(name) not in optional_by_extra:
            continue
        asked = {normal(str(extra)) for one in every for extra in rows(one, "extras")}
        found.append((normal(name), asked))
    return found


def _lines(packages: list[dict[str, Any]]) -> list[str]:
    lines = []
    for package in packages:
        source = table(package, "source")
        kind = source.get("type")
        marker = _marker(package)
        if kind == "git":
            reference = source.get("resolved_reference") or source.get("reference") or "HEAD"
            lines.append(f"{package['name']} @ git+{source.get('url')}@{reference}{marker}")
        elif kind == "url":
            lines.append(f"{package['name']} @ {source.get('url')}{marker}")
        elif kind in {"directory", "file"}:
            lines.append(f"./{str(source.get('url')).removeprefix('./')}")
        else:
            lines.append(f"{package['name']}=={package.get('version')}{marker}{_hashes(package)}")
    return lines


def _marker(package: dict[str, Any]) -> str:
    marker = package.get("markers")
    if isinstance(marker, dict):
        marker = marker.get("main")
    return f" ; {marker}" if isinstance(marker, str) and marker else ""


def _hashes(package: dict[str, Any]) -> str:
    told = {str(one.get("hash")) for one in rows(package, "files") if isinstance(one, dict)}
    return "".join(f" --hash={value}" for value in sorted(told) if _HASH.match(value))
