"""Shows the provenance of artifacts, and what it is checked with."""

from __future__ import annotations

from dataclasses import dataclass

from libs.kernel.context import Ctx
from libs.kernel.errors import Invalid, NotFound
from services.build.app.building import Attestations
from services.build.app.builds import BuildDesk
from services.build.app.ports import Artifacts
from services.build.domain.model import Artifact, Build, BuildState


@dataclass(frozen=True, slots=True)
class Provenance:
    """An artifact with the signed statement about it; an empty envelope: there is none."""

    build: Build | None
    artifact: Artifact
    envelope: bytes


@dataclass(frozen=True, slots=True)
class ProvenanceDesk:
    """Use cases around provenance."""

    desk: BuildDesk
    artifacts: Artifacts
    attestations: Attestations

    @property
    def public_key(self) -> str:
        """In PEM."""
        return self.attestations.public_key

    async def of_artifact(self, digest: str) -> Provenance:
        """That of an artifact, for whoever is about to start it. NotFound when no build made it."""
        artifact = await self.desk.artifact(digest)
        return Provenance(None, artifact, await self.attestations.read(await self.artifacts.provenance(digest)))

    async def show(self, ctx: Ctx, *, build_id: str = "", deployment_id: str = "", digest: str = "") -> Provenance:
        """That of a build, a deployment's build, or the caller's newest build of an artifact."""
        if digest:
            build = await self._newest_of(ctx, digest)
        else:
            build = await self.desk.get(ctx, build_id, deployment_id)
        if build.state is not BuildState.SUCCEEDED:
            raise Invalid(
                f"Build {build.id} has no artifact: it is in the state “{build.state}”.",
                hint="lr build status shows why.",
            )
        artifact = await self.desk.artifact(build.artifact_digest)
        return Provenance(build, artifact, await self.attestations.read(build.provenance_digest))

    async def _newest_of(self, ctx: Ctx, digest: str) -> Build:
        found = await self.desk.of_artifact(ctx, digest)
        if found is None:
            raise NotFound(f"No build of artifact {digest[:80]} exists, or it is not yours to see.", field="digest")
        return found
