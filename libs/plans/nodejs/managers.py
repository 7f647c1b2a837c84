"""Which package manager a Node project uses, in which version, and how it installs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from libs.plans.caches import PNPM_KEEPS_TO
from libs.plans.faults import BuildFault
from libs.plans.nodejs.package import Package, reading
from libs.plans.pins import pinned
from libs.plans.plan import APP, EVERYTHING, Runtime, Step
from libs.plans.tree import Tree, json_object

MODULES: Final = f"{APP}/node_modules"
# Where a package manager that is not npm is installed, as a layer of its own.
TOOLS: Final = f"{APP}/.lightrail-tools"
LOCKS: Final = {
    "npm": ("package-lock.json", "npm-shrinkwrap.json"),
    "pnpm": ("pnpm-lock.yaml",),
    "bun": ("bun.lock", "bun.lockb"),
    "yarn": ("yarn.lock",),
}
# Scripts that installing runs; they may read any file.
LIFECYCLE: Final = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare")
# Files beside package.json and its lock that change what is installed.
_BESIDE: Final = (".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", "pnpm-workspace.yaml", ".pnpmfile.cjs")
_PNPM: Final = {"5.3": "6", "5.4": "7", "6.0": "8", "6.1": "8", "9.0": "9"}
_PNPM_ASKS: Final = {
    "npm_config_verify_deps_before_run": "false",
    "npm_config_manage_package_manager_versions": "false",
}
_PNPM_ONLY: Final = (*_PNPM_ASKS, *PNPM_KEEPS_TO)
# Characters; of a longer file only the beginning may have been read.
_READ_WHOLE: Final = 4_000_000
_BERRY: Final = {"4": "2.4", "5": "3", "6": "3", "7": "4", "8": "4", "9": "4"}


@dataclass(frozen=True, slots=True)
class Manager:
    """A package manager: npm, yarn, pnpm or bun."""

    name: str
    # As in "9", "^10", "1.22.22"; empty: any.
    version: str = ""
    asked_by: str = ""
    lock: str = ""

    @property
    def berry(self) -> bool:
        """Whether this is Yarn 2 or newer."""
        return self.name == "yarn" and not re.match(r"^[\^~>=v]*1\b", self.version)

    def run(self, script: str) -> tuple[str, ...]:
        """How one of the project's scripts is run."""
        return (self.name, "run", script)

    @property
    def tool(self) -> Runtime:
        """The manager as a tool of the plan."""
        return Runtime(self.name, self.version, self.asked_by)

    @property
    def package(self) -> str:
        """The npm package that holds this manager, with its version."""
        name = "@yarnpkg/cli-dist" if self.berry else self.name
        version = re.sub(r"\s+", " ", self.version.strip())
        return f"{name}@{version}" if version else name


def find_manager(tree: Tree, package: Package) -> Manager:
    """The manager that packageManager names, else the lock file's, else that of engines, else npm.

    BuildFault when packageManager names one that is not known, or when two lock files contradict each other and nothing
    says which one counts.
    """
    named = _named(tree, package)
    if named is not None:
        return named
    locked = [name for name in ("pnpm", "bun", "yarn", "npm") if tree.has(*LOCKS[name])]
    if tree.has(".yarnrc.yml") and not locked:
        locked = ["yarn"]
    if len(locked) > 1:
        files = sorted(_lock(tree, name) for name in locked)
        raise BuildFault(
            f"There are {len(files)} lock files that contradict each other: {', '.join(files)}.",
            hint=f'Delete all but one, or add “packageManager” to {package.path}, as in "packageManager": "pnpm@10".',
        )
    engines = package.texts("engines")
    if not locked:
        locked = [name for name in ("pnpm", "bun", "yarn") if engines.get(name, "").strip()] or ["npm"]
    name, lock = locked[0], _lock(tree, locked[0])
    pin = pinned(tree, name)
    if pin.constraint:
        return Manager(name, pin.constraint, pin.asked_by, lock)
    if name != "npm" and engines.get(name, "").strip():
        return Manager(name, engines[name].strip(), f"{package.path} (engines)", lock)
    return Manager(name, _implied(tree, name), lock, lock)


def _named(tree: Tree, package: Package) -> Manager | None:
    read = reading(tree, package)
    named = read.text_at("packageManager")
    if not named:
        return None
    match = re.match(r"^(npm|pnpm|yarn|bun)(?:@([\w.^~-]+))?(?![\w-])", named)
    if match is None:
        raise BuildFault(
            f"{read.line_of('packageManager')}: there is no package manager “{named[:80]}”.",
            hint='Name npm, pnpm, yarn or bun, as in "packageManager": "pnpm@10", or leave it out.',
        )
    asked = f"{package.path} (packageManager)"
    return Manager(match[1], match[2] or _implied(tree, match[1]), asked, _lock(tree, match[1]))


