"""How long a plan takes, and how much memory, in a repository of fifty thousand files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.measure import Measure, middle
from tests.e2e.platform import ROOT

FILES, TRIES = 50_000, 3
SECONDS, BYTES = 1.0, 150_000_000
IGNORED = "node_modules/\n*.log\n/dist\n.env\n!keep.log\n"
PACKAGE = '{"workspaces": ["packages/*"], "scripts": {"build": "tsc", "start": "node a.js"}}'
# As `lr build plan` and as the builder read it; what a Python without any of that takes is not counted.
READERS = {
    "lr build plan": "from libs.cli.build import read_directory as read",
    "the builder": "from services.build.adapters.workdir import read_tree as read",
}
PROGRAM = """
import sys, time
from pathlib import Path
{reader}
from libs.plans.detect import make_plan
from libs.plans.plan import PlanSettings
before = time.monotonic()
make_plan(read(Path(sys.argv[1])), PlanSettings())
taken = time.monotonic() - before
high = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(taken, int(high.split()[1]) * 1024)
"""


def large_source() -> list[Measure]:
    """Writes such a repository, and plans it in processes of their own."""
    with tempfile.TemporaryDirectory(prefix="lr-", dir="/tmp") as scratch:
        _write(Path(scratch))
        return [row for name, reader in READERS.items() for row in _planned(name, reader, scratch)]


def _write(folder: Path) -> None:
    (folder / "package.json").write_text(PACKAGE, encoding="utf-8")
    (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")
    for number in range(FILES - 2):
        place = folder / "packages" / f"p{number // 5000}" / f"m{number // 100}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}.{'py' if number % 2 else 'ts'}").write_text("x = 1\n", encoding="utf-8")


def _planned(name: str, reader: str, folder: str) -> list[Measure]:
    seconds, size = [], 0
    for _ in range(TRIES):
        argv = [sys.executable, "-c", PROGRAM.format(reader=reader), folder]
        told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        seconds.append(float(told[0]))
        size = max(size, int(told[1]))
    note = f"{FILES:,} files, median of {TRIES}"
    return [
        Measure(f"plan of a large source, {name}", middle(seconds), "s", SECONDS, note),
        Measure(f"memory of that, {name}", float(size), "B", float(BYTES), "the whole process, at most"),
    ]
