"""Parts are killed while an application runs: it goes on, and is found again; JetStream's directory is deleted."""

from __future__ import annotations

import shutil

from tests.chaos.patient import Patient
from tests.e2e import processes
from tests.e2e.load import load


async def test_deleting_jetstream_during_a_run_loses_nothing(patient: Patient) -> None:
    app = patient.app
    new = await patient.deploy()
    await patient.reaches("building", new)
    for folder in (app.platform.home / "nats").rglob("jetstream"):
        shutil.rmtree(folder)
    await patient.kill("nats")
    await app.becomes("active", new, within=90)
    await patient.parts_are_well()
    await patient.settles()
    second = await patient.deploy()
    await app.becomes("active", second, within=60)
    await patient.settles()


async def test_the_edge_boots_from_disk_while_no_service_runs(patient: Patient) -> None:
    app = patient.app
    async with patient.edge_booted_from_disk("all"):
        await app.becomes("active", await patient.deploy(), within=90)
        assert await app.text() == f"version {patient.versions}, after 1.5 s\n"


async def test_the_edge_serves_while_no_service_answers(patient: Patient) -> None:
    app = patient.app
    pid = await patient.services_pid()
    processes.pause(pid)
    try:
        async with load(app.platform.port, app.host, per_second=50) as counts:
            for _ in range(100):
                await app.text()
        assert counts.failed == 0, counts.failures
    finally:
        processes.resume(pid)
    await patient.parts_are_well()
    await patient.settles()


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
