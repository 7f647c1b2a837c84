"""C#, F# and Visual Basic on .NET."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import LISTEN, BuildPlan, Evidence, PlanSettings, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "dotnet"
LOOKS_FOR: Final = "*.csproj, *.fsproj, *.vbproj"
DEFAULT: Final = "8.0"


def detects(tree: Tree) -> Evidence | None:
    """A project file in the root."""
    found = _projects(tree)
    return Evidence(NAME, tuple(found[:1])) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Publishes the project to ./out, and starts it."""
    projects = _projects(tree)
    project = projects[0] if projects else ""
    name = project.rsplit(".", 1)[0]
    text = tree.read(project) if project else ""
    warned = (f"There are {len(projects)} projects: {project} is built.",) if len(projects) > 1 else ()
    draft = Draft(
        provider=NAME,
        evidence=tuple(projects[:1]),
        runtime=pinned(tree, "dotnet", default=DEFAULT, manifest=_version(tree, project, text)),
        found=lambda: Start(f"ASPNETCORE_URLS=http://{LISTEN}:$PORT ./out/{name}", project, "web") if project else None,
        looked_for=LOOKS_FOR,
        install=Step("install", (("dotnet", "restore"),), caches=("nuget",)),
        build=Step("build", (("dotnet", "publish", "--no-restore", "-c", "Release", "-o", "out"),), caches=("nuget",)),
        framework="aspnet" if "Microsoft.NET.Sdk.Web" in text else "",
        environment={"DOTNET_CLI_TELEMETRY_OPTOUT": "1", "DOTNET_NOLOGO": "1"},
        warnings=warned,
    )
    return assemble(tree, settings, draft)


def _projects(tree: Tree) -> list[str]:
    return [path for end in (".csproj", ".fsproj", ".vbproj") for path in tree.ending(end, depth=0)]


def _version(tree: Tree, project: str, text: str) -> tuple[str, str]:
    if tree.has("global.json"):
        sdk = tree.json("global.json").get("sdk")
        version = sdk.get("version") if isinstance(sdk, dict) else None
        found = re.match(r"^\d+\.\d+", version) if isinstance(version, str) else None
        if found:
            return found[0], "global.json"
    found = re.search(r"<TargetFrameworks?>\s*(?:net|netcoreapp)(\d+\.\d+)", text)
    return (found[1], project) if found else ("", "")
