"""PostgreSQL, NATS and Envoy are killed while a deployment is on its way; JetStream's directory is deleted."""

from __future__ import annotations

import shutil

import pytest

from tests.chaos.patient import Patient
from tests.e2e import processes
from tests.e2e.load import load


@pytest.mark.parametrize("state", ["building", "deploying"])
@pytest.mark.parametrize("part", ["postgres", "nats", "envoy"])
async def test_a_deployment_ends_right_when_a_part_dies(patient: Patient, part: str, state: str) -> None:
    app = patient.app
    old = (await patient.live())["id"]
    before = app.processes(old)
    async with load(app.platform.port, app.host, per_second=20) as counts:
        new = await patient.deploy()
        await patient.reaches(state, new)
        await patient.kill(part)
        if state == "building":
            assert app.processes(old) == before
        await app.becomes("active", new, within=90)
        await patient.parts_are_well()
        await patient.settles()
    assert await app.text() == f"version {patient.versions}, after 1.5 s\n"
    assert part == "envoy" or counts.failed == 0, counts.failures


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
