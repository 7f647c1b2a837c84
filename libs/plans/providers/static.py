"""Static sites: files served as they lie, by the platform's own file server."""

from __future__ import annotations

from typing import Final

from libs.plans.plan import APP, BuildPlan, Evidence, PlanSettings, Runtime, Step
from libs.plans.start import Start, choose_start
from libs.plans.tree import Tree

NAME = "static"
LOOKS_FOR = "index.html, public/index.html, dist/index.html"
ROOTS: Final = ("", "public", "dist")
SERVER: Final = "lightrail-static"


def detects(tree: Tree) -> Evidence | None:
    """An index page in one of the usual places."""
    root = _root(tree)
    return None if root is None else Evidence(NAME, (_join(root, "index.html"),))


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Serves the folder that holds the index page; a build command runs first when one is set."""
    root = _root(tree) or ""
    folder = _join(APP, root) if root else APP
    steps = (Step("build", (("sh", "-c", settings.build_command),)),) if settings.build_command else ()
    start = choose_start(
        tree, settings, lambda: Start(f"{SERVER} {folder}", "static files", "web"), looked_for="an index page"
    )
    return BuildPlan(
        provider=NAME,
        framework="",
        evidence=(_join(root, "index.html"),),
        runtime=Runtime("files"),
        steps=steps,
        start_command=start.command,
        start_from=start.source,
        kind=start.kind,
    )


def _root(tree: Tree) -> str | None:
    return next((root for root in ROOTS if tree.has(_join(root, "index.html"))), None)


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name
