"""A package by its coordinates, and its package URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

# Kinds whose names are the same in any case.
_LOWER: Final = frozenset({"pypi", "composer", "hex"})


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One version of one package. `kind` is the type of its package URL: npm, pypi, golang, maven and so on."""

    kind: str
    namespace: str
    name: str
    version: str
    licences: tuple[str, ...] = ()
    # Only for development: no part of what runs.
    development: bool = False
    # The file that told of it.
    found_in: str = ""
    # Package URLs of what it asks for, sorted, where the file says which packages those are.
    needs: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """As its own tool writes it: "@scope/name", "group:artifact", "github.com/owner/name"."""
        joint = ":" if self.kind == "maven" else "/"
        return f"{self.namespace}{joint}{self.name}" if self.namespace else self.name

    @property
    def purl(self) -> str:
        """The package URL, percent-encoded, with the name as its type wants it."""
        namespace, name = self.namespace, self.name
        if self.kind in _LOWER:
            namespace, name = namespace.lower(), name.lower()
        if self.kind == "pypi":
            name = name.replace("_", "-")
        parts = [self.kind, *(part for part in namespace.split("/") if part), name]
        version = f"@{_encoded(self.version)}" if self.version else ""
        return f"pkg:{'/'.join(_encoded(part) for part in parts)}{version}"


def scoped(kind: str, name: str) -> tuple[str, str]:
    """Namespace and name of "@scope/name" or "path/of/module"; the namespace is empty when there is none."""
    joint = ":" if kind == "maven" else "/"
    namespace, _, last = name.rpartition(joint)
    return namespace, last


def _encoded(part: str) -> str:
    return quote(part, safe=":")
