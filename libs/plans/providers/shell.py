"""A shell script that does everything itself, start.sh; or what a Procfile or a setting starts, whatever that is."""

from __future__ import annotations

from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Runtime
from libs.plans.procfile import NAME as PROCFILE
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "shell"
SCRIPT: Final = "start.sh"
LOOKS_FOR: Final = f"{SCRIPT}, a {PROCFILE}"
_SHELLS: Final = {"bash": "bash", "zsh": "zsh", "sh": "sh", "dash": "sh", "ksh": "bash", "mksh": "bash"}


def detects(tree: Tree) -> Evidence | None:
    """A start.sh. A Procfile is none: it says nothing about the language."""
    return Evidence(NAME, (SCRIPT,)) if tree.has(SCRIPT) else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Runs the script with the shell that its first line names, or what its owner says."""
    evidence = detects(tree)
    told = PROCFILE if tree.has(PROCFILE) and not settings.start_command else settings.said_by("start_command")
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (told,),
        runtime=Runtime("system"),
        found=lambda: Start(f"{_interpreter(tree)} {SCRIPT}", SCRIPT, "web") if evidence else None,
        looked_for=SCRIPT,
    )
    return assemble(tree, settings, draft)


def _interpreter(tree: Tree) -> str:
    first = tree.read(SCRIPT).split("\n", 1)[0]
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    names = [word.rsplit("/", 1)[-1] for word in words]
    return next((_SHELLS[name] for name in names if name in _SHELLS), "sh")
