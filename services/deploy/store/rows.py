"""Rows to models and back."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.db import Row
from services.deploy.domain.instance import Artifact
from services.deploy.domain.machine import State
from services.deploy.domain.model import (
    Deployment,
    Endpoint,
    GitSource,
    Instance,
    InstanceState,
    Release,
    Resources,
    Route,
    Settings,
    Trigger,
)

DEPLOYMENT = (
    "id, workspace_id, project_id, environment_id, service_id, service_name, state, trigger, reason, snapshot_id,"
    " artifact_digest, origin_id, url, replicas, resources, variables_version, settings, created_at, updated_at,"
    " went_live_at, git"
)
INSTANCE = (
    "id, deployment_id, pair, replica, state, restarts, start_after, port, started_at, healthy_at, checked_at,"
    " failed_checks, drain_until, exit_code, reason, log_offset"
)


def deployment(row: Row) -> Deployment:
    """A row of `deployments`."""
    fields = dict(row.items())
    settings, git = fields.pop("settings"), fields.pop("git")
    return Deployment(
        **fields
        | {
            "state": State(fields["state"]),
            "trigger": Trigger(fields["trigger"]),
            "resources": msgspec.convert(fields["resources"], Resources),
            "settings": msgspec.convert(settings, Settings) if settings is not None else None,
            "git": msgspec.convert(git, GitSource) if git is not None else None,
        }
    )


def instance(row: Row) -> Instance:
    """A row of `instances`."""
    fields = dict(row.items())
    return Instance(**fields | {"state": InstanceState(fields["state"])})


def release(row: Row) -> Release:
    """A row of `releases`."""
    return Release(
        deployment_id=row["deployment_id"],
        artifact=msgspec.convert(row["artifact"], Artifact),
        settings=msgspec.convert(row["settings"], Settings),
        sealed_variables=row["sealed_variables"],
        secret_names=tuple(row["secret_names"]),
    )


def route(row: Row) -> Route:
    """A row of `routes`."""
    endpoints = tuple(Endpoint(item["instance_id"], item["port"]) for item in row["endpoints"])
    return Route(endpoints, row["generation"])


def plain(value: object) -> Any:  # noqa: ANN401 - JSON is any
    """A dataclass as JSON values."""
    return msgspec.to_builtins(value)
