"""`lr build`: `plan` and `lr config check`: what the platform would do with a directory, without a platform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from libs.cli import screen
from libs.cli.session import Json
from libs.kernel.errors import Invalid

if TYPE_CHECKING:
    import os

    from libs.plans.plan import BuildPlan
    from libs.plans.tree import Tree

app = App(name="build", help="Show how a directory would be built, and how a build went.")
app.command("libs.cli.builds:status", name="status", help="Show the stages of a build.")
app.command("libs.cli.build_cache:app", name="cache", help="Show and clear what builds keep for the next one.")
app.command("libs.cli.builds:verify", name="verify", help="Check an artifact's signed provenance.")
app.command("libs.cli.scan:scan", name="scan", help="Show what a scan found: in a build's source, or in a directory.")
app.command("libs.cli.scan:sbom", name="sbom", help="Print a software bill of materials, of a build or a directory.")
config = App(name="config", help="Check the files that say how a directory is built.")
# Larger files are no configuration and no program that a person wrote.
_READ: Final = 4 * 1024 * 1024


@app.command(name="plan")
def show_plan(  # noqa: PLR0913 - the options of a command
    directory: Path = Path(),
    *,
    root_directory: str = "",
    provider: str = "",
    build_command: str = "",
    test_command: str = "",
    start_command: str = "",
    kind: str = "",
    dockerfile: Annotated[bool, Parameter(negative="")] = False,
    stack: str = "",
    as_json: Json = False,
) -> int:
    """Show what would be built and started, as the platform would, without asking it.

    Parameters
    ----------
    directory
        The source.
    root_directory
        The folder of it to build.
    provider
        The kind of source, instead of what is detected.
    build_command
        Instead of what is detected or configured.
    test_command
        Instead of what is configured.
    start_command
        Instead of what is detected or configured.
    kind
        web or worker.
    dockerfile
        Print the Dockerfile that a builder of images follows.
    stack
        The images it stands on: debian (default) or official.
    """
    from libs.plans.detect import make_plan  # noqa: PLC0415 - other commands need none of it
    from libs.plans.plan import IMAGE_BUILDERS, PlanSettings  # noqa: PLC0415 - the same

    if stack and not dockerfile:
        raise Invalid("--stack says what a Dockerfile stands on.", hint="Add --dockerfile, or leave --stack out.")
    if dockerfile and as_json:
        raise Invalid("--dockerfile prints a Dockerfile, --json the plan.", hint="Leave one of the two out.")
    flags = {"root_directory": root_directory, "provider": provider, "build_command": build_command}
    flags |= {"test_command": test_command, "start_command": start_command, "kind": kind}
    sources = {name: f"--{name.replace('_', '-')}" for name, value in flags.items() if value}
    told = PlanSettings(
        start_command=start_command,
        build_command=build_command,
        test_command=test_command,
        root_directory=root_directory,
        kind=kind,
        provider=provider,
        builder=IMAGE_BUILDERS[0] if dockerfile else "",
        sources=sources,
    )
    tree = read_directory(directory)
    plan = make_plan(tree, told)
    if dockerfile:
        screen.say(_dockerfile(plan, tree, stack))
        return 0
    if as_json:
        screen.emit(plan.document())
    else:
        _print(plan)
    return 0


@config.command(name="check")
def check(directory: Path = Path(), *, as_json: Json = False) -> int:
    """Check lightrail.toml and the files of other platforms; 1 when something in them is wrong or has no effect.

    Parameters
    ----------
    directory
        The source.
    """
    from libs.plans.config.layers import configured  # noqa: PLC0415 - other commands need none of it
    from libs.plans.detect import check_names  # noqa: PLC0415 - the same
    from libs.plans.plan import PlanSettings  # noqa: PLC0415 - the same
    from libs.plans.procfile import NAME, read_procfile  # noqa: PLC0415 - the same

    tree = read_directory(directory)
    found = configured(tree, PlanSettings())
    check_names(found.settings)
    files = (*((NAME,) if read_procfile(tree) else ()), *found.files)
    if as_json:
        screen.emit({"files": list(files), "warnings": list(found.warnings), "good": not found.warnings})
        return 1 if found.warnings else 0
    for warning in found.warnings:
        screen.say(warning)
    if not files:
        screen.say(f"There are no configuration files in {directory}: everything is detected.")
    elif not found.warnings:
        screen.say(f"{', '.join(files)}: good.")
    return 1 if found.warnings else 0


def read_directory(directory: Path) -> Tree:
    """The directory as an upload would have it. Invalid when it is none."""
    from libs.cli import pack  # noqa: PLC0415 - only where files are read
    from libs.plans.tree import Tree, decoded  # noqa: PLC0415 - the same

    if not directory.is_dir():
        raise Invalid(f"{directory} is no directory.", hint="Give the directory that holds your source.")
    # A link to a folder is no file either, here as on the platform.
    names = frozenset(name for entry, name in pack.walk(directory) if _is_sent(entry))
    root = directory.resolve()

    def read(path: str) -> str:
        wrong = Invalid(f"{path} is no file of the source.", hint="Commit the file itself, not a link to it.")
        try:
            found = (root / path).resolve()
            if not found.is_relative_to(root) or not found.is_file():
                raise wrong
            with found.open("rb") as file:
                return decoded(file.read(_READ))
        except RuntimeError as error:  # a link that leads to itself
            raise wrong from error
        except OSError as error:
            raise Invalid(f"{path} cannot be read: {error.strerror}.") from error

    return Tree(names, read)


def _is_sent(entry: os.DirEntry[str]) -> bool:
    """Whether an upload has this as a file: not a directory, no link to one, and no pipe, socket or device."""
    return not Path(entry.path).is_dir() if entry.is_symlink() else entry.is_file(follow_symlinks=False)


def _dockerfile(plan: BuildPlan, tree: Tree, stack: str) -> str:
    """The text that an image builder would follow: made from the plan, or the source's own file."""
    from libs.plans.images.dockerfile import dockerfile  # noqa: PLC0415 - only here
    from libs.plans.images.stacks import DEBIAN, base_of  # noqa: PLC0415 - the same

    if plan.provider == "dockerfile":
        return tree.below(plan.root_directory).read(plan.evidence[0]).rstrip("\n")
    return dockerfile(plan, base_of(stack or DEBIAN, plan)).text.rstrip("\n")


def _print(plan: BuildPlan) -> None:
    from libs.plans.assemble import show  # noqa: PLC0415 - only here

    framework = f" with {plan.framework}" if plan.framework else ""
    rows = [("source", f"{plan.provider}{framework} ({', '.join(plan.evidence)})")]
    for runtime in (plan.runtime, *plan.tools):
        asked = f" ({runtime.asked_by})" if runtime.asked_by else ""
        rows.append(("needs", f"{runtime.name} {runtime.constraint or '(any version)'}{asked}"))
    tests = (plan.test,) if plan.test else ()
    rows += [(step.name, show(command)) for step in plan.steps for command in step.commands]
    rows += [("network", f"none in the step {step.name}") for step in (*plan.steps, *tests) if not step.network]
    rows += [("test", show(command)) for step in tests for command in step.commands]
    rows += [("release", plan.release_command)] if plan.release_command else []
    rows.append(("start", f"{plan.start_command or 'the image itself'} ({plan.start_from})"))
    rows.append(("kind", plan.kind))
    rows += [("note", warning) for warning in plan.warnings]
    for label, text in rows:
        screen.say(f"{screen.styled(f'{label:8}', 'dim')} {text}")
