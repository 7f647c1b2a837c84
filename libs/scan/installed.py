"""What is really installed, told by the files that installers leave beside the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from libs.scan.locks.reading import package, rows, table, text, words
from libs.scan.package import Package

# Bytes of the largest of these files that is read.
LARGEST: Final = 512 * 1024
_PYTHON: Final = re.compile(r"(?:^|/)[^/]{1,200}\.(?:dist-info/METADATA|egg-info/PKG-INFO)$")
_NODE: Final = re.compile(r"(?:^|/)node_modules/(?:@[^/]{1,200}/)?[^/@.][^/]{0,200}/package\.json$")
_CLASSIFIER: Final = "License :: OSI Approved :: "
_LONGEST_LICENCE: Final = 100


def is_telling(path: str) -> bool:
    """Whether this file tells of an installed package."""
    return bool(_PYTHON.search(path) or _NODE.search(path))


def read_installed(path: str, content: str) -> Iterator[Package]:
    """The package that the file tells of; none when it tells of none, or cannot be read."""
    if path.endswith("/package.json"):
        yield from _node(content)
    else:
        yield from _python(content)


def _python(content: str) -> Iterator[Package]:
    told: dict[str, str] = {}
    licences = []
    for line in content.splitlines():
        if not line:
            break
        key, _, value = line.partition(": ")
        if key == "Classifier" and value.startswith(_CLASSIFIER):
            licences.append(value.removeprefix(_CLASSIFIER))
        elif not line.startswith(" "):
            told.setdefault(key.lower(), value.strip())
    named = told.get("license-expression") or told.get("license", "")
    if named and len(named) <= _LONGEST_LICENCE and named.upper() != "UNKNOWN":
        licences = [named]
    yield from package("pypi", told.get("name", ""), told.get("version", ""), licences=tuple(licences))


def _node(content: str) -> Iterator[Package]:
    try:
        told = table(json.loads(content))
    except (json.JSONDecodeError, RecursionError):
        return  # a package may carry files of this name that are tests of readers
    licence = told.get("license")
    named = words(licence) or words(table(licence).get("type"))
    named = named or tuple(text(one.get("type")) for one in rows(told.get("licenses")) if text(one.get("type")))
    yield from package("npm", text(told.get("name")), text(told.get("version")), licences=named)
