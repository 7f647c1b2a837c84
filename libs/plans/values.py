"""Parts of documents that people wrote: what is not of the kind that is asked for counts as not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table(document: object, *path: str) -> dict[str, Any]:
    """The table at this path of keys; empty when there is none."""
    found = document
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def rows(document: object, *path: str) -> list[Any]:
    """The list at this path of keys; empty when there is none."""
    found = table(document, *path[:-1]).get(path[-1])
    return list(found) if isinstance(found, list) else []
