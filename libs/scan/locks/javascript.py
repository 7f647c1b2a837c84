"""Lock files of npm, Yarn, pnpm, Bun and Deno.

pnpm's and Yarn's files are YAML as those tools write it, one key a line: read by line, so that no alias can make a
small file large and no file takes more time than its length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from libs.plans.nodejs.json5 import plain_json
from libs.scan.locks.reading import Unreadable, package, table, text, words
from libs.scan.package import Package

_MODULES: Final = "node_modules/"
# Characters of a path; nothing that npm wrote is nested deeper.
_LONGEST: Final = 1000
_ASKS: Final = ("dependencies", "optionalDependencies", "peerDependencies")
_LOCAL: Final = ("file:", "link:", "workspace:", "portal:")
_QUOTED: Final = re.compile(r'^"?([^"]{1,600})"?$')
# Version 5 writes /@scope/name/1.2.3_peer@4.5.6, later ones /@scope/name@1.2.3(peer@4.5.6) or without the slash.
_PNPM_5: Final = re.compile(r"^/((?:@[^/@]{1,200}/)?[^/@]{1,200})/([^/_(@]{1,200})")
_PNPM: Final = re.compile(r"^/?((?:@[^/@]{1,200}/)?[^/@(]{1,200})@([^(]{1,400})")


def package_lock(content: str) -> Iterator[Package]:
    """package-lock.json and npm-shrinkwrap.json, versions 1 to 3."""
    lock = read_object(content)
    packages = table(lock.get("packages"))
    if not packages:
        yield from _nested(table(lock.get("dependencies")))
        return
    found: dict[str, Package] = {}
    for path, entry in packages.items():
        told = table(entry)
        if _MODULES not in path or told.get("link"):
            continue
        name = text(told.get("name")) or path.rpartition(_MODULES)[2]
        development = bool(told.get("dev") or told.get("devOptional"))
        licences = words(told.get("license"))
        for one in package("npm", name, text(told.get("version")), licences=licences, development=development):
            found[path] = one
    for path, one in found.items():
        if len(path) > _LONGEST:
            yield one
            continue
        places = (_place(packages, path, name) for part in _ASKS for name in table(packages[path].get(part)))
        needs = {found[place].purl for place in places if place in found} - {one.purl}
        yield replace(one, needs=tuple(sorted(needs)))


def _place(packages: Mapping[str, Any], path: str, name: str) -> str:
    """Where Node finds the package that one at `path` asks for: beside its own, or further up; empty: nowhere."""
    while True:
        place = f"{path}/{_MODULES}{name}".lstrip("/")
        if place in packages:
            return place
        if not path:
            return ""
        path = path.rpartition(_MODULES)[0].rstrip("/")


def _nested(dependencies: Any) -> Iterator[Package]:  # noqa: ANN401 - from JSON
    waiting = [dependencies]
    while waiting:
        for name, entry in waiting.pop().items():
            told = table(entry)
            version = text(told.get("version"))
            if version.startswith("npm:"):
                name, version = split_spec(version.removeprefix("npm:"))  # noqa: PLW2901 - the alias's own name
            if not version.startswith(_LOCAL):
                yield from package("npm", name, _commit(version), development=bool(told.get("dev")))
            waiting.append(table(told.get("dependencies")))


def yarn_lock(content: str) -> Iterator[Package]:
    """yarn.lock, of Yarn 1 (its own format) and later (YAML)."""
    header, version, resolution = "", "", ""
    for line in [*content.splitlines(), "end:"]:
        if not line or line.startswith("#"):
            continue
        if not line.startswith(" "):
            yield from _yarn_entry(header, version, resolution)
            header, version, resolution = line.rstrip().removesuffix(":"), "", ""
        elif line.startswith("  version") and not version:
            version = _unquoted(line[len("  version") :].lstrip(": "))
        elif line.startswith("  resolution:"):
            resolution = _unquoted(line[len("  resolution:") :])


def _yarn_entry(header: str, version: str, resolution: str) -> Iterator[Package]:
    if not header or header == "__metadata":
        return
    name, wanted = split_spec(resolution or _unquoted(header.split(", ", maxsplit=1)[0]))
    if not resolution and wanted.startswith("npm:") and "@" in wanted[5:]:
        name, wanted = split_spec(wanted.removeprefix("npm:"))
    if not wanted.startswith(_LOCAL) and version != "0.0.0-use.local":
        yield from package("npm", name, version)


def pnpm_lock(content: str) -> Iterator[Package]:
    """pnpm-lock.yaml, versions 5 to 9."""
    section, key, version, development = "", "", "", False
    for line in [*content.splitlines(), "end:"]:
        if line.startswith("    "):
            word = line.strip()
            if word == "dev: true":
                development = True
            elif line.startswith("    version: "):
                version = _unquoted(word.removeprefix("version: "))
            continue
        if key:
            yield from _pnpm_entry(key, version, development=development)
        key, version, development = "", "", False
        if line and not line.startswith((" ", "#")):
            section = line.split(":")[0]
        elif section == "packages" and line.startswith("  "):
            key = line.strip().removeprefix("? ").removesuffix(": {}").removesuffix(":").strip("'\"")


def _pnpm_entry(key: str, version: str, *, development: bool) -> Iterator[Package]:
    found = _PNPM_5.match(key) or _PNPM.match(key)
    if found and not found[2].startswith(_LOCAL):
        plain = version or found[2].rpartition("/")[2]
        yield from package("npm", found[1], plain, development=development)


def bun_lock(content: str) -> Iterator[Package]:
    """bun.lock."""
    for entry in table(read_object(plain_json(content)).get("packages")).values():
        told = text(entry[0]) if isinstance(entry, list) and entry else ""
        name, version = split_spec(told)
        if not version.startswith((*_LOCAL, "root:")):
            yield from package("npm", name, _commit(version))


def deno_lock(content: str) -> Iterator[Package]:
    """deno.lock, versions 2 to 5. Modules by address have no name that others know, so they are left out."""
    lock = read_object(content)
    nested = table(lock.get("packages"))
    for kind in ("npm", "jsr"):
        found = table(lock.get(kind)) or table(nested.get(kind))
        found = table(found.get("packages")) or found
        for key in found:
            name, version = split_spec(key)
            yield from package(kind, name, version.split("_", 1)[0])


def split_spec(spec: str) -> tuple[str, str]:
    """Name and version of "name@1.2.3" or "@scope/name@npm:1.2.3"."""
    place = spec.find("@", 1)
    return (spec, "") if place < 0 else (spec[:place], spec[place + 1 :])


def _commit(version: str) -> str:
    """A plain version, or the commit that an address ends with."""
    return version.rpartition("#")[2] if "#" in version else version


def _unquoted(word: str) -> str:
    match = _QUOTED.match(word.strip())
    return match[1] if match else ""


def read_object(content: str) -> Any:  # noqa: ANN401 - from JSON
    """A JSON object. Unreadable when it is none."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        raise Unreadable(f"line {error.lineno}: this is no valid JSON ({error.msg})") from error
    except RecursionError as error:
        raise Unreadable("this JSON is nested too deeply to read") from error
    except ValueError as error:
        raise Unreadable("a number in it has too many digits to read") from error
    if not isinstance(value, dict):
        raise Unreadable("an object was expected")
    return value
