"""Which package manager a package.json names: a known one in some version, or a fault with its line."""

from __future__ import annotations

import json

import pytest

from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, PlanSettings
from libs.plans.tree import tree_of


def planned(named: object) -> BuildPlan:
    package = {"main": "a.js", "dependencies": {"a": "1"}, "packageManager": named}
    return make_plan(tree_of({"a.js": "", "package.json": json.dumps(package, indent=1)}), PlanSettings())


@pytest.mark.parametrize("named", ["cnpm@1", "npmx@1", "pnpm-next@9", "deno@2", "@9", "PNPM"])
def test_an_unknown_package_manager_is_a_fault_that_names_the_known_ones(named: str) -> None:
    with pytest.raises(BuildFault) as failure:
        planned(named)
    assert str(failure.value).startswith(f"package.json, line 6: there is no package manager “{named}”.")
    assert "npm, pnpm, yarn or bun" in (failure.value.hint or "")


def test_a_package_manager_that_is_no_text_is_a_fault() -> None:
    with pytest.raises(BuildFault, match=r"package\.json, line 6: “packageManager” must be a text, this is a table"):
        planned({"name": "pnpm"})


@pytest.mark.parametrize(
    ("named", "tools"),
    [
        ("npm@10.9.2", []),
        ("", []),
        (None, []),
        ("pnpm", [("pnpm", "")]),
        ("pnpm@latest-10", [("pnpm", "latest-10")]),
        ("pnpm@9.1.0+sha512.67f5879916a9293e5cf059c23853d571", [("pnpm", "9.1.0")]),
        ("pnpm@>=9", [("pnpm", "")]),
        ("bun@1.2", [("bun", "1.2")]),
    ],
)
def test_a_known_one_is_taken_in_the_version_that_is_named(named: str | None, tools: list[tuple[str, str]]) -> None:
    assert [(tool.name, tool.constraint) for tool in planned(named).tools] == tools
