"""Static sites: files served as they lie, by the platform's own file server."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.faults import BuildFault
from libs.plans.plan import APP, BuildPlan, Evidence, PlanSettings, Runtime
from libs.plans.start import Start
from libs.plans.tree import Tree, plain_folder

NAME = "static"
LOOKS_FOR = "Staticfile, index.html, public/index.html, dist/index.html"
ROOTS: Final = ("", "public", "dist")
SERVER: Final = "lightrail-static"
STATICFILE: Final = "Staticfile"


def detects(tree: Tree) -> Evidence | None:
    """A Staticfile, or an index page in one of the usual places."""
    if tree.has(STATICFILE):
        return Evidence(NAME, (STATICFILE,))
    root = _root(tree)
    return None if root is None else Evidence(NAME, (_join(root, "index.html"),))


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Serves the folder that holds the index page; a build command runs first when one is set."""
    evidence = detects(tree)
    told = _staticfile(tree)
    given = plain_folder(settings.output_directory) or plain_folder(told.get("root", ""))
    if given and not settings.build_command and not tree.within(given):
        raise BuildFault(
            f"{STATICFILE if 'root' in told else settings.said_by('output_directory')} names the folder “{given}”, "
            "which is not in the source.",
            hint="Correct the name, or set a build_command that makes it.",
        )
    root = given or _root(tree) or ""
    fallback = told.get("index_fallback", "").lower() == "true"
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (),
        runtime=Runtime("files"),
        found=lambda: Start(serve(_join(APP, root) if root else APP, fallback=fallback), "static files", "web"),
        looked_for="an index page",
    )
    return assemble(tree, settings, draft)


def serve(folder: str, *, fallback: bool) -> str:
    """The command that serves a folder; with a fallback, unknown addresses get its index page."""
    return f"{SERVER} --fallback {folder}" if fallback else f"{SERVER} {folder}"


def _staticfile(tree: Tree) -> dict[str, str]:
    if not tree.has(STATICFILE):
        return {}
    found = {}
    for number, raw in enumerate(tree.read(STATICFILE).splitlines(), start=1):
        line = raw.split("#")[0].strip()
        if not line or line == "---":
            continue
        match = re.match(r"^([\w-]+)\s*:\s*(.*)$", line)
        if match is None:
            raise BuildFault(f"{STATICFILE}, line {number}: “{line[:80]}” is not of the form “name: value”.")
        found[match[1]] = match[2].strip().strip("\"'")
    return found


def _root(tree: Tree) -> str | None:
    return next((root for root in ROOTS if tree.has(_join(root, "index.html"))), None)


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if root else name
