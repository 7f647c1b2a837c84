"""From a tree and settings to a plan: asks each provider in order, first come first served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol

from libs.plans.config.layers import configured
from libs.plans.faults import BuildFault, speakable
from libs.plans.plan import BUILDERS, SLUG, BuildPlan, Evidence, PlanSettings
from libs.plans.procfile import read_procfile
from libs.plans.providers import (
    cpp,
    deno,
    dockerfile,
    dotnet,
    elixir,
    gleam,
    golang,
    java,
    node,
    php,
    python,
    ruby,
    rust,
    shell,
    static,
    unsupported,
)
from libs.plans.tree import Tree, plain_folder, written


class Provider(Protocol):
    """A module that knows one kind of source."""

    # Names are constants of modules.
    @property
    def NAME(self) -> str:  # noqa: N802 - the same
        """What people write as `provider`."""
        ...

    @property
    def LOOKS_FOR(self) -> str:  # noqa: N802 - the same
        """What a person is told when nobody recognised the source."""
        ...

    def detects(self, tree: Tree) -> Evidence | None:
        """Evidence that the source is of this kind, or None."""
        ...

    def plan(self, tree: Tree, settings: PlanSettings) -> BuildPlan:
        """The plan for a source of this kind. BuildFault when the source cannot be built as it is."""
        ...


# The order matters: many sources of the first kinds hold a package.json for their pages, or a script for their tools.
PROVIDERS: Final[Sequence[Provider]] = (
    dockerfile, php, golang, java, rust, ruby, elixir, python, deno, dotnet, node, gleam, cpp, static, shell,
    unsupported,
)  # fmt: skip
# They plan any source: with a path, a folder, or a start command that was set.
_NEED_NO_EVIDENCE: Final[Sequence[Provider]] = (dockerfile, python, static, shell)
# Stands for whatever is detected, save a Dockerfile.
AUTO: Final = "auto"
NAMES: Final = tuple(provider.NAME for provider in PROVIDERS if provider is not unsupported)


def make_plan(tree: Tree, settings: PlanSettings, *, builder: str = SLUG) -> BuildPlan:
    """The plan for this source; `builder` counts when neither settings nor source name one.

    BuildFault when the source is empty, unknown or wrong: the message says what to change.
    """
    if not tree.files:
        raise BuildFault("The upload holds no files.", hint="Run the command in the directory of your app, or name it.")
    tree = tree.below(settings.root_directory)
    seen = Tree(written(tree.files), tree.read)
    read = configured(seen, settings)
    chosen = _builder(read.settings, builder)
    told = replace(read.settings, builder=chosen)
    made = _provider(seen, told).plan(seen, told)
    plan = replace(
        made,
        root_directory=plain_folder(settings.root_directory),
        warnings=(*read.warnings, *made.warnings),
        builder=chosen,
    )
    _check(plan)
    return plan


def _check(plan: BuildPlan) -> None:
    """Passes when everything in the plan can be kept, shown and given to a command. BuildFault naming what cannot."""
    for name in plan.environment:
        if not name or "=" in name:
            raise BuildFault(f"“{name}” is no name for a variable.", hint="Write a name without “=”.")
    for part, value in plan.document().items():
        for text in _texts(value):
            if speakable(text) != text:
                raise BuildFault(
                    f"The plan's {part.replace('_', ' ')} holds a character that no command, name or value can hold: "
                    f"“{text[:200]}”.",
                    hint="Take it out of the file that says so (it may be written as \\u0000 there).",
                )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from (name, *_texts(one))
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def check_names(settings: PlanSettings) -> None:
    """Passes when builder and provider are names that there are. BuildFault saying which names those are."""
    _builder(settings, SLUG)
    _named(settings)


def _builder(settings: PlanSettings, default: str) -> str:
    """The image builder that is asked for; empty for the slug builder."""
    chosen = settings.builder or default
    if chosen not in BUILDERS:
        raise BuildFault(
            f"{settings.said_by('builder')}: there is no builder “{chosen}”.",
            field="builder",
            hint=f"Use one of {', '.join(BUILDERS)}, or leave it out.",
        )
    return "" if chosen == SLUG else chosen


def _named(settings: PlanSettings) -> Provider | None:
    """The provider that is asked for by name; None when it is to be found out."""
    if settings.provider in {"", AUTO}:
        return None
    named = next((one for one in PROVIDERS if settings.provider == one.NAME and one is not unsupported), None)
    if named is None:
        raise BuildFault(
            f"{settings.said_by('provider')}: there is no provider “{settings.provider}”.",
            field="provider",
            hint=f"Use {AUTO}, or one of {', '.join(NAMES)}.",
        )
    return named


def _provider(tree: Tree, settings: PlanSettings) -> Provider:
    named = _named(settings)
    if named is not None:
        if named.detects(tree) is None and named not in _NEED_NO_EVIDENCE:
            raise BuildFault(
                f"{settings.said_by('provider')} names the provider {named.NAME}, but the source holds none of: "
                f"{named.LOOKS_FOR}.",
                field="provider",
                hint=f"Add one of them, or write “{AUTO}” instead.",
            )
        return named
    if settings.dockerfile:
        return dockerfile
    asked = [one for one in PROVIDERS if one is not dockerfile or settings.provider != AUTO]
    found = next((one for one in asked if one.detects(tree) is not None), None)
    if found is not None:
        return found
    if settings.start_command or read_procfile(tree):
        # Whatever it is: its owner says how it starts.
        return shell
    names = sorted({path.split("/")[0] + ("/" if "/" in path else "") for path in tree.files})
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")  # noqa: PLR2004 - enough to recognise it
    raise BuildFault(
        "No known language was found. Looked for: "
        + "; ".join(f"{one.NAME} ({one.LOOKS_FOR})" for one in PROVIDERS if one.LOOKS_FOR)
        + f". The directory holds: {shown or 'nothing that people wrote'}.",
        hint="Add one of these files, or name the folder that has them: lr service set --root-directory FOLDER.",
    )
