"""C and C++ with CMake or Meson."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.assemble import Draft, assemble
from libs.plans.pins import pinned
from libs.plans.plan import BuildPlan, Evidence, PlanSettings, Runtime, Step
from libs.plans.start import Start
from libs.plans.tree import Tree

NAME: Final = "cpp"
LOOKS_FOR: Final = "CMakeLists.txt, meson.build"
FOLDER: Final = "/app/build"


def detects(tree: Tree) -> Evidence | None:
    """A CMakeLists.txt or a meson.build."""
    found = tree.first("CMakeLists.txt", "meson.build")
    return Evidence(NAME, (found,)) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:
    """Builds with Ninja into ./build, and starts the first program that the build file names."""
    file = tree.first("CMakeLists.txt", "meson.build") or "CMakeLists.txt"
    cmake = file == "CMakeLists.txt"
    name = _program(tree.read(file), cmake=cmake)
    commands = (
        (("cmake", "-B", FOLDER, "-G", "Ninja", "-D", "CMAKE_BUILD_TYPE=Release", "."), ("cmake", "--build", FOLDER))
        if cmake
        else (("meson", "setup", FOLDER, "--buildtype=release"), ("meson", "compile", "-C", FOLDER))
    )
    draft = Draft(
        provider=NAME,
        evidence=(file,),
        runtime=Runtime("cpp"),
        found=lambda: Start(f"{FOLDER}/{name}", f"{file} (the program {name})", "web") if name else None,
        looked_for="add_executable in CMakeLists.txt, executable in meson.build",
        build=Step("build", commands),
        tools=(pinned(tree, "cmake" if cmake else "meson"), pinned(tree, "ninja")),
    )
    return assemble(tree, settings, draft)


def _program(text: str, *, cmake: bool) -> str:
    if not cmake:
        named = re.search(r"\bexecutable\s*\(\s*'([\w.+-]+)'", text)
        return named[1] if named else ""
    named = re.search(
        r"\badd_executable\s*\(\s*\"?([\w.+-]+|\$\{(?:PROJECT_NAME|CMAKE_PROJECT_NAME)\})", text, re.IGNORECASE
    )
    if named and named[1].startswith("$"):
        named = re.search(r"\bproject\s*\(\s*\"?([\w.+-]+)", text, re.IGNORECASE)
    return named[1] if named else ""
