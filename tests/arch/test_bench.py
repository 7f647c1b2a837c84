"""The benches are a program that can be asked what it does before it does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_the_benches_and_runs_none() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "thirty deployments under load" in " ".join(done.stdout.split())
