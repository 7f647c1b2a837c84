"""A folder is a case: its source and settings on one side, the plan (or the user's fault) on the other.

`python -m pytest tests/golden --golden-update` writes what is planned today and prunes what no case asks for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.plan import PlanSettings
from libs.plans.tree import Tree

HERE = Path(__file__).parent
CASES = HERE / "cases" / "build"
EXAMPLES = HERE.parents[1] / "examples"
# What a case's folder may hold.
KNOWN = {"source", "settings.json", "plan.json", "fault.txt"}


def cases() -> dict[str, Path]:
    """Every case's name with the folder of its source: the examples, then the folders beside this file."""
    found = {f"example-{path.name}": path for path in sorted(EXAMPLES.iterdir()) if path.is_dir()}
    own = {path.name: path / "source" for path in sorted(CASES.iterdir()) if (path / "source").exists()}
    return found | own


def tree(folder: Path) -> Tree:
    files = frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Tree(files, lambda path: (folder / path).read_text(encoding="utf-8"))


def planned(name: str, source: Path) -> tuple[str, str]:
    """The file a case's answer is kept in, and that answer."""
    settings = CASES / name / "settings.json"
    given: dict[str, Any] = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
    try:
        plan = make_plan(tree(source), PlanSettings(**given))
    except BuildFault as fault:
        return "fault.txt", f"{fault}\n"
    return "plan.json", json.dumps(plan.document(), indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", cases())
def test_a_source_gives_the_plan_beside_it(name: str, request: pytest.FixtureRequest) -> None:
    file, answer = planned(name, cases()[name])
    golden = CASES / name / file
    if request.config.getoption("--golden-update", default=False):
        for other in ("plan.json", "fault.txt"):
            if other != file:
                (CASES / name / other).unlink(missing_ok=True)
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(answer, encoding="utf-8")
    assert golden.exists(), f"{name}: {file} is missing; run with --golden-update and read what it says"
    assert golden.read_text(encoding="utf-8") == answer


def test_no_answer_is_left_without_a_case(request: pytest.FixtureRequest) -> None:
    folders = sorted(path for path in CASES.iterdir() if path.is_dir())
    orphans = [path for path in folders if path.name not in cases()]
    if request.config.getoption("--golden-update", default=False):
        for orphan in orphans:
            for file in orphan.iterdir():
                file.unlink()
            orphan.rmdir()
        orphans = []
    assert orphans == []
    strange = [
        entry.name for folder in folders if folder.exists() for entry in folder.iterdir() if entry.name not in KNOWN
    ]
    assert strange == []


def test_the_same_source_gives_the_same_plan_twice() -> None:
    for name, source in cases().items():
        assert planned(name, source) == planned(name, source)
