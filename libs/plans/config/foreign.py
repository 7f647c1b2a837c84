"""Other platforms' files: railway.json and .toml, railpack.json, nixpacks.toml, app.json."""

from __future__ import annotations

import re
from typing import Any, Final

from libs.plans.nodejs.json5 import read_json5
from libs.plans.reading import ANY, ELSEWHERE, KNOWN, Reading
from libs.plans.tree import Tree

# Their names for our providers.
_ALIASES: Final = {"golang": "go", "staticfile": "static", "nodejs": "node", "c++": "cpp", "csharp": "dotnet"}
_STEP: Final = {"commands": KNOWN, "variables": {ANY: KNOWN}}
_RAILWAY_BUILD: Final = {
    "builder": KNOWN, "buildCommand": KNOWN, "testCommand": KNOWN, "dockerfilePath": KNOWN, "watchPatterns": ELSEWHERE,
}  # fmt: skip
_RAILWAY_DEPLOY: Final = {
    "startCommand": KNOWN,
    "preDeployCommand": KNOWN,
    **dict.fromkeys(
        (
            "numReplicas", "healthcheckPath", "healthcheckTimeout", "restartPolicyType", "restartPolicyMaxRetries",
            "cronSchedule", "sleepApplication", "drainingSeconds", "overlapSeconds", "region", "multiRegionConfig",
            "limitOverride", "requiredMountPath",
        ),
        ELSEWHERE,
    ),
}  # fmt: skip
_RAILWAY: Final = {
    "$schema": KNOWN, "build": _RAILWAY_BUILD, "deploy": _RAILWAY_DEPLOY, "environments": ELSEWHERE,
}  # fmt: skip
_RAILPACK: Final = {
    "$schema": KNOWN,
    "provider": KNOWN,
    "packages": {ANY: KNOWN},
    "steps": {"install": _STEP, "build": _STEP},
    "deploy": {"startCommand": KNOWN, "variables": {ANY: KNOWN}},
    "secrets": KNOWN,
}
_PHASE: Final = {"cmds": KNOWN}
_NIXPACKS: Final = {
    "providers": KNOWN, "phases": {"install": _PHASE, "build": _PHASE}, "start": {"cmd": KNOWN},
    "variables": {ANY: KNOWN},
}  # fmt: skip
_APP: Final = {
    **dict.fromkeys(("name", "description", "keywords", "website", "repository", "logo", "success_url"), KNOWN),
    "env": {ANY: KNOWN},
    "scripts": {"dokku": {"predeploy": KNOWN}},
    "formation": ELSEWHERE, "healthchecks": ELSEWHERE, "cron": ELSEWHERE,
}  # fmt: skip
# Other programs have an app.json of their own: only with one of these is it a platform's.
_PLATFORM: Final = frozenset({"env", "scripts", "formation", "addons", "buildpacks", "stack", "healthchecks", "cron"})


def read_railway(tree: Tree) -> Reading | None:
    """What railway.json or railway.toml says."""
    path = tree.first("railway.json", "railway.toml")
    if path is None:
        return None
    found = _open(tree, path)
    builder = found.text_at("build", "builder").upper()
    if builder == "DOCKERFILE":
        found.set("provider", "dockerfile")
    elif builder:
        found.set("provider", "auto")
    found.set("build_command", found.command_at("build", "buildCommand"))
    found.set("test_command", found.command_at("build", "testCommand"))
    found.set("dockerfile", found.text_at("build", "dockerfilePath"))
    found.set("start_command", found.text_at("deploy", "startCommand"))
    found.set("release_command", found.command_at("deploy", "preDeployCommand"))
    found.judge(_RAILWAY)
    if path == "railway.json" and tree.has("railway.toml"):
        found.warnings.append("railway.toml has no effect: there is a railway.json.")
    return found


def read_railpack(tree: Tree) -> Reading | None:
    """What railpack.json says."""
    if not tree.has("railpack.json"):
        return None
    found = _open(tree, "railpack.json")
    found.set("provider", _provider(found.text_at("provider")))
    found.set(
        "versions", {_ALIASES.get(name, name): _version(text) for name, text in found.versions_at("packages").items()}
    )
    for step in ("install", "build"):
        found.set(f"{step}_command", found.command_at("steps", step, "commands"))
    variables = found.texts_at("steps", "install", "variables") | found.texts_at("steps", "build", "variables")
    found.set("environment", variables | found.texts_at("deploy", "variables"))
    found.set("start_command", found.text_at("deploy", "startCommand"))
    found.judge(_RAILPACK)
    return found


def read_nixpacks(tree: Tree) -> Reading | None:
    """What nixpacks.toml or nixpacks.json says."""
    path = tree.first("nixpacks.toml", "nixpacks.json")
    if path is None:
        return None
    found = _open(tree, path)
    providers = found.document.get("providers")
    named = [str(one) for one in providers if one != "..."] if isinstance(providers, list) else []
    found.set("provider", _provider(named[0]) if named else "")
    for phase in ("install", "build"):
        found.set(f"{phase}_command", found.command_at("phases", phase, "cmds"))
    found.set("environment", found.texts_at("variables"))
    found.set("start_command", found.text_at("start", "cmd"))
    found.judge(_NIXPACKS)
    return found


def read_app_json(tree: Tree) -> Reading | None:
    """What a platform's app.json says; None for the files of that name which other programs have."""
    if not tree.has("app.json"):
        return None
    found = _open(tree, "app.json")
    if "expo" in found.document or _PLATFORM.isdisjoint(found.document):
        return None
    variables = found.table("env")
    given = {name: one.get("value") if isinstance(one, dict) else one for name, one in variables.items()}
    found.set("environment", {name: one for name, one in given.items() if isinstance(one, str)})
    found.set("release_command", found.command_at("scripts", "dokku", "predeploy"))
    found.judge(_APP)
    return found


def _open(tree: Tree, path: str) -> Reading:
    document: dict[str, Any] = tree.toml(path) if path.endswith(".toml") else read_json5(tree, path)
    return Reading(path, tree.read(path), document)


def _provider(name: str) -> str:
    return _ALIASES.get(name.lower(), name.lower())


def _version(text: str) -> str:
    """A version without its vendor: "zulu-8.86" is "8.86"."""
    match = re.match(r"^[a-z]+-(\d.*)$", text)
    return match[1] if match else text
