"""Rust with Cargo: packages and workspaces."""

from __future__ import annotations

import fnmatch
import re
from typing import Any, Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import LISTEN, BuildPlan, Evidence, PlanSettings, Step
from libs.plans.start import Start
from libs.plans.tree import Tree
from libs.plans.values import rows, table

NAME: Final = "rust"
LOOKS_FOR: Final = "Cargo.toml"
DEFAULT: Final = "1.89"
_FRAMEWORKS: Final = ("axum", "actix-web", "rocket", "warp", "poem")
# The first release of an edition is the oldest that can be asked for.
_EDITIONS: Final = {"2015": "1.30.0", "2018": "1.55.0", "2021": "1.84.0", "2024": "1.85.1"}


def detects(tree: Tree) -> Evidence | None:
    """A Cargo.toml."""
    return Evidence(NAME, ("Cargo.toml",)) if tree.has("Cargo.toml") else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Builds in release mode, keeps the programs in ./bin, starts one."""
    cargo = tree.toml("Cargo.toml")
    member = _member(tree, cargo)
    programs = [member] if member else _programs(tree, cargo)
    build = ("cargo", "build", "--release", *(("--package", member) if member else ()))
    commands = [build, ("mkdir", "-p", "bin"), *(("cp", f"target/release/{one}", "bin") for one in programs)]
    chosen = _chosen(cargo, programs)
    package = table(cargo, "package")
    draft = Draft(
        provider=NAME,
        evidence=("Cargo.toml", *(("Cargo.lock",) if tree.has("Cargo.lock") else ())),
        runtime=pinned(
            tree, "rust", "rust-version.txt", ".rust-version", default=DEFAULT, manifest=_version(tree, cargo)
        ),
        found=lambda: Start(f"./bin/{chosen}", "the program that cargo makes", "web") if chosen else None,
        looked_for="src/main.rs, src/bin, [[bin]] and default-run in Cargo.toml",
        build=Step("build", tuple(commands) if programs else (build,), caches=("cargo",)),
        framework=next((one for one in _FRAMEWORKS if one in table(cargo, "dependencies")), ""),
        environment={"ROCKET_ADDRESS": LISTEN} if "rocket" in table(cargo, "dependencies") else {},
        warnings=() if package or member else ("Cargo.toml has neither a package nor a member with a program.",),
    )
    return assemble(tree, settings, draft)


def _programs(tree: Tree, cargo: dict[str, Any]) -> list[str]:
    name = table(cargo, "package").get("name")
    found = [str(name)] if isinstance(name, str) and tree.has("src/main.rs") else []
    for path in tree.within("src/bin"):
        parts = path.removeprefix("src/bin/").split("/")
        if parts[-1] == "main.rs" and len(parts) == 2:  # noqa: PLR2004 - src/bin/NAME/main.rs
            found.append(parts[0])
        elif len(parts) == 1 and parts[0].endswith(".rs"):
            found.append(parts[0].removesuffix(".rs"))
    listed = cargo.get("bin")
    tables = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    found += [one["name"] for one in tables if isinstance(one.get("name"), str)]
    return list(dict.fromkeys(found))


def _chosen(cargo: dict[str, Any], programs: list[str]) -> str:
    default = table(cargo, "package").get("default-run")
    if isinstance(default, str) and default in programs:
        return default
    return programs[0] if len(programs) == 1 else ""


def _member(tree: Tree, cargo: dict[str, Any]) -> str:
    """The workspace's member that has a program; empty outside of workspaces."""
    workspace = table(cargo, "workspace")
    if not workspace or _programs(tree, cargo):
        return ""
    folders = sorted(path.removesuffix("/Cargo.toml") for path in tree.ending("/Cargo.toml", depth=3))
    excluded = [str(one) for one in rows(workspace, "exclude")]
    for key in ("default-members", "members"):
        for pattern in rows(workspace, key):
            for folder in folders:
                if (
                    fnmatch.fnmatch(folder, str(pattern))
                    and folder not in excluded
                    and tree.has(f"{folder}/src/main.rs")
                ):
                    name = table(tree.toml(f"{folder}/Cargo.toml"), "package").get("name")
                    return str(name or folder.rsplit("/", 1)[-1])
    return ""


def _version(tree: Tree, cargo: dict[str, Any]) -> tuple[str, str]:
    for path in ("rust-toolchain.toml", "rust-toolchain"):
        if not tree.has(path):
            continue
        text = tree.read(path)
        channel = table(tree.toml(path), "toolchain").get("channel", "") if "[" in text else text.strip()
        if re.match(r"^\d+\.\d+", str(channel)):
            return str(channel), path
    package = table(cargo, "package")
    version = package.get("rust-version") or table(cargo, "workspace", "package").get("rust-version")
    if isinstance(version, str) and version:
        return version, "Cargo.toml (rust-version)"
    edition = package.get("edition") or table(cargo, "workspace", "package").get("edition")
    known = _EDITIONS.get(str(edition), "")
    return (f">={known}", f"Cargo.toml (edition {edition})") if known else ("", "")
