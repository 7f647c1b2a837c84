"""Node applications, with npm, Yarn, pnpm or Bun."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from libs.plans.assemble import Draft, assemble, shell
from libs.plans.nodejs.frameworks import default_start, framework_of, nx_start, static_output
from libs.plans.nodejs.managers import MODULES, TOOLS, Manager, environment, find_manager, install, install_tool
from libs.plans.nodejs.package import MANIFESTS, Package, read_package, reading
from libs.plans.pins import pinned
from libs.plans.plan import APP, LISTEN, BuildPlan, Evidence, PlanSettings, Runtime, Step
from libs.plans.providers.static import serve
from libs.plans.start import Start
from libs.plans.tree import Tree, plain_folder

NAME = "node"
LOOKS_FOR = "package.json"
ENTRIES: Final = (
    "server.js", "index.js", "app.js", "main.js", "src/index.js", "src/server.js", "index.mjs", "server.mjs",
)  # fmt: skip
TYPED: Final = ("index.ts", "server.ts", "src/index.ts")
# A script that is only node with a file and simple arguments needs no npm around it.
_PLAIN: Final = re.compile(r"^node(?: +[\w./=:@-]+)+$")


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """How the Node part of a source in another language is installed and built."""

    commands: tuple[tuple[str, ...], ...]
    caches: tuple[str, ...]
    tools: tuple[Runtime, ...]
    path: tuple[str, ...] = ()


def detects(tree: Tree) -> Evidence | None:
    """A package.json."""
    found = tree.first(*MANIFESTS)
    return Evidence(NAME, (found,)) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Installs with the project's package manager, runs the build script, starts the start script or serves files."""
    package = read_package(tree)
    manager = find_manager(tree, package)
    nx = None if package.scripts.get("build") else nx_start(tree)
    build = manager.run("build") if package.scripts.get("build") else shell(nx[1]) if nx else ()
    wanted = bool(package.dependencies or package.development or manager.lock or "workspaces" in package.document)
    building = bool(build or settings.build_command)
    made = install(tree, package, manager, with_development=building) if wanted or manager.name == "bun" else None
    static = static_output(tree, package) if not settings.output_directory else None
    folder = plain_folder(settings.output_directory) or (static.folder if static else "")
    folder = plain_folder(folder)
    tool = install_tool(manager)
    outputs = tuple(step.output for step in (tool, made) if step and step.output)
    draft = Draft(
        provider=NAME,
        evidence=(package.path, *((manager.lock,) if manager.lock else ())),
        runtime=_runtime(tree, package),
        found=lambda: _found(tree, package, manager, served=folder, routes=static is None or static.routes),
        looked_for="a start script in package.json, its main file, " + ", ".join(ENTRIES[:2]),
        before=(tool,) if tool else (),
        install=made,
        build=Step(
            "build", (build,) if build else (), changes=outputs or (MODULES,), caches=("npm", *_more(manager)),
        ),
        framework=framework_of(package),
        environment=environment(manager) | ({"HOST": LISTEN} if package.has("astro") and not folder else {}),
        path=((f"{MODULES}/.bin",) if made else ()) + ((f"{TOOLS}/bin",) if tool else ()),
        tools=(manager.tool,) if manager.name != "npm" else (),
        warnings=_warnings(manager) if made else (),
        serves=f"{APP}/{folder}" if folder else "",
    )  # fmt: skip
    return assemble(tree, settings, draft)


def front_end(tree: Tree) -> FrontEnd:
    """The commands that install and build the Node part of a source; no build script, no commands."""
    package = read_package(tree)
    if not package.scripts.get("build"):
        return FrontEnd((), (), ())
    manager = find_manager(tree, package)
    step, tool = install(tree, package, manager, with_development=True), install_tool(manager)
    tools = (_runtime(tree, package), *((manager.tool,) if tool else ()))
    commands = (*(tool.commands if tool else ()), *step.commands, manager.run("build"))
    return FrontEnd(commands, step.caches, tools, (f"{TOOLS}/bin",) if tool else ())


def _more(manager: Manager) -> tuple[str, ...]:
    return () if manager.name == "npm" else (manager.name,)


def _found(tree: Tree, package: Package, manager: Manager, *, served: str, routes: bool) -> Start | None:
    if served:
        return Start(serve(f"{APP}/{served}", fallback=routes), f"the files that the build leaves in {served}", "web")
    script = package.scripts.get("start", "").strip()
    if script:
        around = any(package.scripts.get(name) for name in ("prestart", "poststart"))
        command = script if _PLAIN.match(script) and not around else f"{manager.name} run start"
        return Start(command, f"{package.path} (scripts.start)", "web")
    return _entry(tree, package, manager) or _by_framework(tree, package)


def _entry(tree: Tree, package: Package, manager: Manager) -> Start | None:
    """The program's first file: what package.json says, else one of the usual names."""
    bun = manager.name == "bun"
    program = "bun" if bun else "node"
    for key in ("main", "module") if bun else ("main",):
        said = package.document.get(key)
        if isinstance(said, str):
            entry = tree.first(said.removeprefix("./"), said.removeprefix("./") + ".js")
            if entry:
                return Start(f"{program} {entry}", f"{package.path} ({key})", "web")
    entry = tree.first(*ENTRIES, *(TYPED if bun else ()))
    return Start(f"{program} {entry}", entry, "web") if entry else None


def _by_framework(tree: Tree, package: Package) -> Start | None:
    nx = nx_start(tree)
    if nx:
        return Start(nx[2], f"the Nx application in {nx[0]}", "web", "next")
    command = default_start(package)
    return Start(command, f"what {framework_of(package)} needs", "web") if command else None


def _runtime(tree: Tree, package: Package) -> Runtime:
    engines = reading(tree, package).version_at("node", "engines", "node") if package.document.get("engines") else ""
    manifest = (engines, f"{package.path} (engines)")
    return pinned(tree, "node", ".node-version", ".nvmrc", manifest=manifest)


def _warnings(manager: Manager) -> tuple[str, ...]:
    if manager.lock:
        return ()
    wanted = {"npm": "package-lock.json", "pnpm": "pnpm-lock.yaml", "bun": "bun.lock", "yarn": "yarn.lock"}
    return (f"There is no {wanted[manager.name]}: versions may differ from one build to the next.",)
