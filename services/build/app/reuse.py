"""Finds what was built before of the same, as long as all of it is still there."""

from __future__ import annotations

from dataclasses import dataclass

from libs.kernel.clock import Clock
from services.build.app.building import Attestations, Builder
from services.build.app.ports import Artifacts, Builds
from services.build.domain.model import Artifact


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to."""

    artifact: Artifact
    # Of the signed statement about it.
    provenance_digest: str
    # Fingerprint of what it was made of.
    inputs: str


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier build that made what is wanted now."""

    build_id: str
    result: Result


@dataclass(frozen=True, slots=True)
class Reuse:
    """Looks for results of the same workspace only."""

    builds: Builds
    artifacts: Artifacts
    builder: Builder
    attestations: Attestations
    clock: Clock

    async def find(self, workspace_id: str, inputs: str) -> Earlier | None:
        """An earlier build with these inputs whose artifact and provenance are there; None: it must be built."""
        build = await self.builds.reusable(workspace_id, inputs) if inputs else None
        if build is None or build.workspace_id != workspace_id:
            return None
        # Asking notes that it is used, so no collection takes it between here and the end of this build.
        artifact = await self.artifacts.get(build.artifact_digest, self.clock.now())
        if artifact is None or not await self.builder.holds(artifact):
            return None
        if not await self.attestations.read(build.provenance_digest):
            return None
        return Earlier(build.id, Result(artifact, build.provenance_digest, inputs))
