"""Every loop and every reaction has the two tests it owes: repeated steps, and a failure at every step."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.arch.tree import ROOT, SERVICES, name, services, sources

OWED = ("repeats_harmlessly", "survives_failure_at_every_step")


def classes(path: Path) -> list[ast.ClassDef]:
    """Gives the classes a file defines."""
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)]


def methods(node: ast.ClassDef) -> list[str]:
    """Names the public coroutines of a class."""
    return [item.name for item in node.body if isinstance(item, ast.AsyncFunctionDef) and not item.name.startswith("_")]


def loops() -> dict[str, str]:
    """Gives every reconciler's class as name -> service."""
    return {
        node.name: service
        for service in services()
        for path in sources(SERVICES / service)
        if "loops" in path.parts or path.name == "loops.py"
        for node in classes(path)
        if {"due", "step"} <= set(methods(node))
    }


def reactions() -> dict[str, str]:
    """Gives every use case begun by a fact as name -> service."""
    return {
        method: service
        for service in services()
        for path in sources(SERVICES / service / "app")
        for node in classes(path)
        if node.name == "Reactions"
        for method in methods(node)
    }


def proofs_of(service: str) -> str:
    """Joins the tests of a service that pay a debt."""
    folders = [ROOT / "tests" / kind / service for kind in ("unit", "integration")]
    texts = [path.read_text(encoding="utf-8") for folder in folders if folder.exists() for path in sources(folder)]
    return "\n".join(text for text in texts if all(word in text for word in OWED))


def test_there_are_loops_and_reactions() -> None:
    assert loops()
    assert reactions()


def test_every_loop_repeats_harmlessly_and_survives_failure_at_every_step() -> None:
    assert [f"{loop} of {service}" for loop, service in loops().items() if loop not in proofs_of(service)] == []


def test_every_reaction_repeats_harmlessly_and_survives_failure_at_every_step() -> None:
    owing = [
        f"{reaction} of {service}" for reaction, service in reactions().items() if reaction not in proofs_of(service)
    ]
    assert owing == []


def test_no_test_sleeps() -> None:
    sleeping = [
        f"{name(path)}:{node.lineno}"
        for path in sources(ROOT / "tests")
        if path.name.startswith("test_")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"asyncio", "time"}
    ]
    assert sleeping == []
