"""What went into an artifact, as an in-toto statement with SLSA provenance of version 1."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from services.build.domain.log import Masker
from services.build.domain.model import Artifact, Build

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
# What the parameters mean: a plan as docs/schemas describe it, carried out step by step.
BUILD_TYPE: Final = "urn:lightrail:build-type:plan:v1"


@dataclass(frozen=True, slots=True)
class Material:
    """Something that went into a build beside the source as a whole."""

    name: str
    # sha256:<hex>, where it has one.
    digest: str = ""
    uri: str = ""

    def document(self) -> dict[str, Any]:
        """It as an in-toto resource descriptor."""
        found: dict[str, Any] = {"name": self.name}
        if self.uri:
            found["uri"] = self.uri
        if self.digest:
            found["digest"] = {"sha256": self.digest.removeprefix("sha256:")}
        return found


@dataclass(frozen=True, slots=True)
class Origin:
    """Who built, and of what."""

    # Name of the driver: slug, docker, buildah.
    driver: str
    materials: tuple[Material, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A build as it is about to be stated. Of variables it knows the names."""

    build: Build
    source_digest: str
    plan: Mapping[str, Any]
    variables: Sequence[str]
    origin: Origin
    # Of the platform.
    version: str
    finished_at: datetime
    # Values that must not be told, wherever they stand.
    secrets: Collection[str] = field(default=(), repr=False)


def statement(made: Made, artifact: Artifact) -> dict[str, Any]:
    """The statement, as plain JSON values; what people wrote into commands is masked where it is a secret."""
    build = made.build
    source = Material("source", made.source_digest, f"urn:lightrail:snapshot:{build.snapshot_id}")
    return {
        "_type": STATEMENT,
        "subject": [{"name": "artifact", "digest": {"sha256": artifact.digest.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "source": source.document(),
                    "plan": _masked(dict(made.plan), Masker(made.secrets)),
                    "variables": sorted(made.variables),
                },
                "internalParameters": {
                    "workspace": build.workspace_id,
                    "project": build.project_id,
                    "service": build.service_id,
                    "environment": build.environment_id,
                    "deployment": build.deployment_id,
                },
                "resolvedDependencies": [source.document(), *(one.document() for one in made.origin.materials)],
            },
            "runDetails": {
                "builder": {
                    "id": f"urn:lightrail:builder:{made.origin.driver}",
                    "version": {"lightrail": made.version},
                },
                "metadata": {
                    "invocationId": build.id,
                    "startedOn": _time(build.started_at or build.created_at),
                    "finishedOn": _time(made.finished_at),
                },
            },
        },
    }


def _masked(value: Any, masker: Masker) -> Any:  # noqa: ANN401 - JSON values are of every type
    if isinstance(value, str):
        return masker.feed(value) + masker.rest()
    if isinstance(value, list):
        return [_masked(item, masker) for item in value]
    if isinstance(value, dict):
        return {_masked(key, masker): _masked(item, masker) for key, item in value.items()}
    return value


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
