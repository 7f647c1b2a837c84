"""The ports of those who do the work of a build: a builder, and a scanner beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from libs.plans.plan import BuildPlan, Step
from libs.plans.tree import Tree
from services.build.app.ports import Job, Output
from services.build.domain.model import Artifact


class Built(Protocol):
    """What the steps of a plan left in a work directory, packed: nothing done to it from here on changes the result."""

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
