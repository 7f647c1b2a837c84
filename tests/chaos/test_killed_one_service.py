"""Each service in its own process: each is killed while a deployment needs it."""

from __future__ import annotations

import pytest

from tests.chaos.patient import Patient
from tests.e2e.load import load


@pytest.fixture(scope="module")
def topology() -> str:
    return "split"


@pytest.mark.parametrize("service", ["auth", "project", "build", "deploy", "router", "metering", "gateway"])
async def test_a_deployment_ends_right_when_one_service_dies(patient: Patient, service: str) -> None:
    app = patient.app
    async with load(app.platform.port, app.host, per_second=20) as counts:
        new = await patient.deploy()
        await patient.reaches("building" if service == "build" else "deploying", new)
        await patient.kill(service)
        await app.becomes("active", new, within=90)
        await patient.parts_are_well()
        await patient.settles()
    assert counts.failed == 0, counts.failures


async def test_the_edge_boots_from_disk_while_no_router_runs(patient: Patient) -> None:
    async with patient.edge_booted_from_disk("router"):
        assert (await patient.app.text()).endswith(", after 1.5 s\n")
