"""What build tells the others, in the past tense."""

from __future__ import annotations

from dataclasses import dataclass

from services.build.domain.source import Commit


@dataclass(frozen=True, slots=True)
class SnapshotStored:
    """A source archive was checked and kept."""

    snapshot_id: str
    workspace_id: str
    service_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class BuildStarted:
    """A build left the queue, for the first time."""

    build_id: str
    deployment_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class BuildSucceeded:
    """There is an artifact."""

    build_id: str
    deployment_id: str
    workspace_id: str
    artifact_digest: str
    kind: str


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """There is none, and why."""

    build_id: str
    deployment_id: str
    workspace_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class BuildCancelled:
    """Nobody wants it any more."""

    build_id: str
    deployment_id: str
    workspace_id: str
    # The newer deployment that made it needless before it began; empty: it was called off.
    superseded_by: str = ""


@dataclass(frozen=True, slots=True)
class BuildSkipped:
    """No watched file has changed since what is live."""

    build_id: str
    deployment_id: str
    workspace_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SourceFetched:
    """A commit was fetched and kept as a snapshot."""

    build_id: str
    deployment_id: str
    workspace_id: str
    snapshot_id: str
    commit: Commit


BuildFact = SnapshotStored | BuildStarted | BuildSucceeded | BuildFailed | BuildCancelled | BuildSkipped | SourceFetched
