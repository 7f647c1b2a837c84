"""The one table of legal transitions of a deployment."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from libs.kernel.errors import Conflict


class State(StrEnum):
    """Where a deployment is in its life."""

    QUEUED = "queued"
    WAITING = "waiting"
    NEEDS_APPROVAL = "needs_approval"
    INITIALIZING = "initializing"
    BUILDING = "building"
    DEPLOYING = "deploying"
    ACTIVE = "active"
    SLEEPING = "sleeping"
    FAILED = "failed"
    CRASHED = "crashed"
    SKIPPED = "skipped"
    REMOVING = "removing"
    REMOVED = "removed"


_ENDINGS: Final = {State.FAILED, State.REMOVED}
LEGAL: Final[dict[State, frozenset[State]]] = {
    State.NEEDS_APPROVAL: frozenset({State.QUEUED, State.SKIPPED, State.REMOVED}),
    State.WAITING: frozenset({State.QUEUED, State.SKIPPED, State.REMOVED}),
    State.QUEUED: frozenset({State.INITIALIZING, State.SKIPPED, *_ENDINGS}),
    # Skipped: a newer one came while its build was still in the queue, or nothing that is watched has changed.
    State.INITIALIZING: frozenset({State.BUILDING, State.DEPLOYING, State.SKIPPED, *_ENDINGS}),
    State.BUILDING: frozenset({State.DEPLOYING, State.SKIPPED, *_ENDINGS}),
    State.DEPLOYING: frozenset({State.ACTIVE, State.CRASHED, State.REMOVING, *_ENDINGS}),
    State.ACTIVE: frozenset({State.SLEEPING, State.CRASHED, State.REMOVING}),
    State.SLEEPING: frozenset({State.ACTIVE, State.CRASHED, State.REMOVING}),
    State.CRASHED: frozenset({State.REMOVING}),
    State.REMOVING: frozenset({State.REMOVED}),
    State.FAILED: frozenset(),
    State.SKIPPED: frozenset(),
    State.REMOVED: frozenset(),
}
# On its way to being live: one of these at a time per service and environment.
IN_FLIGHT: Final = frozenset({State.INITIALIZING, State.BUILDING, State.DEPLOYING})
# Its instances are wanted.
RUNNING: Final = frozenset({State.DEPLOYING, State.ACTIVE})
# Nothing more happens by itself.
FINAL: Final = frozenset({State.FAILED, State.SKIPPED, State.REMOVED, State.CRASHED})


def check(now: State, to: State) -> None:
    """Passes when `to` may follow `now`; Conflict otherwise."""
    if to not in LEGAL[now]:
        raise Conflict(f"A deployment that is {now} cannot become {to}.")
