"""What build does when deploy or project tells something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.facts import Fact, Handler
from libs.protogen.lightrail.deploy.v1 import events_pb2
from libs.protogen.lightrail.project.v1 import events_pb2 as project
from services.build.app.reactions import Reactions, Wanted
from services.build.domain.source import GitWish

DEPLOY: Final = "deploy"
PROJECT: Final = "project"
SERVICE_DELETED: Final = "lightrail.project.service.deleted.v1"
REQUESTED: Final = "lightrail.deploy.deployment.requested.v1"
QUEUED: Final = "lightrail.deploy.deployment.queued.v1"
# What was made for new variables alone pushes no code aside, here as in deploy; older facts do not say.
ASIDE: Final = frozenset({"variables", ""})
# States in which a deployment's build is of no use any more.
UNWANTED: Final = (
    "lightrail.deploy.deployment.removing.v1",
    "lightrail.deploy.deployment.removed.v1",
    "lightrail.deploy.deployment.failed.v1",
    "lightrail.deploy.deployment.skipped.v1",
    "lightrail.deploy.deployment.crashed.v1",
)


def to_deploy(reactions: Reactions) -> Mapping[str, Handler]:
    """Reactions to what deploy tells, by subject."""

    async def requested(fact: Fact) -> None:
        message = events_pb2.DeploymentRequested.FromString(fact.payload)
        await reactions.deployment_requested(
            Wanted(
                deployment_id=message.deployment_id,
                workspace_id=message.workspace_id,
                project_id=message.project_id,
                service_id=message.service_id,
                environment_id=message.environment_id,
                snapshot_id="" if message.artifact_digest else message.snapshot_id,
                git=(
                    GitWish(message.git_url, message.git_ref, message.push_id, message.base_commit)
                    if message.git and not message.artifact_digest
                    else None
                ),
            )
        )

    async def queued(fact: Fact) -> None:
        message = events_pb2.DeploymentChanged.FromString(fact.payload)
        if message.trigger not in ASIDE:
            await reactions.newer_queued(message.deployment_id, message.service_id, message.environment_id)

    async def unwanted(fact: Fact) -> None:
        await reactions.deployment_unwanted(events_pb2.DeploymentChanged.FromString(fact.payload).deployment_id)

    return {REQUESTED: requested, QUEUED: queued, **dict.fromkeys(UNWANTED, unwanted)}


def to_project(reactions: Reactions) -> Mapping[str, Handler]:
    """Reactions to what project tells, by subject."""

    async def service_deleted(fact: Fact) -> None:
        await reactions.service_deleted(project.ServiceDeleted.FromString(fact.payload).service_id)

    return {SERVICE_DELETED: service_deleted}
