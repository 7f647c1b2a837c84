"""Stacks: the images that a plan's build and its result stand on, by the name and version of the runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, Runtime
from libs.plans.versions import Version, parse_version, reaches, satisfies, show_version

OFFICIAL: Final = "official"
DEBIAN: Final = "debian"
STACKS: Final = (DEBIAN, OFFICIAL)
# The images of the stack `debian`, made by `lr platform stack build`.
REPOSITORY: Final = "lightrail/debian"
RUN, BUILD, NODE_RUN, NODE_BUILD = (f"{REPOSITORY}:{tag}" for tag in ("run", "build", "node-run", "node-build"))
# What that stack holds: Debian 12's own Python, and the Node that its maker fetched.
DEBIAN_PYTHON: Final[Version] = (3, 11, 2)
DEBIAN_NODE: Final = 24
# Who runs inside a result.
USER: Final = 10001
_SLIM: Final = "debian:bookworm-slim"
_ADD_USER: Final = (
    f"groupadd --gid {USER} app && useradd --uid {USER} --gid {USER} --create-home app"
    f" && install --directory --owner={USER} --group={USER} /app"
)


@dataclass(frozen=True, slots=True)
class Base:
    """What one plan stands on."""

    # Image of the stage that builds, and of the result.
    build: str
    run: str
    # The runtime's interpreter in both; empty where no plan asks for it.
    program: str = ""
    # Shell command that completes the build stage.
    prepare: str = ""
    # (image, path) of programs that the build stage gets from elsewhere.
    programs: tuple[tuple[str, str], ...] = ()
    # Shell command that makes the user of the result, with a folder /app of its own; empty: the image has them.
    user: str = _ADD_USER
    # Serves files with Caddy instead of the platform's file server.
    caddy: bool = False


def base_of(stack: str, plan: BuildPlan) -> Base:
    """The images for this plan. BuildFault when the stack is unknown or has nothing that fits."""
    if stack not in STACKS:
        raise BuildFault(f"There is no stack “{stack}”.", hint=f"Use one of {', '.join(STACKS)}.")
    return _debian(plan) if stack == DEBIAN else _official(plan)


def missing_stack(image: str) -> BuildFault:
    """What is said when an image of the stack `debian` is not on this machine."""
    return BuildFault(
        f"The stack “{DEBIAN}” is not on this machine: its image {image} is missing.",
        hint="Have the operator run “lr platform stack build”, or choose the stack “official”.",
    )


def _debian(plan: BuildPlan) -> Base:
    runtime = plan.runtime
    if runtime.name == "python":
        if not satisfies(DEBIAN_PYTHON, runtime.constraint):
            raise _unfit(DEBIAN, runtime, ["3.11"])
        return Base(BUILD, RUN, "/usr/bin/python3", user="")
    if runtime.name == "node":
        if not reaches(str(DEBIAN_NODE), runtime.constraint):
            raise _unfit(DEBIAN, runtime, [f"{DEBIAN_NODE}"])
        # Files are served without Node.
        return Base(NODE_BUILD, RUN if plan.serves else NODE_RUN, "/usr/local/bin/node", user="")
    if runtime.name in {"files", "system"}:
        return Base(BUILD, RUN, user="")
    raise BuildFault(
        f"The stack “{DEBIAN}” has no {runtime.name}: it has Python and Node, and serves files.",
        hint=f"Choose the stack “{OFFICIAL}”, or write a Dockerfile.",
    )


def _official(plan: BuildPlan) -> Base:
    make = _OFFICIAL.get(plan.runtime.name)
    if make is None:
        raise BuildFault(
            f"The stack “{OFFICIAL}” has no image for {plan.runtime.name}.", hint="Write a Dockerfile for it."
        )
    base = make(plan)
    return replace(base, run="caddy:2", user="", caddy=True) if plan.serves else base


def _python(plan: BuildPlan) -> Base:
    version = _newest(plan.runtime, [f"3.{minor}" for minor in range(9, 15)], preferred="3.13")
    install = "pip install --no-cache-dir --root-user-action ignore uv"
    return Base(f"python:{version}", f"python:{version}-slim", "/usr/local/bin/python3", install)


def _node(plan: BuildPlan) -> Base:
    version = _newest(plan.runtime, ["18", "20", "22", "24"], preferred="22")
    return Base(f"node:{version}", f"node:{version}-slim", "/usr/local/bin/node")


def _go(plan: BuildPlan) -> Base:
    return Base(f"golang:{_newest(plan.runtime, [f'1.{minor}' for minor in range(21, 26)])}-bookworm", _SLIM)


def _ruby(plan: BuildPlan) -> Base:
    version = _newest(plan.runtime, ["3.1", "3.2", "3.3", "3.4"])
    return Base(f"ruby:{version}", f"ruby:{version}-slim", "/usr/local/bin/ruby")


def _php(plan: BuildPlan) -> Base:
    image = f"dunglas/frankenphp:php{_newest(plan.runtime, ['8.2', '8.3', '8.4'])}-bookworm"
    tools = {tool.name for tool in plan.tools}
    programs = (("composer:2", "/usr/bin/composer"), *((("node:22", "/usr/local/"),) if "node" in tools else ()))
    return Base(image, image, programs=programs)


def _java(plan: BuildPlan) -> Base:
    version = _newest(plan.runtime, ["8", "11", "17", "21", "25"], preferred="21")
    tools = {tool.name for tool in plan.tools}
    build = f"eclipse-temurin:{version}-jdk"
    if "maven" in tools:
        build = f"maven:3-eclipse-temurin-{version}"
    elif "gradle" in tools:
        build = f"gradle:8-jdk{version}"
    return Base(build, f"eclipse-temurin:{version}-jre")


def _rust(plan: BuildPlan) -> Base:
    asked = plan.runtime.constraint
    return Base(f"rust:{show_version(parse_version(asked)[:2]) if asked else '1'}-bookworm", _SLIM)


def _elixir(plan: BuildPlan) -> Base:
    image = f"elixir:{_newest(plan.runtime, [f'1.{minor}' for minor in range(14, 19)])}"
    return Base(image, f"{image}-slim")


def _deno(plan: BuildPlan) -> Base:
    asked = plan.runtime.constraint
    image = f"denoland/deno:{asked}" if asked.count(".") == 2 else "denoland/deno:2.2.2"  # noqa: PLR2004 - 2.2.2
    return Base(image, image)


def _cpp(_plan: BuildPlan) -> Base:
    packages = "build-essential cmake meson ninja-build"
    install = f"apt-get update && apt-get install --yes --no-install-recommends {packages}"
    return Base("debian:bookworm", _SLIM, prepare=install)


def _files(_plan: BuildPlan) -> Base:
    return Base("debian:bookworm", "caddy:2", user="", caddy=True)


def _system(_plan: BuildPlan) -> Base:
    return Base("debian:bookworm", _SLIM)


_OFFICIAL: Final[Mapping[str, Callable[[BuildPlan], Base]]] = {
    "python": _python, "node": _node, "go": _go, "ruby": _ruby, "php": _php, "java": _java, "rust": _rust,
    "elixir": _elixir, "deno": _deno, "cpp": _cpp, "files": _files, "system": _system,
}  # fmt: skip


def _newest(runtime: Runtime, tags: Sequence[str], preferred: str = "") -> str:
    """The tag that fits best: the preferred one when it is allowed, else the newest."""
    if preferred and reaches(preferred, runtime.constraint):
        return preferred
    for tag in reversed(tags):
        if reaches(tag, runtime.constraint):
            return tag
    raise _unfit(OFFICIAL, runtime, tags)


def _unfit(stack: str, runtime: Runtime, have: Sequence[str]) -> BuildFault:
    asked = runtime.asked_by or "The application"
    return BuildFault(
        f"{asked} asks for {runtime.name} {runtime.constraint}; the stack “{stack}” has {', '.join(have)}.",
        hint="Ask for one of these" + (f", or choose the stack “{OFFICIAL}”." if stack == DEBIAN else "."),
    )
