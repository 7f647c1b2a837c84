"""A repository of fifty thousand files costs neither time nor memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from libs.kernel.units import MIB
from libs.plans.detect import make_plan
from libs.plans.plan import PlanSettings
from libs.plans.tree import Tree

FILES = 50_000


def large(**files: str) -> Tree:
    """Half Python, half TypeScript, a hundred files a folder."""
    paths = {f"packages/p{i // 5000}/m{i // 100}/f{i}.{'py' if i % 2 else 'ts'}" for i in range(FILES)}
    return Tree(frozenset(paths | files.keys()), lambda path: files.get(path, "x = 1\n"))


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": '{"workspaces": ["packages/*"], "scripts": {"build": "tsc", "start": "node a.js"}}'},
        {"requirements.txt": "fastapi\nuvicorn\n", "main.py": "from fastapi import FastAPI\napp = FastAPI()\n"},
        {"Cargo.toml": '[workspace]\nmembers = ["packages/*"]\n'},
        {"start.sh": "true\n"},
    ],
    ids=["node", "python", "rust", "shell"],
)
def test_fifty_thousand_files_are_planned_within_a_second_and_150_megabytes(files: dict[str, str]) -> None:
    tree = large(**files)
    settings = PlanSettings(start_command="true")
    begun = time.process_time()
    make_plan(tree, settings)
    assert time.process_time() - begun < 1.0
    tracemalloc.start()
    try:
        make_plan(tree, settings)
        assert tracemalloc.get_traced_memory()[1] < 150 * MIB
    finally:
        tracemalloc.stop()
