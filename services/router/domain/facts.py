"""What the router tells others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameClaimed:
    """A service has a host name."""

    service_id: str
    environment_id: str
    workspace_id: str
    host: str


@dataclass(frozen=True, slots=True)
class EndpointsPublished:
    """Every edge has these endpoints, and new requests go there."""

    service_id: str
    environment_id: str
    workspace_id: str
    version: int
    count: int
    # What it was done for: the deployment, when the caller named it.
    deployment_id: str


RouterFact = NameClaimed | EndpointsPublished
