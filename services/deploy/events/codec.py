"""Deploy's facts as they go over the wire."""

from __future__ import annotations

from typing import Final

from libs.facts import NewFact
from libs.protogen.lightrail.deploy.v1 import events_pb2
from services.deploy.domain.facts import DeploymentRequested, Fact
from services.deploy.domain.machine import State

_WORDS: Final = {State.ACTIVE: "went_live"}


def encode(fact: Fact) -> NewFact:
    """The fact with its subject and payload."""
    d = fact.deployment
    if isinstance(fact, DeploymentRequested):
        word = "requested"
        payload = events_pb2.DeploymentRequested(
            deployment_id=d.id,
            service_id=d.service_id,
            environment_id=d.environment_id,
            project_id=d.project_id,
            workspace_id=d.workspace_id,
            snapshot_id="" if d.artifact_digest else d.snapshot_id,
            artifact_digest=d.artifact_digest,
            trigger=d.trigger,
            git_url=d.git.url if d.git else "",
            git_ref=d.git.ref if d.git else "",
            push_id=d.git.push_id if d.git else "",
            git=d.git is not None,
            base_commit=fact.base_commit,
        ).SerializeToString()
    else:
        word = _WORDS.get(d.state, str(d.state))
        payload = events_pb2.DeploymentChanged(
            deployment_id=d.id,
            service_id=d.service_id,
            environment_id=d.environment_id,
            project_id=d.project_id,
            workspace_id=d.workspace_id,
            state=str(d.state),
            reason=d.reason,
            trigger=d.trigger,
        ).SerializeToString()
    return NewFact(f"lightrail.deploy.deployment.{word}.v1", d.workspace_id, d.id, payload)
