"""The process that holds every service is killed in every state of a deployment."""

from __future__ import annotations

import pytest

from tests.chaos.patient import Patient
from tests.e2e import processes
from tests.e2e.load import load


@pytest.mark.parametrize("state", ["queued", "initializing", "building", "deploying", "active", "removing"])
async def test_a_deployment_ends_right_when_all_services_die_while_it_is(patient: Patient, state: str) -> None:
    app = patient.app
    old = (await patient.live())["id"]
    before = app.processes(old)
    pid = await patient.services_pid()
    async with load(app.platform.port, app.host, per_second=20) as counts:
        new = await patient.deploy()
        seen = await patient.reaches(state, old if state == "removing" else new)
        processes.kill(pid)
        if seen in {"queued", "initializing", "building"}:
            assert app.processes(old) == before, "the old version runs on while no service does"
        await app.becomes("active", new, within=90)
        await app.becomes("removed", old, within=90)
        await patient.parts_are_well()
        await patient.settles()
    assert await app.text() == f"version {patient.versions}, after 1.5 s\n"
    assert counts.failed == 0, counts.failures


async def test_a_running_app_is_adopted_not_restarted(patient: Patient) -> None:
    app = patient.app
    live = await patient.live()
    before = app.processes()
    async with load(app.platform.port, app.host, per_second=50) as counts:
        for _ in range(3):
            processes.kill(await patient.services_pid())
            await patient.parts_are_well()
            await patient.settles()
            assert app.processes() == before, "the same processes as before"
    assert counts.failed == 0, counts.failures
    after = await patient.live()
    assert after["id"] == live["id"]
    assert [row["id"] for row in after["instances"]] == [row["id"] for row in live["instances"]]
    assert [row["restarts"] for row in after["instances"]] == [row["restarts"] for row in live["instances"]]


async def test_an_app_that_dies_while_no_service_runs_is_started_again(patient: Patient) -> None:
    app = patient.app
    before = app.processes()
    processes.kill(await patient.services_pid())
    for pid, _ in before:
        processes.kill_if_alive(pid)
    await patient.parts_are_well()

    live = await patient.live()
    await app.becomes("active", live["id"])
    await patient.serves_again()
    assert not app.processes() & before


async def test_what_an_app_prints_while_no_service_runs_is_in_its_log(patient: Patient) -> None:
    app = patient.app
    await app.lr("variables", "set", "--skip-deploys", "START_SECONDS=4")
    new = await patient.deploy()
    await patient.reaches("deploying", new)
    processes.kill(await patient.services_pid())
    await app.becomes("active", new, within=90)
    await patient.parts_are_well()
    await app.lr("variables", "set", "--skip-deploys", "START_SECONDS=1.5")
    await patient.has_logged(new, ["warming up for 4 s", "ready"])
