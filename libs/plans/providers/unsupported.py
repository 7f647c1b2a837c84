"""Languages that are recognised so that they can be refused by name."""

from __future__ import annotations

from typing import Final

from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, Evidence, PlanSettings
from libs.plans.tree import Tree

NAME: Final = "unsupported"
LOOKS_FOR: Final = ""
# Language, and the files (or endings of names in the root) it is recognised by.
_KNOWN: Final = (
    ("Crystal", ("shard.yml",)),
    ("Haskell", ("stack.yaml", "package.yaml", ".cabal")),
    ("Scala", ("build.sbt",)),
    ("Clojure", ("project.clj", "deps.edn")),
    ("Dart", ("pubspec.yaml",)),
    ("Swift", ("Package.swift",)),
    ("Zig", ("build.zig",)),
    ("OCaml", ("dune-project", ".opam")),
    ("Julia", ("Project.toml",)),
    ("R", ("renv.lock", "DESCRIPTION")),
    ("Perl", ("cpanfile", "Makefile.PL")),
    ("Nim", (".nimble",)),
    ("Elm", ("elm.json",)),
    ("Lua", (".rockspec",)),
    ("COBOL", (".cbl", ".cob")),
)


def detects(tree: Tree) -> Evidence | None:
    """A file of a language that has no provider."""
    found = _found(tree)
    return Evidence(NAME, (found[1],)) if found else None


def plan(tree: Tree, settings: PlanSettings) -> BuildPlan:  # noqa: ARG001 - the interface of providers
    """Always the user-facing sentence that names the language; never a plan."""
    language, file = _found(tree) or ("a language without a provider", "no file says which")
    raise BuildFault(
        f"This looks like {language} ({file}), which is not supported.",
        hint="Write a Dockerfile, or a start.sh that brings what it needs.",
    )


def _found(tree: Tree) -> tuple[str, str] | None:
    for language, marks in _KNOWN:
        for mark in marks:
            path = next(iter(tree.ending(mark, depth=0)), None) if mark.startswith(".") else tree.first(mark)
            if path:
                return language, path
    return None
