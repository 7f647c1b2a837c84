"""Lays what files say under the service's settings: other platforms' files, then lightrail.toml, then settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from libs.plans.config.foreign import read_app_json, read_nixpacks, read_railpack, read_railway
from libs.plans.config.manifest import read_manifest
from libs.plans.plan import PlanSettings
from libs.plans.reading import Reading
from libs.plans.tree import Tree

# Lowest first: of two that say the same, the later counts.
READERS: Final[Sequence[Callable[[Tree], Reading | None]]] = (
    read_app_json, read_nixpacks, read_railpack, read_railway, read_manifest,
)  # fmt: skip
_MAPS: Final = ("versions", "environment", "arguments")


@dataclass(frozen=True, slots=True)
class Configured:
    """Settings with what the source's files say below them."""

    settings: PlanSettings
    # Files that were read, lowest first.
    files: tuple[str, ...]
    warnings: tuple[str, ...]


def configured(tree: Tree, settings: PlanSettings) -> Configured:
    """Reads every configuration file of the source. BuildFault naming file and line of what cannot be read."""
    readings = [found for reader in READERS if (found := reader(tree)) is not None]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for found in readings:
        for name, value in found.values.items():
            values[name] = {**values.get(name, {}), **value} if name in _MAPS else value
            sources[name] = found.file
    for one in fields(settings):
        own = getattr(settings, one.name)
        if not own or one.name == "sources":
            continue
        values[one.name] = {**values.get(one.name, {}), **own} if one.name in _MAPS else own
        sources.pop(one.name, None)
    return Configured(
        replace(settings, **values, sources={**sources, **settings.sources}),
        tuple(found.file for found in readings),
        tuple(warning for found in readings for warning in found.warnings),
    )
