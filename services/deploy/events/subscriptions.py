"""Which facts deploy reacts to."""

from __future__ import annotations

from collections.abc import Mapping

from libs.facts import Fact, Handler
from libs.protogen.lightrail.build.v1 import events_pb2 as build
from libs.protogen.lightrail.project.v1 import events_pb2 as project
from services.deploy.app.reactions import Commit, Reactions


def to_build(reactions: Reactions) -> Mapping[str, Handler]:
    """Reactions to what build tells."""

    async def started(fact: Fact) -> None:
        await reactions.build_started(build.BuildStarted.FromString(fact.payload).deployment_id)

    async def succeeded(fact: Fact) -> None:
        told = build.BuildSucceeded.FromString(fact.payload)
        await reactions.build_succeeded(told.deployment_id, told.artifact_digest)

    async def failed(fact: Fact) -> None:
        told = build.BuildFailed.FromString(fact.payload)
        await reactions.build_failed(told.deployment_id, told.reason)

    async def cancelled(fact: Fact) -> None:
        told = build.BuildCancelled.FromString(fact.payload)
        await reactions.build_cancelled(told.deployment_id, superseded_by=told.superseded_by)

    async def fetched(fact: Fact) -> None:
        told = build.SourceFetched.FromString(fact.payload)
        commit = Commit(told.commit, told.message, told.author)
        await reactions.source_fetched(told.deployment_id, told.snapshot_id, commit)

    async def skipped(fact: Fact) -> None:
        told = build.BuildSkipped.FromString(fact.payload)
        await reactions.build_skipped(told.deployment_id, told.reason)

    return {
        "lightrail.build.source.fetched.v1": fetched,
        "lightrail.build.build.skipped.v1": skipped,
        "lightrail.build.build.started.v1": started,
        "lightrail.build.build.succeeded.v1": succeeded,
        "lightrail.build.build.failed.v1": failed,
        "lightrail.build.build.cancelled.v1": cancelled,
    }


def to_project(reactions: Reactions) -> Mapping[str, Handler]:
    """Reactions to what project tells."""

    async def variables_changed(fact: Fact) -> None:
        told = project.VariablesChanged.FromString(fact.payload)
        await reactions.variables_changed(
            told.service_id, told.environment_id, version=told.version, skip_deploys=told.skip_deploys
        )

    async def service_deleted(fact: Fact) -> None:
        await reactions.service_deleted(project.ServiceDeleted.FromString(fact.payload).service_id)

    return {
        "lightrail.project.variables.changed.v1": variables_changed,
        "lightrail.project.service.deleted.v1": service_deleted,
    }
