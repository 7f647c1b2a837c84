"""Pushes: which refs may move, and what becomes of a push whose build has ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from libs.git.pkt import ZERO, Command
from libs.git.refs import HEADS, TAGS, branch_of, ref_name
from libs.kernel.errors import Invalid
from services.build.domain.model import Build, BuildState

# Branches that are deployed while no branch is set.
USUAL: Final = ("main", "master")
# Where a push lies until it is known what becomes of it.
INCOMING: Final = "refs/incoming/"


class PushState(StrEnum):
    """Where a push is."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Push:
    """A push that deploys; without a deployment it is not asked for yet."""

    id: str
    workspace_id: str
    service_id: str
    environment_id: str
    ref: str
    old_commit: str
    new_commit: str
    state: PushState
    created_at: datetime
    deployment_id: str = ""


def refusal(wish: Command, branch: str) -> str:
    """Why a ref may not be moved or deleted; empty when it may. `branch` is the deployed one; empty: the usual ones."""
    if wish.new == ZERO and deploys(wish, branch):
        return "the branch that is deployed stays"
    if not wish.ref.startswith((HEADS, TAGS)):
        return "only branches and tags are kept"
    try:
        ref_name(wish.ref)
    except Invalid:
        return "this is no name of a branch"
    return ""


def deploys(wish: Command, branch: str) -> bool:
    """Whether this is the branch that is deployed; empty: the usual ones are."""
    name = branch_of(wish.ref)
    return bool(name) and (name == branch if branch else name in USUAL)


def verdict(build: Build | None, deployment: str) -> PushState:
    """What becomes of a push, by its build and its deployment's state; pending while that is open.

    The branch moves when the build succeeded, or found nothing to build; not when another one took its place.
    """
    if build is not None and build.state is BuildState.SUCCEEDED:
        return PushState.ACCEPTED
    if deployment not in _OVER or (build is not None and not build.state.final):
        return PushState.PENDING
    began = build is not None and build.attempt > 0
    return PushState.ACCEPTED if deployment == "skipped" and began else PushState.REFUSED


_OVER: Final = frozenset({"failed", "crashed", "removing", "removed", "skipped", "unknown"})
