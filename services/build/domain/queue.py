"""Whose build is next: first come first served within a workspace, workspaces take turns, and none without room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from libs.kernel.units import show_bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """A build that could begin."""

    id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator allows: builds at once in all and per workspace (0: no cap of its own); bytes."""

    most: int = 2
    most_of_workspace: int = 0
    # Memory that one build may come to use.
    memory: int = 0
    # Disk that must stay free.
    disk_reserve: int = 0


@dataclass(frozen=True, slots=True)
class Free:
    """What the machine has left, and what the builds under way hold of its memory; bytes."""

    memory: int
    disk: int
    used_by_builds: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """Why a build has to wait: a word that stays the same, and a sentence with today's numbers."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Admission:
    """Ids of the builds that may begin now, in the order of their turn, and why the others wait."""

    begin: list[str] = field(default_factory=list)
    held: Mapping[str, Held] = field(default_factory=dict)


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


def admit(waiting: Sequence[Waiting], running: Sequence[str], here: int, rules: Rules, free: Free) -> Admission:
    """Who begins now. `here` builds are under way on this machine; with none, memory alone keeps nobody waiting.

    A running build counts with all the memory it may come to use. A workspace at its cap is passed over; when memory
    or disk is short everybody behind waits too, or a large build would never find room.
    """
    workspaces = {one.id: one.workspace_id for one in waiting}
    turns = Counter(running)
    begin: list[str] = []
    held: dict[str, Held] = {}
    short = _disk(rules, free)
    for build_id in in_turn(waiting, running):
        workspace = workspaces[build_id]
        under_way = here + len(begin)
        if rules.most_of_workspace and turns[workspace] >= rules.most_of_workspace:
            held[build_id] = Held(
                "workspace", f"waiting: {_builds(turns[workspace])} of this workspace under way, the most it may have"
            )
            continue
        if under_way >= rules.most:
            held[build_id] = Held("turn", f"waiting for its turn: {_builds(under_way)} under way, the most at once")
            continue
        short = short or _memory(rules, free, under_way)
        if short:
            held[build_id] = short
            continue
        begin.append(build_id)
        turns[workspace] += 1
    return Admission(begin, held)


def _disk(rules: Rules, free: Free) -> Held | None:
    if free.disk >= rules.disk_reserve:
        return None
    kept = f"{_amount(rules.disk_reserve)} must stay free, {_amount(free.disk)} are"
    return Held("disk", f"waiting for disk: {kept}")


def _memory(rules: Rules, free: Free, under_way: int) -> Held | None:
    """A machine that is simply small still builds one at a time."""
    promised = max(0, under_way * rules.memory - free.used_by_builds)
    left = max(0, free.memory - promised)
    if not under_way or left >= rules.memory:
        return None
    return Held("memory", f"waiting for memory: needs {_amount(rules.memory)}, {_amount(left)} are free")


def _builds(count: int) -> str:
    return f"{count} build{' is' if count == 1 else 's are'}"


def _amount(size: int) -> str:
    return show_bytes(size).replace(".0 ", " ")
