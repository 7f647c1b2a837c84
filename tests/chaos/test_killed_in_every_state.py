"""PostgreSQL, NATS, Envoy and all services are killed in every state of a deployment, each of which is held for it.

Several deployments are on their way at once, so that a kill meets several states: a build of another application keeps
the one place for builds (the next deployment stays `initializing`), and one that is built keeps the next `queued`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.testing.eventually import eventually
from tests.chaos.gate import Gate
from tests.chaos.held import Held, facts_are_whole
from tests.chaos.patient import CORE, RECOVERY_SECONDS, Patient
from tests.e2e import processes
from tests.e2e.application import Application
from tests.e2e.load import load
from tests.e2e.platform import Platform

States = dict[str, str]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"LIGHTRAIL_BUILD_CONCURRENCY": "1", "LIGHTRAIL_METERING_PERIOD_SECONDS": "1"}


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.end()


@pytest.fixture(scope="module")
def _two(platform: Platform, folder: Path, gate: Gate) -> tuple[Held, Held]:
    return (
        Held(Application(platform, "subject", folder / "subject"), gate),
        Held(Application(platform, "bystander", folder / "bystander"), gate),
    )


@pytest.fixture
async def two(_two: tuple[Held, Held]) -> tuple[Held, Held]:
    """The application that is deployed, and the one that only has to go on."""
    for held in _two:
        if not held.snapshot:
            await held.begin()
        elif held.left_over:
            await held.finish()
        held.left_over = True
    return _two


class Round:
    """One part is killed again and again."""

    def __init__(self, subject: Held, bystander: Held, part: str) -> None:
        self.app = subject.app
        self.part = part
        self.patient = Patient(subject.app)
        self.bystander = bystander
        # What must not notice anything.
        self.untouched = bystander.app.processes(bystander.first)
        self.others: dict[str, int] = {}

    async def begin(self) -> None:
        """Remembers the parts that are not to be killed."""
        self.others = await self._other_parts()

    def bystander_goes_on(self) -> None:
        """Checks that what runs beside has not stopped."""
        assert self.bystander.app.processes(self.bystander.first) == self.untouched

    async def only_it_died(self) -> None:
        """Checks that the death of one part was not that of another."""
        assert await self._other_parts() == self.others

    async def _other_parts(self) -> dict[str, int]:
        parts = await self.app.platform.parts()
        kept = {*CORE, "supervisor"} if self.part == "services" else parts.keys()
        return {name: part["pid"] for name, part in parts.items() if name in kept and name != self.part}

    async def kill_while(self, states: States) -> None:
        """Kills the part while these deployments are in these states; no application loses a process."""
        await self.are(states)
        # With the edge go the visitors, and what only stayed for them goes too.
        running = {"deploying", "active"} if self.part == "envoy" else {"deploying", "active", "removing"}
        started = [one for one, state in states.items() if state in running]
        before = [self.app.processes(one) for one in started]
        pid = await self.patient.services_pid() if self.part == "services" else await self.patient.pid(self.part)
        assert await self._now(states) == states
        processes.kill(pid)
        assert [self.app.processes(one) for one in started] == before
        self.bystander_goes_on()

    async def are(self, states: States) -> None:
        """Waits until deployments are in these states."""

        async def there() -> None:
            now = await self._now(states)
            assert now == states, f"{now}, not {states}"

        await eventually(there, within=RECOVERY_SECONDS, every=0.1)

    async def _now(self, states: States) -> States:
        return {one: (await self.app.deployment(one))["state"] for one in states}


@pytest.mark.parametrize("part", ["postgres", "nats", "envoy", "services"])
async def test_a_deployment_ends_right_when_a_part_dies_in_every_state(two: tuple[Held, Held], part: str) -> None:
    subject, bystander = two
    this, gate, app = Round(subject, bystander, part), subject.gate, subject.app
    await this.begin()
    old = (await this.patient.live())["id"]
    await bystander.work()
    async with load(app.platform.port, app.host, per_second=10) as counts, asyncio.TaskGroup() as visitors:
        other = await bystander.deploy()
        await bystander.is_held(bystander.build)
        new = await subject.deploy()
        await this.kill_while({other: "building", new: "initializing", old: "active"})
        await bystander.cancel(other)

        await subject.is_held(subject.build)
        last = await subject.deploy()
        await this.kill_while({new: "building", last: "queued", old: "active"})
        gate.open(subject.build)

        await subject.is_held(subject.start(new))
        gate.close(subject.build)
        await this.kill_while({new: "deploying", last: "queued", old: "active"})
        await this.patient.serves_again()
        assert await app.text() == subject.names[old]

        visitor = visitors.create_task(subject.visitor())
        await subject.is_held(subject.answer(old))
        gate.open(subject.start(new))
        await subject.is_held(subject.build)
        await this.kill_while({new: "active", last: "building", old: "removing"})
        gate.open(subject.answer(old), subject.build, subject.start(last))

        await app.becomes("active", last, within=RECOVERY_SECONDS)
        gate.close(subject.build)
        await this.patient.parts_are_well()
        await this.patient.settles()
    await this.only_it_died()
    if part != "envoy":
        assert counts.failed == 0, counts.failures
        assert visitor.result() == subject.names[old], "whom the old version was answering got the whole answer"
    await this.are({other: "removed", old: "removed", new: "removed", last: "active"})
    assert await app.text() == subject.names[last]
    await this.patient.nothing_is_doubled([other, old, new, last])
    await facts_are_whole(app.platform)
    this.bystander_goes_on()
    await bystander.pays_what_it_used()
    subject.left_over = bystander.left_over = False
