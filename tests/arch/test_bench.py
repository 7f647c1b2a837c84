"""The benches are a program that says what it does before it does it, and whose budgets can be broken."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.bench import plans, start
from tests.bench.change import under_load
from tests.bench.measure import table
from tests.e2e.load import Load

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_the_benches_and_runs_none() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "thirty deployments under load" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("sent", "kept"), [(2000, True), (1900, True), (1899, False)])
def test_a_load_that_was_not_reached_breaks_its_row_although_nothing_failed(sent: int, kept: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    rows = under_load(Load(answers=Counter({"200": sent})), 10.0)
    assert [row.kept for row in rows] == [True, kept, True]
    assert ("≥ 190 requests/s" in table(rows), "BROKEN" in table(rows)) == (True, not kept)


def test_a_plan_is_measured_in_a_process_of_its_own_for_everybody_who_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "FILES", 200)
    monkeypatch.setattr(plans, "TRIES", 1)
    rows = plans.large_source()
    assert [row.unit for row in rows] == ["s", "B", "s", "B"]
    assert all(row.budget in {1.0, 150_000_000.0} and row.value > 0 for row in rows)


def test_the_memory_budget_is_350_million_bytes() -> None:
    assert start.memory("all", 350_000_000).kept
    assert not start.memory("all", 350_000_001).kept
    assert start.memory("split", 900_000_000).kept
