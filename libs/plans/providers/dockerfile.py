"""A Dockerfile: the source says itself how it is built."""

from __future__ import annotations

from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Runtime, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "dockerfile"
LOOKS_FOR: Final = "Dockerfile"


def detects(tree: Tree) -> Evidence | None:
    """A Dockerfile in the root of the source."""
    return Evidence(NAME, (LOOKS_FOR,)) if tree.has(LOOKS_FOR) else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Hands the file to an image builder; the image's own command starts it, unless one is set."""
    path = settings.dockerfile.strip("/").removeprefix("./") or LOOKS_FOR
    if not tree.has(path):
        raise BuildFault(
            f"{settings.said_by('dockerfile')} names the Dockerfile “{path}”, which is not in the source.",
            hint="Correct the path, or commit the file.",
        )
    if not any(line.strip().upper().startswith("FROM ") for line in tree.read(path).splitlines()):
        raise BuildFault(f"{path}: no line begins with FROM.", hint="Name the image to build upon: FROM <image>.")
    draft = Draft(
        provider=NAME,
        evidence=(path,),
        runtime=Runtime("docker", "", path),
        # Empty: what the image itself says.
        found=lambda: Start("", f"{path} (CMD)", "web"),
        looked_for=path,
        build=Step("build", (("docker", "build", "--file", path, *_options(settings), "."),)),
    )
    return assemble(tree, settings, draft)


def _options(settings: PlanSettings) -> tuple[str, ...]:
    """The stage and the arguments, as the engine's own command has them."""
    target = ("--target", settings.target) if settings.target else ()
    given = [("--build-arg", f"{name}={value}") for name, value in settings.arguments.items()]
    return (*target, *(word for pair in given for word in pair))
