"""The ports of those who do the work of a build: a builder, a scanner beside it, and who states what was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from libs.plans.plan import BuildPlan, Step
from libs.plans.tree import Tree
from services.build.app.ports import Job, Output
from services.build.domain.model import Artifact
from services.build.domain.provenance import Origin


class Built(Protocol):
    """What the steps of a plan left in a work directory, packed: nothing done to it from here on changes the result."""

    @property
    def origin(self) -> Origin:
        """Who built it, and of what beside the source."""
        ...

    async def test(self, step: Step, output: Output) -> None:
        """Runs a step in there. BuildFault when a command fails."""
        ...

    async def publish(self, output: Output) -> Artifact:
        """Stores what a runtime needs to start it. Harmless when repeated."""
        ...


class Builder(Protocol):
    """A way of building: fetches the source, executes a plan, leaves nothing behind."""

    @property
    def secrets(self) -> frozenset[str]:
        """Values of the machine's own configuration that no log may show."""
        ...

    async def fetch(self, job: Job) -> Tree:
        """Lays the source out in a fresh work directory of this job."""
        ...

    async def machine(self, plan: BuildPlan) -> Mapping[str, Any] | None:
        """What of this machine a build of the plan depends on, as JSON values; None when that cannot be told.

        BuildFault when something is missing.
        """
        ...

    async def holds(self, artifact: Artifact) -> bool:
        """Whether everything that the artifact names is still there."""
        ...

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> Built:
        """Does what the plan's steps say. BuildFault when a command of the user's fails."""
        ...

    async def clean(self, build_id: str) -> None:
        """Removes every work directory of this build; harmless when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What a scan of the source came to."""

    # A few words for people. What was not scanned is called “not scanned”, never “clean”.
    summary: str
    # Why the build must not go on, in a sentence a person can act on; empty: it may.
    blocked: str = ""


class Scanner(Protocol):
    """Looks through the source while the build runs.

    It reads the archive `job.snapshot_digest`, never the work directory: programs of the user change that meanwhile.
    """

    async def scan(self, job: Job, plan: BuildPlan, output: Output) -> ScanReport:
        """Says what was found, in lines of the step `scan`. What it raises is the platform's fault: tried again."""
        ...


class Attestations(Protocol):
    """Statements about artifacts, signed with the platform's key."""

    @property
    def public_key(self) -> str:
        """What signatures are checked with, in PEM."""
        ...

    async def keep(self, statement: Mapping[str, Any]) -> str:
        """Signs a statement and stores it; gives the digest of the envelope."""
        ...

    async def read(self, digest: str) -> bytes:
        """An envelope; empty when it is not there."""
        ...

    def fingerprint(self, value: Mapping[str, Any]) -> str:
        """Tells equal values from others; who has not the platform's key cannot guess at what they were."""
        ...
