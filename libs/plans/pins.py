"""Versions of tools that people pin in files which many languages share: mise.toml, .tool-versions."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.faults import BuildFault
from libs.plans.plan import Runtime
from libs.plans.reading import Reading
from libs.plans.tree import Tree
from libs.plans.values import table
from libs.plans.versions import alias, is_constraint

# The names other tools have for what we call otherwise.
_ALIASES: Final = {"nodejs": "node", "golang": "go", "python3": "python", "openjdk": "java"}
_MISE: Final = ("mise.toml", ".mise.toml", "mise/config.toml", ".config/mise.toml", ".config/mise/config.toml")


def pinned(tree: Tree, name: str, *files: str, default: str = "", manifest: tuple[str, str] = ("", "")) -> Runtime:
    """The runtime as the source asks for it: mise.toml, .tool-versions, its own version files, its manifest, a default.

    `manifest` is a version and the file that says so. BuildFault naming the line where no version stands.
    """
    for version, source, place in _asked(tree, name, files):
        plain = plain_version(version)
        if plain is not None:
            return Runtime(name, plain, source)
        if version.strip() and (source in files or not is_constraint(version, name)):
            raise BuildFault(f"{place}: this is no version of {name}.", hint="Write only its number.")
    version, source = manifest
    return Runtime(name, version, source) if version else Runtime(name, default)


def plain_version(text: str) -> str | None:
    """A version without decoration: "v22.1" is "22.1", "lts/jod" is "22"; empty for "latest"; None for no version."""
    word = next((line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")), "")
    word = word.strip("\"'")
    known = alias(word)
    if known is not None:
        return known
    match = re.search(r"(\d+(?:\.(?:\d+|x|\*))*)", word)
    return match[1] if match else None


def _line(text: str) -> str:
    """The first line that says anything."""
    told = (number for number, line in enumerate(text.splitlines(), start=1) if line.strip() and line.strip()[0] != "#")
    return f"line {next(told, 1)}"


def _asked(tree: Tree, name: str, files: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """What is written, the file it is written in, and the place there, for messages."""
    found: list[tuple[str, str, str]] = []
    mise = tree.first(*_MISE)
    if mise:
        read = Reading(mise, tree.read(mise), tree.toml(mise))
        tools = _versions(table(read.document, "tools"), name)
        found += [(version, mise, read.line_of(f"tools.{tool}")) for tool, version in tools.items()]
    if tree.has(".tool-versions"):
        for number, line in enumerate(tree.read(".tool-versions").splitlines(), start=1):
            words = line.split("#")[0].split()
            if len(words) > 1 and _ALIASES.get(words[0], words[0]) == name:
                found.append((words[1], ".tool-versions", f".tool-versions, line {number}"))
    texts = {path: tree.read(path) for path in files if tree.has(path)}
    return found + [(text, path, f"{path}, {_line(text)}") for path, text in texts.items()]


def _versions(tools: dict[str, object], name: str) -> dict[str, str]:
    """By the name that the tool has in the file."""
    found = {}
    for tool, wanted in tools.items():
        if _ALIASES.get(tool, tool) != name:
            continue
        first = wanted[0] if isinstance(wanted, list) and wanted else wanted
        version = first.get("version") if isinstance(first, dict) else first
        if isinstance(version, (str, int, float)):
            found[tool] = str(version)
    return found
