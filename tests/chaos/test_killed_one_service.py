"""Each service in its own process: each is killed while a deployment needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.kernel.ids import new_id
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from tests.chaos.patient import RECOVERY_SECONDS, Patient
from tests.chaos.pushed import Pushed
from tests.e2e import processes
from tests.e2e.application import Application
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


@pytest.fixture
async def pushed(patient: Patient, tmp_path: Path) -> AsyncIterator[Pushed]:
    app = Application(patient.app.platform, new_id("run", SystemClock()).replace("_", "-"), tmp_path)
    await app.create()
    yield Pushed(app, tmp_path / "mine")
    await app.platform.api("DELETE", f"/projects/{app.project['id']}")


async def test_a_push_that_is_cut_off_while_it_comes_in_leaves_nothing(patient: Patient, pushed: Pushed) -> None:
    one = pushed.commit("One")
    answer = await pushed.push_half(one, lambda: patient.kill("build"))
    assert b"ok refs/heads/main" not in answer.content
    await patient.parts_are_well()
    assert await pushed.branch() == ""
    await pushed.ends_with(one, "One")


async def test_a_push_that_is_cut_off_before_it_is_deployed_is_in_nobodys_way(patient: Patient, pushed: Pushed) -> None:
    one = pushed.commit("One")
    build, deploy = await patient.pid("build"), await patient.pid("deploy")
    processes.pause(deploy)
    try:
        push = asyncio.ensure_future(pushed.push())
        await eventually(pushed.is_stored, within=20, every=0.01)
        processes.kill(build)
        code, said = await push
        assert code != 0, said
    finally:
        processes.resume(deploy)
    await patient.parts_are_well()
    await pushed.ends_with(one, "One")


async def test_a_push_that_is_cut_off_while_it_is_built_goes_on(patient: Patient, pushed: Pushed) -> None:
    one = pushed.commit("One")
    build = await patient.pid("build")
    push = asyncio.ensure_future(pushed.push())

    async def begun() -> None:
        assert await pushed.app.deployments()

    await eventually(begun, within=20, every=0.01)
    assert await pushed.branch() == ""
    processes.kill(build)
    await push

    async def moved() -> None:
        assert await pushed.branch() == one

    # Without another push.
    await eventually(moved, within=RECOVERY_SECONDS)
    await pushed.ends_with(one, "One")
    assert len(await pushed.app.deployments()) == 1
