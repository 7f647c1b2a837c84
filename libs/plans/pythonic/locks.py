"""Turns the lock files of PDM and Pipenv into requirements that any installer reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from libs.plans.faults import BuildFault
from libs.plans.values import rows

_HASH: Final = re.compile(r"^sha(256|384|512):[0-9a-f]+$")


def pdm_requirements(lock: Mapping[str, Any]) -> str:
    """Pinned requirements with hashes of the packages that the application needs at run time, sorted."""
    lines = []
    for package in rows(lock, "package"):
        if not isinstance(package, dict) or not isinstance(package.get("name"), str):
            raise BuildFault("pdm.lock: a package has no name.", hint="Run “pdm lock” and deploy again.")
        if "default" not in (rows(package, "groups") or ["default"]) or package.get("extras"):
            continue
        lines.append(_pdm_line(package))
    return "".join(f"{line}\n" for line in sorted(set(lines)))


def _pdm_line(package: Mapping[str, Any]) -> str:
    marker = f" ; {package['marker']}" if isinstance(package.get("marker"), str) else ""
    if isinstance(package.get("git"), str):
        revision = package.get("revision") or package.get("ref") or "HEAD"
        return f"{package['name']} @ git+{package['git']}@{revision}{marker}"
    if isinstance(package.get("path"), str):
        return "./" + str(package["path"]).removeprefix("./")
    hashes = [one.get("hash") for one in rows(package, "files") if isinstance(one, dict)]
    return f"{package['name']}=={package.get('version')}{marker}{_hashes(hashes)}"


def pipenv_requirements(lock: Mapping[str, Any]) -> str:
    """Pinned requirements with hashes of a Pipfile.lock's default packages, sorted."""
    packages = lock.get("default")
    if not isinstance(packages, dict):
        raise BuildFault("Pipfile.lock: “default” must be an object.", hint="Run “pipenv lock” and deploy again.")
    return "".join(f"{line}\n" for line in sorted(_entry(name, told, locked=True) for name, told in packages.items()))


def pipfile_requirements(document: Mapping[str, Any]) -> str:
    """Requirements as a Pipfile words them, without a lock, sorted."""
    packages = document.get("packages")
    entries = packages.items() if isinstance(packages, dict) else ()
    return "".join(f"{line}\n" for line in sorted(_entry(name, told, locked=False) for name, told in entries))


def _entry(name: str, told: object, *, locked: bool) -> str:
    table: Mapping[str, Any] = told if isinstance(told, dict) else {"version": told}
    named = ",".join(str(one) for one in rows(table, "extras"))
    extras = f"[{named}]" if named else ""
    markers = f" ; {table['markers']}" if isinstance(table.get("markers"), str) else ""
    if isinstance(table.get("git"), str):
        return f"{name}{extras} @ git+{table['git']}@{table.get('ref') or 'HEAD'}{markers}"
    if isinstance(table.get("path"), str):
        return "./" + str(table["path"]).removeprefix("./")
    version = str(table.get("version") or "*")
    pinned = "" if version == "*" else version
    return f"{name}{extras}{pinned}{markers}{_hashes(rows(table, 'hashes')) if locked else ''}"


def _hashes(values: list[Any]) -> str:
    return "".join(f" --hash={value}" for value in sorted({str(one) for one in values}) if _HASH.match(value))