def _lock(tree: Tree, name: str) -> str:
    return tree.first(*LOCKS[name]) or ""


def _implied(tree: Tree, name: str) -> str:
    """The version that wrote the lock file, as far as the file shows it."""
    if name == "pnpm":
        if not tree.has("pnpm-lock.yaml"):
            return ""
        match = re.match(r"lockfileVersion:\s*'?(\d+\.\d+)", tree.read("pnpm-lock.yaml").lstrip())
        return _PNPM.get(match[1], "") if match else ""
    if name == "yarn":
        head = tree.read("yarn.lock")[:2000] if tree.has("yarn.lock") else ""
        match = re.search(r"^__metadata:\s*\n\s+version:\s*\"?(\d+)", head, re.MULTILINE)
        if match:
            return _BERRY.get(match[1], "4")
        return "4" if tree.has(".yarnrc.yml") else "1"
    return ""


def install_tool(manager: Manager) -> Step | None:
    """The step that installs the package manager itself; None for npm, which comes with Node."""
    if manager.name == "npm":
        return None
    argv = ("npm", "install", "--global", "--prefix", TOOLS, "--no-audit", "--no-fund", manager.package)
    # npm warns about settings that are pnpm's.
    unset = dict.fromkeys(("NODE_ENV", *(_PNPM_ONLY if manager.name == "pnpm" else ())), "")
    return Step("tools", (argv,), inputs=(), output=TOOLS, caches=("npm",), environment=unset)


def install(tree: Tree, package: Package, manager: Manager, *, with_development: bool) -> Step:
    """The step that installs what the project asks for."""
    _check_lock(tree, manager)
    several = "workspaces" in package.document or tree.has("pnpm-workspace.yaml")
    everything = (
        several
        or package.local()
        or any(package.scripts.get(name) for name in LIFECYCLE)
        or bool(tree.within(".yarn"))
        or bool(tree.within("patches"))
    )
    files = (package.path, *LOCKS[manager.name], *_BESIDE)
    inputs = EVERYTHING if everything else tuple(path for path in files if tree.has(path))
    # Workspaces get a node_modules each, which lie in the source: no folder holds all that was installed.
    output = MODULES if manager.name == "npm" or not several else ""
    # Not "production": npm would leave out what the build needs.
    return Step(
        "install",
        (_argv(manager, with_development=with_development),),
        inputs=inputs,
        output=output,
        caches=("npm",) if manager.name == "npm" else ("npm", manager.name),
        environment={"NODE_ENV": ""},
    )


def _check_lock(tree: Tree, manager: Manager) -> None:
    """BuildFault when npm's lock file cannot be read: npm itself says then how it is used, and not what is wrong."""
    if manager.name != "npm" or not manager.lock:
        return
    text = tree.read(manager.lock)
    hint = f"Delete {manager.lock}, write it anew with “npm install”, and send it along."
    if not text.strip():
        raise BuildFault(f"{manager.lock} is empty.", hint=hint)
    try:
        if len(text) < _READ_WHOLE:
            json_object(manager.lock, text)
    except BuildFault as fault:
        raise BuildFault(str(fault), hint=hint) from fault


def _argv(manager: Manager, *, with_development: bool) -> tuple[str, ...]:
    locked = bool(manager.lock)
    if manager.name == "npm":
        include = "--include=dev" if with_development else "--omit=dev"
        return ("npm", "ci" if locked else "install", include, "--no-audit", "--no-fund", "--loglevel=warn")
    if manager.name == "pnpm":
        return (
            "pnpm", "install", *(("--frozen-lockfile",) if locked else ()), *(() if with_development else ("--prod",)),
            "--reporter=append-only",
        )  # fmt: skip
    if manager.name == "bun":
        options = (*(("--frozen-lockfile",) if locked else ()), *(() if with_development else ("--production",)))
        return ("bun", "install", *options)
    if manager.berry:
        # Where CI is set, as here, Yarn refuses to install without a lock file unless it is told to.
        return ("yarn", "install", "--immutable" if locked else "--no-immutable")
    return (
        "yarn", "install", "--non-interactive", *(("--frozen-lockfile",) if locked else ()),
        f"--production={'false' if with_development else 'true'}",
    )  # fmt: skip


def environment(manager: Manager) -> dict[str, str]:
    """Variables that keep a manager's results in node_modules, and it from asking or updating."""
    common = {"NODE_ENV": "production", "npm_config_update_notifier": "false"}
    if manager.berry:
        # Plug'n'Play writes outside of node_modules; every program runs with either.
        return common | {"YARN_NODE_LINKER": "node-modules", "YARN_ENABLE_TELEMETRY": "0"}
    if manager.name == "pnpm":
        return common | _PNPM_ASKS
    return common
