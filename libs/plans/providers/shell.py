"""A shell script that does everything itself: start.sh."""

from __future__ import annotations

from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Runtime
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "shell"
LOOKS_FOR: Final = "start.sh"
_SHELLS: Final = {"bash": "bash", "zsh": "zsh", "sh": "sh", "dash": "sh", "ksh": "bash", "mksh": "bash"}


def detects(tree: Tree) -> Evidence | None:
    """A start.sh."""
    return Evidence(NAME, (LOOKS_FOR,)) if tree.has(LOOKS_FOR) else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Runs the script with the shell that its first line names."""
    evidence = detects(tree)
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (settings.said_by("start_command"),),
        runtime=Runtime("system"),
        found=lambda: Start(f"{_interpreter(tree)} {LOOKS_FOR}", LOOKS_FOR, "web") if evidence else None,
        looked_for=LOOKS_FOR,
    )
    return assemble(tree, settings, draft)


def _interpreter(tree: Tree) -> str:
    first = tree.read(LOOKS_FOR).split("\n", 1)[0]
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    names = [word.rsplit("/", 1)[-1] for word in words]
    return next((_SHELLS[name] for name in names if name in _SHELLS), "sh")
