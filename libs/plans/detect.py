"""From a tree and settings to a plan: asks each provider in order, first come first served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from libs.plans.errors import BuildFault
from libs.plans.plan import BuildPlan, Evidence, PlanSettings
from libs.plans.providers import node, python, static
from libs.plans.tree import Tree, plain_folder, written


class Provider(Protocol):
    """A module that knows one kind of source."""

    NAME: str
    # What a person is told when nobody recognised the source.
    LOOKS_FOR: str

    def detects(self, tree: Tree) -> Evidence | None:
        """Evidence that the source is of this kind, or None."""
        ...

    def plan(self, tree: Tree, settings: PlanSettings) -> BuildPlan:
        """The plan for a source of this kind. BuildFault when the source cannot be built as it is."""
        ...


PROVIDERS: Final[Sequence[Provider]] = (python, node, static)


def make_plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """The plan for this source. BuildFault when it is empty, unknown or wrong: the message says what to change."""
    if not tree.files:
        raise BuildFault("The upload holds no files.", hint="Run the command in the directory of your app, or name it.")
    tree = tree.below(settings.root_directory)
    seen = Tree(written(tree.files), tree.read)
    for provider in PROVIDERS:
        if provider.detects(seen) is not None:
            made = provider.plan(seen, settings)
            return replace(made, root_directory=plain_folder(settings.root_directory))
    names = sorted({path.split("/")[0] + ("/" if "/" in path else "") for path in seen.files})
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")  # noqa: PLR2004 - enough to recognise it
    raise BuildFault(
        "No known language was found. Looked for: "
        + "; ".join(f"{provider.NAME} ({provider.LOOKS_FOR})" for provider in PROVIDERS)
        + f". The directory holds: {shown or 'nothing that people wrote'}.",
        hint="Add one of these files, or set root_directory to the folder that has them.",
    )
