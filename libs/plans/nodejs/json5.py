"""Reads JSON with comments, trailing commas, bare names and single quotes, by making plain JSON of it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from libs.plans.tree import Tree, json_object

_TOKEN: Final = re.compile(
    r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<comment>//[^\n]*|/\*.*?\*/)"""
    r"""|(?P<name>[A-Za-z_$][\w$]*)(?=\s*:)|(?P<comma>,(?=(?:\s|//[^\n]*|/\*.*?\*/)*[}\]]))""",
    re.DOTALL,
)


def read_json5(tree: Tree, path: str) -> dict[str, Any]:
    """The object in a relaxed JSON file. BuildFault naming the file and line when it is none."""
    return json_object(path, plain_json(tree.read(path)))


def plain_json(text: str) -> str:
    """The same text as plain JSON, with every line where it was."""
    return _TOKEN.sub(_plain, text)


def _plain(match: re.Match[str]) -> str:
    found = match[0]
    if match["comment"]:
        return "\n" * found.count("\n")
    if match["comma"]:
        return ""
    if match["name"]:
        return f'"{found}"'
    if found.startswith("'"):
        return json.dumps(found[1:-1].replace("\\'", "'"))
    return found
