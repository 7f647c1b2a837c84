"""Scans a source: its packages, secrets in it, known vulnerabilities; and judges by the project's policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from libs.kernel.errors import Failure, Unavailable
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan
from libs.scan.cyclonedx import document, libraries, spelled
from libs.scan.inventory import Inventory
from libs.scan.report import MOST_FINDINGS, Bill, Report, Secrets, State, Vulnerabilities
from libs.scan.severity import Policy
from libs.scan.survey import Surveyed
from libs.scan.vulnerability import Vulnerability
from services.build.app.building import ScanReport
from services.build.app.ports import Job, Output
from services.build.domain.model import Build

STEP = "scan"
UNLOCKED = "the source asks for packages but locks no versions, so nobody knows which ones come; add a lock file"
# Files that a reason names.
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Missing:
    """Something could not be looked at, and why, as the end of “not scanned: …”."""

    why: str


class Surveyor(Protocol):
    """Reads the source of a job."""

    async def survey(self, job: Job, root: str) -> Surveyed | Missing:
        """What its files hold; `root` is the folder that is built."""
        ...


class Lister(Protocol):
    """Another tool's list of packages, when the machine has it."""

    async def list(self, job: Job, name: str) -> tuple[Mapping[str, Any], str] | Missing | None:
        """A CycloneDX document and who made it; None: there is no such tool."""
        ...


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Known vulnerabilities, who knew them, and the day the list was made (empty: not known)."""

    by: str
    database: str
    found: tuple[Vulnerability, ...]


class Advisories(Protocol):
    """A list of known vulnerabilities."""

    async def look_up(self, job: Job, bill: bytes) -> LookedUp | Missing:
        """Those of the packages in a CycloneDX document."""
        ...


class Policies(Protocol):
    """What projects want."""

    async def scan_policy(self, build: Build) -> Policy:
        """The policy of the build's project."""
        ...


class Bills(Protocol):
    """Where bills of materials are kept."""

    async def put(self, content: bytes) -> str:
        """Keeps one and gives its digest."""
        ...

    async def read(self, digest: str) -> bytes:
        """One by its digest. NotFound when it is kept no longer."""
        ...


class Reports(Protocol):
    """Reports of scans, by their build."""

    async def keep(self, build_id: str, report: Report) -> None:
        """Keeps the build's report; one of an earlier attempt goes."""
        ...

    async def get(self, build_id: str) -> Report | None:
        """The build's report."""
        ...


@dataclass(frozen=True, slots=True)
class SourceScanner:
    """The scanner of the pipeline. Ended anywhere, the next attempt scans again and keeps its report over this one."""

    policies: Policies
    surveyor: Surveyor
    lister: Lister
    advisories: Advisories
    bills: Bills
    reports: Reports

    async def scan(self, job: Job, plan: BuildPlan, output: Output) -> ScanReport:
        """Scans, keeps the report, and tells it in the log. The report never holds a secret."""
        policy = await self._policy(job.build)
        surveyed = await self.surveyor.survey(job, plan.root_directory)
        asked = surveyed.asked if isinstance(surveyed, Surveyed) else None
        bill, content = await self._listed(job, surveyed)
        report = Report(
            policy=policy.tightened(asked),
            policy_from="lightrail.toml" if asked and policy.tightened(asked) != policy else "project",
            sbom=bill,
            secrets=Secrets(State.NOT_SCANNED, surveyed.why) if isinstance(surveyed, Missing) else surveyed.secrets,
            vulnerabilities=await self._looked_up(job, bill, content, surveyed),
        )
        await self.reports.keep(job.build.id, report)
        for line in report.lines():
            await output.say(STEP, line)
        return ScanReport(report.summary, report.blocked)

    async def _policy(self, build: Build) -> Policy:
        try:
            return await self.policies.scan_policy(build)
        except Unavailable:
            raise
        except Failure as failure:
            raise BuildFault(str(failure)) from failure

    async def _listed(self, job: Job, surveyed: Surveyed | Missing) -> tuple[Bill, bytes]:
        """The bill of materials: the other tool's when there is one, else what the lock files name."""
        listed = await self.lister.list(job, job.build.service_id)
        notes: tuple[str, ...] = ()
        if isinstance(listed, tuple):
            whole, by = listed
        elif isinstance(surveyed, Missing):
            return Bill(State.NOT_SCANNED, why=surveyed.why), b""
        else:
            whole, by = document(surveyed.inventory, name=job.build.service_id), "lock files"
            notes = surveyed.inventory.notes
            if isinstance(listed, Missing):
                notes = (*notes, f"packages are from lock files only: {listed.why}")
        content = spelled(whole)
        digest = await self.bills.put(content)
        return Bill(State.DONE, by=by, digest=digest, packages=libraries(whole), notes=notes), content

    async def _looked_up(self, job: Job, bill: Bill, content: bytes, surveyed: Surveyed | Missing) -> Vulnerabilities:
        if bill.state is State.NOT_SCANNED:
            return Vulnerabilities(State.NOT_SCANNED, why=bill.why)
        if not bill.packages and isinstance(surveyed, Surveyed) and (why := _unknown(surveyed.inventory)):
            return Vulnerabilities(State.NOT_SCANNED, why=why)
        if not bill.packages:
            return Vulnerabilities(State.NOTHING)
        found = await self.advisories.look_up(job, content)
        if isinstance(found, Missing):
            return Vulnerabilities(State.NOT_SCANNED, why=found.why)
        return Vulnerabilities(
            State.DONE,
            by=found.by,
            database=found.database,
            findings=found.found[:MOST_FINDINGS],
            more=max(0, len(found.found) - MOST_FINDINGS),
        )


def _unknown(inventory: Inventory) -> str:
    """Why a list without packages may be wrong; empty when there is nothing to list."""
    if inventory.unread:
        return f"{', '.join(inventory.unread[:_NAMED])} could not be read, so nobody knows which packages come"
    return UNLOCKED if inventory.unlocked else ""
