"""The world in an edge's terms, its bytes already made: pure data between the translator and the sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from services.router.domain.world import Key


class Kind(Enum):
    """What an edge can be told about."""

    CLUSTERS = "clusters"
    ENDPOINTS = "endpoints"
    LISTENERS = "listeners"
    ROUTES = "routes"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing an edge holds. Equal versions mean equal bodies."""

    version: str
    body: bytes = b""
    # The cluster that must be ready before this may be shown.
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What a host name answers: `ready` once its cluster is warm, `waiting` until then."""

    ready: Resource
    waiting: Resource


@dataclass(frozen=True, slots=True)
class Place:
    """Where an app is found in a snapshot. Empty: it has none."""

    cluster: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything an edge should hold at a revision of the world.

    A cluster that is not in `endpoints` brings its endpoints itself. A `provisional` snapshot comes from the file of
    the last run: good for an edge that has nothing, never a reason to change one that has something.
    """

    revision: int
    listeners: Mapping[str, Resource] = field(default_factory=dict)
    clusters: Mapping[str, Resource] = field(default_factory=dict)
    endpoints: Mapping[str, Resource] = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    places: Mapping[Key, Place] = field(default_factory=dict)
    provisional: bool = False


def fingerprint(body: bytes) -> str:
    """Returns a version that is the same for the same bytes, in every run."""
    return hashlib.sha256(body).hexdigest()[:16]


def assembled(parts: Mapping[str, Resource]) -> str:
    """Returns the version of a whole made of these parts."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        digest.update(f"{name}={parts[name].version}\n".encode())
    return digest.hexdigest()[:16]
