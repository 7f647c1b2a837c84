"""package.json as far as a plan needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from libs.plans.faults import BuildFault
from libs.plans.nodejs.json5 import read_json5
from libs.plans.reading import Reading
from libs.plans.tree import Tree

MANIFESTS: Final = ("package.json", "package.json5")
_KINDS: Final = ("dependencies", "devDependencies", "optionalDependencies")


@dataclass(frozen=True)
class Package:
    """One package.json."""

    path: str
    document: Mapping[str, Any] = field(default_factory=dict)

    def texts(self, key: str) -> dict[str, str]:
        """An object of strings; empty when it is not there. BuildFault when it is no object."""
        value = self.document.get(key) or {}
        if not isinstance(value, dict):
            raise BuildFault(f"{self.path}: “{key}” must be an object.")
        return {str(name): text for name, text in value.items() if isinstance(text, str)}

    @cached_property
    def scripts(self) -> dict[str, str]:
        """Commands by name."""
        return self.texts("scripts")

    @cached_property
    def dependencies(self) -> dict[str, str]:
        """What the program needs when it runs."""
        return self.texts("dependencies") | self.texts("optionalDependencies")

    @cached_property
    def development(self) -> dict[str, str]:
        """What only building needs."""
        return self.texts("devDependencies")

    def has(self, *names: str) -> bool:
        """Whether one of these is asked for, for running or for building."""
        return any(name in self.dependencies or name in self.development for name in names)

    def local(self) -> bool:
        """Whether it asks for folders of the source."""
        return any(
            version.startswith(("file:", "link:", "portal:", "./", "../"))
            for kind in _KINDS
            for version in self.texts(kind).values()
        )


def reading(tree: Tree, package: Package) -> Reading:
    """The same file, to ask for values with the lines they stand on."""
    return Reading(package.path, tree.read(package.path), package.document)


def read_package(tree: Tree) -> Package:
    """The source's package.json (or package.json5). BuildFault when it is not valid."""
    path = tree.first(*MANIFESTS) or MANIFESTS[0]
    return Package(path, tree.json(path) if path == MANIFESTS[0] else read_json5(tree, path))
