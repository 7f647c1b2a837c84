"""The supervisor is killed, alone or with everything it watches, as by a power cut."""

from __future__ import annotations

import asyncio

from tests.chaos.patient import Patient
from tests.e2e import processes


async def start_again(patient: Patient) -> None:
    """Starts the platform as a person does after a crash."""
    await asyncio.to_thread(patient.app.platform.start)
    await patient.parts_are_well()


async def part_pid(patient: Patient, name: str) -> int:
    """Gives the pid of a part."""
    return int((await patient.app.platform.parts())[name]["pid"])


async def test_a_killed_supervisor_is_followed_by_another_one(patient: Patient) -> None:
    app = patient.app
    new = await patient.deploy()
    await patient.reaches("building", new)
    await patient.kill("supervisor")
    await start_again(patient)
    await app.becomes("active", new, within=90)
    await patient.settles()
    left = processes.below(app.platform.home / "postgres") - processes.descendants(await part_pid(patient, "postgres"))
    assert left == set(), "the crashed run left nothing behind"


async def test_everything_is_killed_at_once_and_comes_back(patient: Patient) -> None:
    app = patient.app
    before = app.processes()
    live = (await patient.live())["id"]
    parts = await app.platform.parts()
    for part in sorted(parts.values(), key=lambda row: row["name"] != "supervisor"):
        processes.kill_if_alive(part["pid"])
    assert app.processes() == before, "the app does not notice"
    await start_again(patient)
    await patient.settles()
    assert (await patient.live())["id"] == live
    assert app.processes() == before, "adopted, not restarted"
    await patient.serves_again()
    await app.becomes("active", await patient.deploy(), within=60)
    await patient.settles()


async def test_stopping_and_starting_leaves_the_app_alone_and_nothing_behind(patient: Patient) -> None:
    app = patient.app
    before = app.processes()
    pids = {part["pid"] for part in (await app.platform.parts()).values()}
    await app.platform.lr("platform", "down")
    assert not pids & set(processes.running())
    assert app.processes() == before
    await start_again(patient)
    await patient.settles()
    assert app.processes() == before
