"""Node applications with npm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from libs.plans.errors import BuildFault
from libs.plans.plan import APP, EVERYTHING, BuildPlan, Evidence, PlanSettings, Runtime, Step
from libs.plans.start import Start, choose_start
from libs.plans.tree import Tree

NAME = "node"
LOOKS_FOR = "package.json"
MODULES: Final = f"{APP}/node_modules"
ENTRIES: Final = (
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "src/index.js",
    "src/server.js",
    "index.mjs",
    "server.mjs",
)
LOCKS: Final = ("package-lock.json", "npm-shrinkwrap.json")
# Scripts that npm runs on install; they may read any file.
LIFECYCLE: Final = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare")
FRAMEWORKS: Final = (
    ("next", "next"), ("nuxt", "nuxt"), ("@nestjs/core", "nest"), ("express", "express"), ("fastify", "fastify"),
    ("koa", "koa"), ("hono", "hono"),
)  # fmt: skip
# A script that is only node with a file and simple arguments needs no npm around it.
_PLAIN: Final = re.compile(r"^node(?: +[\w./=:@-]+)+$")


def detects(tree: Tree) -> Evidence | None:
    """A package.json."""
    return Evidence(NAME, ("package.json",)) if tree.has("package.json") else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Installs with npm, runs the build script, starts the start script."""
    package = tree.json("package.json")
    scripts = _texts(package, "scripts")
    dependencies = _texts(package, "dependencies") | _texts(package, "optionalDependencies")
    development = _texts(package, "devDependencies")
    build = settings.build_command or ("npm run build" if scripts.get("build") else "")
    lock = tree.first(*LOCKS)
    steps: list[Step] = []
    if dependencies or development or lock:
        steps.append(_install(tree, package, scripts, lock=lock, with_development=bool(build)))
    if build:
        changes = (MODULES,) if steps else ()
        steps.append(Step("build", (_command(build),), changes=changes, caches=("npm",)))
    start = choose_start(
        tree,
        settings,
        lambda: _found(tree, package, scripts),
        looked_for="a start script in package.json, its main file, " + ", ".join(ENTRIES[:2]),
    )
    framework = next((label for name, label in FRAMEWORKS if name in dependencies), "")
    return BuildPlan(
        provider=NAME,
        framework=framework,
        evidence=("package.json", *((lock,) if lock else ())),
        runtime=Runtime("node", *_wanted(tree, package)),
        steps=tuple(steps),
        start_command=start.command,
        start_from=start.source,
        kind=start.kind,
        environment={"NODE_ENV": "production", "npm_config_update_notifier": "false"},
        path=(f"{MODULES}/.bin",) if steps else (),
        warnings=_warnings(tree, lock) if steps else (),
    )


def _command(text: str) -> tuple[str, ...]:
    return ("npm", "run", "build") if text == "npm run build" else ("sh", "-c", text)


def _install(
    tree: Tree, package: Mapping[str, Any], scripts: Mapping[str, str], *, lock: str | None, with_development: bool
) -> Step:
    verb = "ci" if lock else "install"
    include = "--include=dev" if with_development else "--omit=dev"
    argv = ("npm", verb, include, "--no-audit", "--no-fund", "--loglevel=warn")
    local = "workspaces" in package or any(
        version.startswith(("file:", "link:", "./", "../"))
        for kind in ("dependencies", "devDependencies", "optionalDependencies")
        for version in _texts(package, kind).values()
    )
    if local or any(scripts.get(name) for name in LIFECYCLE):
        inputs: tuple[str, ...] = EVERYTHING
    else:
        inputs = tuple(name for name in ("package.json", *LOCKS, ".npmrc") if tree.has(name))
    # Not "production": npm would leave out what the build needs.
    return Step("install", (argv,), inputs=inputs, output=MODULES, caches=("npm",), environment={"NODE_ENV": ""})


def _found(tree: Tree, package: Mapping[str, Any], scripts: Mapping[str, str]) -> Start | None:
    script = scripts.get("start", "").strip()
    if script:
        around = any(scripts.get(name) for name in ("prestart", "poststart"))
        if _PLAIN.match(script) and not around:
            return Start(script, "package.json (scripts.start)", "web")
        return Start("npm run start", "package.json (scripts.start)", "web")
    main = package.get("main")
    if isinstance(main, str):
        entry = tree.first(main.removeprefix("./"), main.removeprefix("./") + ".js")
        if entry:
            return Start(f"node {entry}", "package.json (main)", "web")
    entry = tree.first(*ENTRIES)
    return Start(f"node {entry}", entry, "web") if entry else None


def _wanted(tree: Tree, package: Mapping[str, Any]) -> tuple[str, str]:
    for name in (".node-version", ".nvmrc"):
        if tree.has(name):
            text = tree.read(name).strip().removeprefix("v")
            if re.match(r"^\d+", text):
                return text.split(".")[0], name
    wanted = _texts(package, "engines").get("node", "")
    return (wanted, "package.json (engines)") if re.search(r"\d", wanted) else ("", "")


def _texts(package: Mapping[str, Any], key: str) -> dict[str, str]:
    value = package.get(key) or {}
    if not isinstance(value, dict):
        raise BuildFault(f"package.json: “{key}” must be an object.")
    return {str(name): text for name, text in value.items() if isinstance(text, str)}


def _warnings(tree: Tree, lock: str | None) -> tuple[str, ...]:
    other = tree.first("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
    if other and not lock:
        return (
            f"{other} is not used: npm installs here. Commit a package-lock.json to get the same versions each time.",
        )
    if not lock:
        return ("There is no package-lock.json: versions may differ from one build to the next.",)
    return ()
