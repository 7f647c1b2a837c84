"""Scans as a stage of the build: reports are kept, policies end builds, and what was not scanned is called so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from libs.db import Database
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.errors import Denied, Failure, NotFound, Unavailable
from libs.runtime.clock import SystemClock
from libs.scan.inventory import Inventory
from libs.scan.package import Package
from libs.scan.report import Secrets, State
from libs.scan.secrets.look import SecretFinding
from libs.scan.severity import Action, Policy, Severity
from libs.scan.survey import Surveyed
from libs.scan.vulnerability import Vulnerability
from services.build.app.ports import Job
from services.build.app.scanning import LookedUp, Missing, SourceScanner
from services.build.domain.model import Build, BuildState
from services.build.store.garbage import PostgresGarbage
from tests.integration.build.world import World

FLASK = Package("pypi", "", "flask", "3.1.0", found_in="uv.lock")
KEY = SecretFinding("src/a.py", 3, "github-token", "GitHub token", Severity.CRITICAL, "ghp_…")
BAD = Vulnerability("CVE-2026-1", "flask", "3.1.0", Severity.HIGH, "3.1.1")


@dataclass
class Told:
    """Everything that a scanner asks, as it is told."""

    policy: Policy = field(default_factory=Policy)
    surveyed: Surveyed | Missing = field(
        default_factory=lambda: Surveyed(Inventory((FLASK,), ("uv.lock",)), Secrets(State.DONE, files=3))
    )
    listed: tuple[Mapping[str, Any], str] | Missing | None = None
    known: LookedUp | Missing = field(default_factory=lambda: LookedUp("Trivy", "2026-11-20", ()))
    failures: list[Failure] = field(default_factory=list)
    bills: list[bytes] = field(default_factory=list)

    async def scan_policy(self, build: Build) -> Policy:
        if self.failures:
            raise self.failures.pop()
        return self.policy

    async def survey(self, job: Job, root: str) -> Surveyed | Missing:
        return self.surveyed

    async def list(self, job: Job, name: str) -> tuple[Mapping[str, Any], str] | Missing | None:
        return self.listed

    async def look_up(self, job: Job, bill: bytes) -> LookedUp | Missing:
        self.bills.append(bill)
        return self.known


def scanning(db: Database, told: Told) -> World:
    world = World(db, SystemClock())
    scanner = SourceScanner(told, told, told, told, world.bills, world.reports)
    return World(db, SystemClock(), scanner=scanner, bills=world.bills)


def reader(build: Build) -> Ctx:
    return Ctx(Actor("user", "usr_1", {build.workspace_id: Role.VIEWER}), Role.VIEWER)


async def test_a_build_keeps_its_report_and_its_bill_and_tells_them_in_a_section_of_the_log(db: Database) -> None:
    told = Told(known=LookedUp("Trivy", "2026-11-20", (BAD,)))
    world = scanning(db, told)
    build = await world.request()
    with pytest.raises(NotFound, match="not scanned"):
        await world.desk.scan(reader(build), build.id, "")
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.SUCCEEDED
    report = await world.desk.scan(reader(build), "", build.deployment_id)
    assert [one.id for one in report.vulnerabilities.findings] == ["CVE-2026-1"]
    bill = await world.desk.sbom(reader(build), build.id, "")
    assert json.loads(bill)["components"][0]["purl"] == "pkg:pypi/flask@3.1.0"
    assert told.bills == [bill]
    lines = [line.text for line in await world.log.read(build.id, 0, 1000) if line.step == "scan"]
    assert "high: flask@3.1.0 (CVE-2026-1, fixed in 3.1.1)" in lines
    assert "software bill of materials: 1 package from lock files" in lines
    detail = next(stage.detail for stage in done.progress if stage.name == "scan")
    assert "1 known vulnerability: 1 high" in detail


async def test_a_project_that_blocks_ends_the_build_with_the_places_and_keeps_the_report(db: Database) -> None:
    secrets = Secrets(State.DONE, files=3, findings=(KEY,))
    told = Told(Policy(Action.BLOCK, Severity.HIGH), Surveyed(Inventory((FLASK,)), secrets))
    told.known = LookedUp("Trivy", "", (BAD,))
    world = scanning(db, told)
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert "src/a.py:3 (GitHub token, ghp_…)" in done.reason
    assert "flask@3.1.0 (CVE-2026-1, fixed in 3.1.1)" in done.reason
    assert "Take them out of the source" in done.reason
    assert (await world.desk.scan(reader(build), build.id, "")).blocked == done.reason
    assert await world.told(build) == ["started", "failed"]


async def test_who_blocks_wants_to_know_so_what_was_not_scanned_blocks_too(db: Database) -> None:
    told = Told(Policy(Action.BLOCK), known=Missing("this platform has no vulnerability scanner (Trivy)"))
    world = scanning(db, told)
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert "not scanned: vulnerabilities (this platform has no vulnerability scanner (Trivy))" in done.reason
    told.policy = Policy()
    again = await world.request()
    await world.drive()
    assert (await world.now(again)).state is BuildState.SUCCEEDED
    assert "vulnerabilities not scanned" in " ".join(await world.texts(again))


async def test_packages_that_nobody_locked_are_not_scanned_and_block_who_wants_to_know(db: Database) -> None:
    unlocked = Inventory(notes=("requirements.txt asks for packages …",), unlocked=("requirements.txt",))
    told = Told(Policy(Action.BLOCK), Surveyed(unlocked, Secrets(State.DONE, files=1)))
    world = scanning(db, told)
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert "not scanned: vulnerabilities (the source asks for packages but locks no versions" in done.reason
    told.surveyed = Surveyed(Inventory(), Secrets(State.DONE, files=1))
    again = await world.request()
    await world.drive()
    assert (await world.now(again)).state is BuildState.SUCCEEDED


async def test_a_lock_file_that_cannot_be_read_is_not_a_source_without_packages(db: Database) -> None:
    unread = Inventory(notes=("package-lock.json cannot be read …",), unread=("package-lock.json",))
    told = Told(Policy(Action.BLOCK), Surveyed(unread, Secrets(State.DONE, files=1)))
    world = scanning(db, told)
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.FAILED
    assert "not scanned: vulnerabilities (package-lock.json could not be read" in done.reason


async def test_nothing_known_of_the_source_is_a_reason_and_no_bill(db: Database) -> None:
    world = scanning(db, Told(surveyed=Missing("the survey of the source failed: it took longer than 300 seconds")))
    build = await world.request()
    await world.drive()
    assert (await world.now(build)).state is BuildState.SUCCEEDED
    assert "secrets not scanned: the survey" in " ".join(await world.texts(build))
    with pytest.raises(NotFound, match="were not scanned"):
        await world.desk.sbom(reader(build), build.id, "")


async def test_the_source_can_be_stricter_than_its_project_and_never_less(db: Database) -> None:
    secrets = Secrets(State.DONE, files=3, findings=(KEY,))
    told = Told(surveyed=Surveyed(Inventory(), secrets, Policy(Action.BLOCK, Severity.LOW)))
    world = scanning(db, told)
    build = await world.request()
    await world.drive()
    assert (await world.now(build)).state is BuildState.FAILED
    assert (await world.desk.scan(reader(build), build.id, "")).policy_from == "lightrail.toml"
    told.policy = Policy(Action.BLOCK, Severity.HIGH)
    told.surveyed = Surveyed(Inventory(), secrets, Policy(Action.WARN, Severity.CRITICAL))
    again = await world.request()
    await world.drive()
    assert (await world.now(again)).state is BuildState.FAILED
    assert (await world.desk.scan(reader(again), again.id, "")).policy_from == "project"


async def test_another_tools_list_counts_before_the_lock_files_and_its_failure_is_a_note(db: Database) -> None:
    whole = {"bomFormat": "CycloneDX", "components": [{"purl": "pkg:npm/a@1"}, {"purl": "pkg:npm/b@1"}]}
    told = Told(listed=(whole, "Syft 1.18.1"))
    world = scanning(db, told)
    build = await world.request()
    await world.drive()
    report = await world.desk.scan(reader(build), build.id, "")
    assert (report.sbom.by, report.sbom.packages) == ("Syft 1.18.1", 2)
    told.listed = Missing("Syft failed: it took longer than 300 seconds")
    again = await world.request()
    await world.drive()
    report = await world.desk.scan(reader(again), again.id, "")
    assert (report.sbom.by, report.sbom.packages) == ("lock files", 1)
    assert "packages are from lock files only: Syft failed: it took longer than 300 seconds" in report.sbom.notes


async def test_a_scan_that_the_platform_could_not_do_is_done_again_and_its_report_replaced(db: Database) -> None:
    told = Told(failures=[Unavailable("project is away")])
    world = scanning(db, told)
    build = await world.request()
    with pytest.raises(Unavailable):
        await world.drive()
    await world.drive()
    assert (await world.now(build)).state is BuildState.SUCCEEDED
    assert (await world.desk.scan(reader(build), build.id, "")).policy == Policy()
    gone = Told(failures=[NotFound("Project prj_1 does not exist.")])
    world = scanning(db, gone)
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert (done.state, done.reason) == (BuildState.FAILED, "Project prj_1 does not exist.")


async def test_a_report_that_may_come_is_told_from_one_that_never_will(world: World) -> None:
    build = await world.request()
    with pytest.raises(NotFound, match="is not scanned yet"):
        await world.desk.scan(reader(build), build.id, "")
    await world.drive()
    with pytest.raises(NotFound, match=r"was not scanned, and will not be: it has ended\. Not scanned: this"):
        await world.desk.scan(reader(build), build.id, "")


async def test_another_workspaces_report_and_bill_do_not_exist(db: Database) -> None:
    world = scanning(db, Told())
    build = await world.request()
    await world.drive()
    stranger = Ctx(Actor("user", "usr_2", {"wsp_other": Role.OWNER}), Role.VIEWER)
    for ask in (world.desk.scan, world.desk.sbom):
        with pytest.raises((NotFound, Denied)):
            await ask(stranger, build.id, "")


async def test_a_kept_builds_bill_is_no_garbage_and_goes_with_its_build(db: Database) -> None:
    world = scanning(db, Told())
    build = await world.request()
    await world.drive()
    digest = (await world.desk.scan(reader(build), build.id, "")).sbom.digest
    garbage = PostgresGarbage(db)
    assert digest in await garbage.references()
    await db.execute("delete from builds where id = $1", build.id)
    assert digest not in await garbage.references()
