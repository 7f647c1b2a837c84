"""Go: modules, workspaces and loose programs become one binary, ./out."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.faults import BuildFault
from libs.plans.pins import pinned
from libs.plans.plan import EVERYTHING, BuildPlan, Evidence, PlanSettings, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "go"
LOOKS_FOR: Final = "go.mod, go.work, main.go"
DEFAULT: Final = "1.25"
_CACHES: Final = ("go",)
_FRAMEWORKS: Final = (("github.com/gin-gonic/gin", "gin"), ("github.com/labstack/echo", "echo"),
                      ("github.com/gofiber/fiber", "fiber"), ("github.com/go-chi/chi", "chi"))  # fmt: skip


def detects(tree: Tree) -> Evidence | None:
    """A module, a workspace, or a main.go."""
    found = tuple(path for path in ("go.mod", "go.work", "main.go") if tree.has(path))
    return Evidence(NAME, found) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Downloads modules, builds the program, starts it."""
    evidence = detects(tree)
    module = tree.read("go.mod") if tree.has("go.mod") else ""
    target = _target(tree)
    build = ("go", "build", "-ldflags=-w -s", "-o", "out", *((target,) if target else ()))
    build_step = Step("build", (build,) if target is not None else (), caches=_CACHES)
    draft = Draft(
        provider=NAME,
        evidence=evidence.files if evidence else (),
        runtime=pinned(tree, "go", ".go-version", default=DEFAULT, manifest=_version(tree)),
        found=lambda: Start("./out", "the program that go build makes", "web") if target is not None else None,
        looked_for="a package main in the root, in cmd/, or in a module of go.work",
        install=_install(tree),
        build=build_step,
        framework=next((name for path, name in _FRAMEWORKS if path in module), ""),
        environment={"CGO_ENABLED": "0"},
    )
    if target is None and not settings.build_command:
        raise BuildFault(
            "No Go program was found: there is no package main in the root, in cmd/, or in a module of go.work.",
            hint="Move main.go to one of these places, or set build_command and start_command.",
        )
    return assemble(tree, settings, draft)


def _target(tree: Tree) -> str | None:
    """The package to build: empty is the root; None when there is none."""
    here = [path for path in tree.ending(".go", depth=0) if not path.endswith("_test.go")]
    if tree.has("go.mod") and here:
        return ""
    commands = sorted({path.split("/")[1] for path in tree.within("cmd") if path.count("/") > 1 and _source(path)})
    if commands:
        return f"./cmd/{commands[0]}"
    if tree.has("go.work"):
        for module in _modules(tree):
            if tree.has(f"{module}/main.go"):
                return f"./{module}"
    return "main.go" if tree.has("main.go") else None


def _source(path: str) -> bool:
    return path.endswith(".go") and not path.endswith("_test.go")


def _modules(tree: Tree) -> list[str]:
    found = re.findall(r"(?:^\s*use\s+|^\s+)(\.{0,2}/?[\w./-]+)\s*$", tree.read("go.work"), re.MULTILINE)
    return [path.removeprefix("./").strip("/") for path in found]


def _install(tree: Tree) -> Step | None:
    files = [path for path in ("go.mod", "go.sum", "go.work", "go.work.sum") if tree.has(path)]
    if not files:
        return None
    if tree.has("go.work"):
        files += [
            f"{one}/{name}" for one in _modules(tree) for name in ("go.mod", "go.sum") if tree.has(f"{one}/{name}")
        ]
    local = tree.has("go.mod") and re.search(r"=>\s*\.", tree.read("go.mod"))
    return Step("install", (("go", "mod", "download"),), inputs=EVERYTHING if local else tuple(files), caches=_CACHES)


def _version(tree: Tree) -> tuple[str, str]:
    for path in ("go.mod", "go.work"):
        if not tree.has(path):
            continue
        for number, line in enumerate(tree.read(path).splitlines(), start=1):
            words = line.split("//")[0].split()
            if len(words) == 2 and words[0] == "go":  # noqa: PLR2004 - the word and its version
                if not re.match(r"^1\.\d+", words[1]):
                    raise BuildFault(f"{path}, line {number}: “{words[1]}” is no version of Go.", hint="Write go 1.25.")
                return words[1], path
    return "", ""
