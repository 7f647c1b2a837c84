"""Gleam on Erlang."""

from __future__ import annotations

from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "gleam"
LOOKS_FOR: Final = "gleam.toml"


def detects(tree: Tree) -> Evidence | None:
    """A gleam.toml."""
    return Evidence(NAME, (LOOKS_FOR,)) if tree.has(LOOKS_FOR) else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Exports a shipment, and runs it."""
    tree.toml(LOOKS_FOR)
    command = "./build/erlang-shipment/entrypoint.sh run"
    draft = Draft(
        provider=NAME,
        evidence=(LOOKS_FOR,),
        runtime=pinned(tree, "gleam"),
        found=lambda: Start(command, "the shipment that gleam makes", "web"),
        looked_for="gleam.toml",
        build=Step("build", (("gleam", "export", "erlang-shipment"),), caches=("hex",)),
        tools=(pinned(tree, "erlang"),),
    )
    return assemble(tree, settings, draft)
