"""Build's facts as protobuf."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import Message

from libs.facts import NewFact
from libs.protogen.lightrail.build.v1 import events_pb2
from services.build.domain.facts import (
    BuildCancelled,
    BuildFact,
    BuildFailed,
    BuildSkipped,
    BuildStarted,
    BuildSucceeded,
    SnapshotStored,
    SourceFetched,
)

SUBJECTS: Final[dict[type[BuildFact], str]] = {
    SnapshotStored: "lightrail.build.snapshot.stored.v1",
    BuildStarted: "lightrail.build.build.started.v1",
    BuildSucceeded: "lightrail.build.build.succeeded.v1",
    BuildFailed: "lightrail.build.build.failed.v1",
    BuildCancelled: "lightrail.build.build.cancelled.v1",
    BuildSkipped: "lightrail.build.build.skipped.v1",
    SourceFetched: "lightrail.build.source.fetched.v1",
}


def encode(fact: BuildFact) -> NewFact:
    """The fact as it is recorded; builds are correlated by their deployment."""
    correlation = "" if isinstance(fact, SnapshotStored) else fact.deployment_id
    return NewFact(SUBJECTS[type(fact)], fact.workspace_id, correlation, _payload(fact).SerializeToString())


def _payload(fact: BuildFact) -> Message:  # noqa: PLR0911 - one for each fact
    match fact:
        case SnapshotStored():
            return events_pb2.SnapshotStored(
                snapshot_id=fact.snapshot_id,
                workspace_id=fact.workspace_id,
                service_id=fact.service_id,
                digest=fact.digest,
            )
        case BuildStarted():
            return events_pb2.BuildStarted(
                build_id=fact.build_id, deployment_id=fact.deployment_id, workspace_id=fact.workspace_id
            )
        case BuildSucceeded():
            return events_pb2.BuildSucceeded(
                build_id=fact.build_id,
                deployment_id=fact.deployment_id,
                workspace_id=fact.workspace_id,
                artifact_digest=fact.artifact_digest,
                kind=fact.kind,
            )
        case BuildFailed():
            return events_pb2.BuildFailed(
                build_id=fact.build_id,
                deployment_id=fact.deployment_id,
                workspace_id=fact.workspace_id,
                reason=fact.reason,
            )
        case BuildCancelled():
            return events_pb2.BuildCancelled(
                build_id=fact.build_id,
                deployment_id=fact.deployment_id,
                workspace_id=fact.workspace_id,
                superseded_by=fact.superseded_by,
            )
        case BuildSkipped():
            return events_pb2.BuildSkipped(
                build_id=fact.build_id,
                deployment_id=fact.deployment_id,
                workspace_id=fact.workspace_id,
                reason=fact.reason,
            )
        case SourceFetched():
            return events_pb2.SourceFetched(
                build_id=fact.build_id,
                deployment_id=fact.deployment_id,
                workspace_id=fact.workspace_id,
                snapshot_id=fact.snapshot_id,
                commit=fact.commit.sha,
                message=fact.commit.message,
                author=fact.commit.author,
            )
