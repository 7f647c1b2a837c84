"""Makes a provider's draft into the plan: what people set comes over what was detected, in one place for all."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from libs.plans.plan import EVERYTHING, IMAGE_BUILDERS, LISTEN, BuildPlan, PlanSettings, Runtime, Step
from libs.plans.procfile import read_procfile
from libs.plans.start import Start, choose_start
from libs.plans.tree import Tree
from libs.plans.versions import alias

# Stands for the detected commands among those that people set.
DETECTED: Final = "..."


@dataclass(frozen=True, slots=True)
class Draft:
    """What a provider found out."""

    provider: str
    evidence: tuple[str, ...]
    runtime: Runtime
    # Gives the start command when nobody set one; None when none can be found.
    found: Callable[[], Start | None]
    # The places where `found` looks, for people.
    looked_for: str
    # Run first, whatever people set.
    before: tuple[Step, ...] = ()
    install: Step | None = None
    # Without commands: how a build command would run if one is set.
    build: Step = field(default_factory=lambda: Step("build", ()))
    framework: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    tools: tuple[Runtime, ...] = ()
    warnings: tuple[str, ...] = ()
    # Folder served by the platform when `found` is what starts.
    serves: str = ""


def assemble(tree: Tree, settings: PlanSettings, draft: Draft) -> BuildPlan:
    """The plan: the draft with what people set over it. BuildFault when there is no start command."""
    start = choose_start(tree, settings, draft.found, looked_for=draft.looked_for)
    release = settings.release_command or read_procfile(tree).get("release", "")
    # A container is a network of its own: what listens on its loopback nobody reaches.
    address = "0.0.0.0" if settings.builder in IMAGE_BUILDERS else "127.0.0.1"  # noqa: S104 - inside a container
    noted = (f"The release command “{release}” is part of the plan; this version runs none.",) if release else ()
    return BuildPlan(
        provider=draft.provider,
        framework=start.framework or draft.framework,
        evidence=draft.evidence,
        runtime=_versioned(draft.runtime, settings),
        steps=_steps(settings, draft),
        start_command=start.command.replace(LISTEN, address) if start.detected else start.command,
        start_from=start.source,
        kind=start.kind,
        environment={
            **{name: value.replace(LISTEN, address) for name, value in draft.environment.items()},
            **settings.environment,
        },
        path=draft.path,
        warnings=(*draft.warnings, *noted),
        tools=tuple(_versioned(tool, settings) for tool in draft.tools),
        serves=draft.serves if start.detected else "",
        release_command=release,
        test=_test(settings),
    )


def shell(command: str) -> tuple[str, ...]:
    """A command line that people wrote, as argv."""
    return ("sh", "-c", command)


def _versioned(runtime: Runtime, settings: PlanSettings) -> Runtime:
    version = settings.versions.get(runtime.name)
    if not version:
        return runtime
    known = alias(version)
    return replace(runtime, constraint=version if known is None else known, asked_by=settings.said_by("versions"))


def _steps(settings: PlanSettings, draft: Draft) -> tuple[Step, ...]:
    """The steps, with the network for those that install, and for those that build unless somebody closed it."""
    steps = [replace(step, network=True) for step in draft.before]
    install = draft.install
    if settings.install_command:
        template = install or Step("install", ())
        install = replace(
            template, commands=_expanded(settings.install_command, template.commands), inputs=EVERYTHING, files={}
        )
    if install is not None and install.commands:
        steps.append(replace(install, network=True))
    build = draft.build
    if settings.build_command:
        build = replace(build, commands=_expanded(settings.build_command, build.commands))
    if build.commands:
        made = {step.output for step in steps}
        changes = tuple(one for one in build.changes if one in made)
        # Fonts, plug-ins and modules are fetched by build commands too, so they keep the network until told otherwise.
        steps.append(replace(build, changes=changes, network=not settings.offline))
    return tuple(steps)


def _test(settings: PlanSettings) -> Step | None:
    """The test somebody asked for, with the network of the build: it may start a database's stand-in, or fetch one."""
    if not settings.test_command:
        return None
    return Step("test", (shell(settings.test_command),), network=not settings.offline)


def _expanded(command: str, detected: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """The commands that were set, with the detected ones where three dots stand for them."""
    parts = [part.strip() for part in command.split(" && ")]
    if DETECTED not in parts:
        return (shell(command),)
    found: list[tuple[str, ...]] = []
    for part in parts:
        found.extend(detected if part == DETECTED else [shell(part)])
    return tuple(found)


def show(argv: tuple[str, ...]) -> str:
    """The command as a person would type it."""
    return argv[2] if argv[:2] == ("sh", "-c") and len(argv) == 3 else shlex.join(argv)  # noqa: PLR2004 - sh, -c, text
