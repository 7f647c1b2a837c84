"""Whose build is next: first come first served within a workspace, workspaces take turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A build that could begin."""

    id: str
    workspace_id: str


def in_turn(waiting: Iterable[Waiting], running: Sequence[str]) -> list[str]:
    """Ids in the order of their turn; `waiting` is oldest first, `running` names the workspaces of running builds.

    A workspace with builds under way comes after one with fewer, so that a hundred builds of one do not delay another.
    """
    turns = Counter(running)
    ranked = []
    for place, one in enumerate(waiting):
        ranked.append((turns[one.workspace_id], place, one.id))
        turns[one.workspace_id] += 1
    return [build_id for _, _, build_id in sorted(ranked)]
