"""The stages of a build: their names, their order, and what each came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class StageName(StrEnum):
    """What a build does, in the order people are shown; the scan runs beside build and test."""

    FETCH = "fetch"
    DETECT = "detect"
    SCAN = "scan"
    BUILD = "build"
    TEST = "test"
    PUBLISH = "publish"


class StageState(StrEnum):
    """Where a stage is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one build's last attempt."""

    name: StageName
    state: StageState = StageState.PENDING
    started_at: datetime | None = None
    finished_at: datetime | None = None
    # A few words for people: what was found, or why it failed or did not run.
    detail: str = ""

    def document(self) -> dict[str, Any]:
        """The stage as plain JSON values."""
        return {
            "name": self.name.value,
            "state": self.state.value,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "detail": self.detail,
        }


NOTHING_DONE: Final = tuple(Stage(name) for name in StageName)


def stage_of(document: Mapping[str, Any]) -> Stage:
    """The stage that `document()` described."""
    begun, ended = document["started_at"], document["finished_at"]
    return Stage(
        StageName(document["name"]),
        StageState(document["state"]),
        datetime.fromisoformat(begun) if begun else None,
        datetime.fromisoformat(ended) if ended else None,
        document["detail"],
    )


def under_way(stages: Sequence[Stage]) -> str:
    """The stage that a build is at, before the scan beside it; empty: none."""
    return next((one.name.value for one in reversed(stages) if one.state is StageState.RUNNING), "")


def settled(stages: Sequence[Stage], now: datetime, reason: str) -> tuple[Stage, ...]:
    """The stages of a build that has ended: what had not begun was skipped, what ran has failed for this reason.

    Unless another had failed, which ended what ran beside it: only one stage has the build's reason.
    """
    failed = next((stage for stage in stages if stage.state is StageState.FAILED), None)
    ended = []
    for stage in stages:
        if stage.state is StageState.RUNNING and failed is not None:
            why = f"Ended before it was done: the stage {failed.name} failed first."
            ended.append(replace(stage, state=StageState.SKIPPED, finished_at=now, detail=why))
        elif stage.state is StageState.RUNNING:
            ended.append(replace(stage, state=StageState.FAILED, finished_at=now, detail=reason))
        elif stage.state is StageState.PENDING:
            ended.append(replace(stage, state=StageState.SKIPPED, detail=stage.detail or "The build ended before."))
        else:
            ended.append(stage)
    return tuple(ended)
