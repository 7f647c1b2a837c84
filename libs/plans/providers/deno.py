"""Deno."""

from __future__ import annotations

from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "deno"
LOOKS_FOR: Final = "deno.json, deno.jsonc"
DEFAULT: Final = "2"
_ENDS: Final = (".ts", ".js", ".mjs", ".mts")


def detects(tree: Tree) -> Evidence | None:
    """A deno.json or deno.jsonc."""
    found = tree.first("deno.json", "deno.jsonc")
    return Evidence(NAME, (found,)) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Caches what the entry imports, and runs it."""
    evidence = detects(tree)
    entry = tree.first(*(f"{stem}{end}" for stem in ("main", "index", "server", "mod") for end in _ENDS))
    entry = entry or next((path for end in _ENDS for path in tree.ending(end, depth=0)), None)
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (),
        runtime=pinned(tree, "deno", ".deno-version", ".dvmrc", default=DEFAULT),
        found=lambda: Start(f"deno run --allow-all {entry}", entry, "web") if entry else None,
        looked_for="main.ts, main.js, index.ts",
        build=Step("build", (("deno", "cache", entry),) if entry else (), caches=("deno",)),
        environment={"DENO_DIR": "/app/.deno"},
    )
    return assemble(tree, settings, draft)
