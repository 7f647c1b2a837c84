"""Reads a Procfile: which processes there are, and their commands."""

from __future__ import annotations

import re
from typing import Final

from libs.plans.faults import BuildFault
from libs.plans.tree import Tree

_LINE: Final = re.compile(r"^([A-Za-z0-9_-]+)\s*:\s*(.+)$")
NAME: Final = "Procfile"


def read_procfile(tree: Tree) -> dict[str, str]:
    """Commands by process name; empty when there is no Procfile. BuildFault naming the line that is none."""
    if not tree.has(NAME):
        return {}
    processes = {}
    for number, raw in enumerate(tree.read(NAME).splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise BuildFault(f"Procfile, line {number}: “{line[:80]}” is not of the form “name: command”.")
        processes[match[1]] = match[2].strip()
    return processes
