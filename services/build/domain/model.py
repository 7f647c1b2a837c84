"""Snapshots, builds, artifacts: what they are, and what may follow what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from services.build.domain.source import GitWish
from services.build.domain.stages import NOTHING_DONE, Stage, settled


class BuildState(StrEnum):
    """Where a build is."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL


FINAL: Final = frozenset({BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED})
# The one table of what may follow what; running follows running when a process died.
TRANSITIONS: Final[Mapping[BuildState, frozenset[BuildState]]] = {
    BuildState.QUEUED: frozenset({BuildState.RUNNING, BuildState.CANCELLED}),
    BuildState.RUNNING: frozenset({BuildState.RUNNING, *FINAL}),
    BuildState.SUCCEEDED: frozenset(),
    BuildState.FAILED: frozenset(),
    BuildState.CANCELLED: frozenset(),
}
# The platform's own failures after which a build is given up.
MOST_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A checked source archive in the blob store."""

    id: str
    workspace_id: str
    service_id: str
    # sha256:<hex> of the archive.
    digest: str
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Build:
    """One build, of one deployment."""

    id: str
    workspace_id: str
    project_id: str
    service_id: str
    environment_id: str
    deployment_id: str
    snapshot_id: str
    state: BuildState
    created_at: datetime
    reason: str = ""
    provider: str = ""
    artifact_digest: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    # How often it was begun.
    attempt: int = 0
    # Why it has not begun, while it is queued.
    waiting: str = ""
    # What is to be fetched; None: it was uploaded.
    git: GitWish | None = None
    # Digest of the signed statement about its artifact.
    provenance_digest: str = ""
    # Those of its last attempt; empty: none has begun.
    stages: tuple[Stage, ...] = ()

    @property
    def progress(self) -> tuple[Stage, ...]:
        """The stages as people are shown them, whoever ended the build: nothing of one that has ended is under way."""
        if self.finished_at is None:
            return self.stages or NOTHING_DONE
        return settled(self.stages or NOTHING_DONE, self.finished_at, self.reason)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a build's log; numbers start at 1 and have no gaps."""

    number: int
    time: datetime
    step: str
    # stdout, stderr, or platform
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Layer:
    """A folder made by the build, in the blob store as an archive."""

    digest: str
    # Absolute path inside the instance.
    mount: str
    writable: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Image:
    """A container image that a build made."""

    # How an engine finds it: a name on this machine, or a registry's address with the digest.
    reference: str
    # sha256:<hex>: of the image's manifest in a registry, else its id in the engine.
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a runtime needs to start the result; named by the hash of its canonical JSON."""

    layers: tuple[Layer, ...]
    start_command: str
    working_directory: str
    kind: str
    provider: str
    environment: Mapping[str, str] = field(default_factory=dict)
    # Host directories shown read-only at the same path.
    host_paths: tuple[str, ...] = ()
    # Instead of layers.
    image: Image | None = None

    def manifest(self) -> dict[str, Any]:
        """The artifact as plain JSON values; without an image there is no word of one."""
        image = self.image
        return ({"image": asdict(image)} if image else {}) | {
            "version": 1,
            "layers": [
                {"digest": one.digest, "mount": one.mount, "writable": one.writable, "size_bytes": one.size_bytes}
                for one in self.layers
            ],
            "start_command": self.start_command,
            "working_directory": self.working_directory,
            "kind": self.kind,
            "provider": self.provider,
            "environment": dict(self.environment),
            "host_paths": list(self.host_paths),
        }

    def canonical(self) -> bytes:
        """The manifest's one spelling: sorted keys, no spaces."""
        return canonical_json(self.manifest())

    @property
    def digest(self) -> str:
        """sha256:<hex> of the canonical manifest."""
        return "sha256:" + hashlib.sha256(self.canonical()).hexdigest()


def artifact_of(manifest: Mapping[str, Any]) -> Artifact:
    """The artifact that `manifest()` described."""
    return Artifact(
        layers=tuple(Layer(**layer) for layer in manifest["layers"]),
        start_command=manifest["start_command"],
        working_directory=manifest["working_directory"],
        kind=manifest["kind"],
        provider=manifest["provider"],
        environment=dict(manifest["environment"]),
        host_paths=tuple(manifest["host_paths"]),
        image=Image(**manifest["image"]) if "image" in manifest else None,
    )


def canonical_json(value: object) -> bytes:
    """The one spelling of plain JSON values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
