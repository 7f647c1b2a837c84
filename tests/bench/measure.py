"""What a measurement gives, and how a table of them is shown and kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measure:
    """One number with its unit, and the most it may be, or the least."""

    name: str
    value: float
    unit: str
    budget: float | None = None
    note: str = ""
    floor: float | None = None

    @property
    def kept(self) -> bool:
        """Whether it is within its budget, and not below its floor."""
        return (self.budget is None or self.value <= self.budget) and (self.floor is None or self.value >= self.floor)

    @property
    def bounds(self) -> str:
        """What it is held to; empty when to nothing."""
        most = "" if self.budget is None else f"≤ {self.budget:.4g} {self.unit}"
        least = "" if self.floor is None else f"≥ {self.floor:.4g} {self.unit}"
        return ", ".join(bound for bound in (least, most) if bound)


def table(measures: Sequence[Measure]) -> str:
    """Lays measurements out in columns."""
    rows = [("measurement", "value", "budget", "", "note")]
    for row in measures:
        verdict = ("kept" if row.kept else "BROKEN") if row.bounds else ""
        rows.append((row.name, f"{row.value:.4g} {row.unit}", row.bounds, verdict, row.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def keep(measures: Sequence[Measure], file: Path) -> None:
    """Writes measurements as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(row), "kept": row.kept} for row in measures]
    file.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def middle(values: Sequence[float]) -> float:
    """The median: one slow try does not count."""
    return statistics.median(values)
