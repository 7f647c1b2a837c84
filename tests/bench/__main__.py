"""Measures the platform and prints a table: `python -m tests.bench [FILE]`; the numbers go to FILE as JSON."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.bench import build, change, crowd, images, plans, start
from tests.bench.measure import Measure, keep, table
from tests.e2e.platform import ROOT, Platform

FILE = ROOT / ".cache" / "bench.json"
BENCHES = (
    "the plan of a large source; builds (slug, images); then a platform of each topology: its start from cold and from "
    "warm data, its memory and CPU when idle; and in one process also a second lr up, thirty deployments under load, "
    "eight builds at once"
)


def measure(topology: str, *, everything: bool) -> list[Measure]:
    """Measures one platform from its first start to its end."""
    platform = Platform(topology)
    found: list[Measure] = []
    try:
        found += told(start.cold(platform))
        found += told(start.warm(platform))
        found += told(asyncio.run(start.idle(platform)))
        if everything:
            found += told(asyncio.run(change.second_up(platform)))
            found += told(asyncio.run(change.thirty_deployments(platform)))
            found += told(asyncio.run(crowd.eight_at_once(platform)))
    finally:
        platform.stop()
    return found


def told(measures: list[Measure]) -> list[Measure]:
    """Shows measurements as they come, and passes them on."""
    for row in measures:
        sys.stderr.write(f"{row.name}: {row.value:.4g} {row.unit}\n")
    return measures


def main() -> int:
    """Measures builds, then both topologies; 1 when a budget is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=f"Measures, in this order: {BENCHES}.")
    parser.add_argument("file", nargs="?", type=Path, default=FILE, help="where the numbers go as JSON")
    file: Path = parser.parse_args().file
    built = [*told(plans.large_source()), *told(asyncio.run(build.slug())), *told(images.images())]
    measures = [*built, *measure("all", everything=True), *measure("split", everything=False)]
    sys.stdout.write(table(measures) + "\n")
    keep(measures, file)
    sys.stdout.write(f"\nwritten to {file}\n")
    return 0 if all(row.kept for row in measures) else 1


if __name__ == "__main__":
    sys.exit(main())
