"""One suite for every runtime. A driver's test module imports `*` and gives the fixture `stage`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import pytest

from libs.kernel.errors import NotFound
from libs.kernel.ids import new_id
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.deploy.app.runtime import Runtime
from services.deploy.domain.instance import Artifact, Launch, Observed
from tests.unit.deploy.memory_runtime import Program

__all__ = [
    "test_command_that_does_not_exist_exits_with_127",
    "test_each_instance_gets_a_port_of_its_own",
    "test_ended_instance_is_not_started_again",
    "test_graceful_process_ends_by_sigterm_within_its_grace",
    "test_instance_runs_and_is_seen",
    "test_next_runtime_finds_what_the_last_one_started",
    "test_output_comes_in_order_and_from_any_offset",
    "test_process_that_ignores_sigterm_is_killed_after_its_grace",
    "test_removed_instance_is_gone_and_removing_again_is_harmless",
    "test_removing_kills_what_still_runs",
    "test_second_start_makes_no_second_process",
    "test_starts_at_the_same_time_make_one_process",
    "test_terminate_is_harmless_for_what_never_was_and_what_has_ended",
    "test_terminate_that_was_cancelled_is_taken_up_by_the_next",
    "test_trimmed_output_keeps_its_offsets",
]

TALKS: Final = "printf 'one\\n'; printf 'two\\n' >&2; printf 'three\\n'; exit 3"
SERVES: Final = "echo up; exec sleep 1000"
STUBBORN: Final = "trap '' TERM; echo up; while :; do sleep 1; done"
MISSING: Final = "no-such-program-at-all"
PROGRAMS: Final = {
    TALKS: Program(b"one\ntwo\nthree\n", 3),
    SERVES: Program(b"up\n"),
    STUBBORN: Program(b"up\n", heeds_sigterm=False),
    MISSING: Program(b"sh: no-such-program-at-all: not found\n", 127),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A runtime under test, and the way to open the next one on the same machine."""

    runtime: Runtime
    reopen: Callable[[], Awaitable[Runtime]]


def launch(command: str) -> Launch:
    return Launch(
        instance_id=new_id("instance", SystemClock()),
        deployment_id="dep_1",
        service_id="svc_1",
        environment_id="env_1",
        replica=0,
        artifact=Artifact(digest="sha256:0", layers=(), start_command=command, working_directory="/tmp"),  # noqa: S108 - inside the sandbox
    )


async def seen(runtime: Runtime, wanted: Launch) -> Observed:
    found = {observed.instance_id: observed for observed in await runtime.observe()}
    assert wanted.instance_id in found
    return found[wanted.instance_id]


async def ended(runtime: Runtime, wanted: Launch) -> Observed:
    async def claim() -> Observed:
        observed = await seen(runtime, wanted)
        assert not observed.alive
        return observed

    return await eventually(claim)


async def printed(runtime: Runtime, wanted: Launch, text: bytes) -> None:
    async def claim() -> None:
        assert await runtime.read_output(wanted.instance_id, 0, 10_000) == text

    await eventually(claim)


async def test_instance_runs_and_is_seen(stage: Stage) -> None:
    wanted = launch(SERVES)
    await stage.runtime.start(wanted)
    observed = await seen(stage.runtime, wanted)
    assert (observed.alive, observed.exit_code, observed.oom) == (True, None, False)
    assert observed.port
    assert observed.memory_bytes > 0
    await printed(stage.runtime, wanted, b"up\n")


async def test_output_comes_in_order_and_from_any_offset(stage: Stage) -> None:
    wanted = launch(TALKS)
    await stage.runtime.start(wanted)
    assert (await ended(stage.runtime, wanted)).exit_code == 3
    # Once it is seen to have ended, all it printed is there.
    assert await stage.runtime.read_output(wanted.instance_id, 0, 10_000) == b"one\ntwo\nthree\n"
    assert await stage.runtime.read_output(wanted.instance_id, 4, 3) == b"two"
    assert await stage.runtime.read_output(wanted.instance_id, 14, 10) == b""


async def test_trimmed_output_keeps_its_offsets(stage: Stage) -> None:
    wanted = launch(TALKS)
    await stage.runtime.start(wanted)
    await ended(stage.runtime, wanted)
    size = await stage.runtime.output_size(wanted.instance_id)
    await stage.runtime.trim_output(wanted.instance_id, 8)
    assert await stage.runtime.output_size(wanted.instance_id) == size
    assert await stage.runtime.read_output(wanted.instance_id, 8, 100) == b"three\n"


async def test_command_that_does_not_exist_exits_with_127(stage: Stage) -> None:
    wanted = launch(MISSING)
    await stage.runtime.start(wanted)
    assert (await ended(stage.runtime, wanted)).exit_code == 127
    assert b"not found" in await stage.runtime.read_output(wanted.instance_id, 0, 1000)


async def test_second_start_makes_no_second_process(stage: Stage) -> None:
    wanted = launch(SERVES)
    await stage.runtime.start(wanted)
    first = await seen(stage.runtime, wanted)
    await stage.runtime.start(wanted)
    second = await seen(stage.runtime, wanted)
    assert (second.port, second.started_at, second.run_id) == (first.port, first.started_at, first.run_id)
    await printed(stage.runtime, wanted, b"up\n")


async def test_starts_at_the_same_time_make_one_process(stage: Stage) -> None:
    wanted = launch(SERVES)
    other = await stage.reopen()
    await asyncio.gather(*(runtime.start(wanted) for runtime in (stage.runtime, other, stage.runtime, other)))
    await printed(stage.runtime, wanted, b"up\n")
    await stage.runtime.terminate(wanted.instance_id, grace=5)
    assert not (await seen(other, wanted)).alive


async def test_ended_instance_is_not_started_again(stage: Stage) -> None:
    wanted = launch(TALKS)
    await stage.runtime.start(wanted)
    await ended(stage.runtime, wanted)
    await stage.runtime.start(wanted)
    assert not (await seen(stage.runtime, wanted)).alive
    await printed(stage.runtime, wanted, b"one\ntwo\nthree\n")


async def test_each_instance_gets_a_port_of_its_own(stage: Stage) -> None:
    all_wanted = [launch(SERVES) for _ in range(3)]
    for wanted in all_wanted:
        await stage.runtime.start(wanted)
    assert len({(await seen(stage.runtime, wanted)).port for wanted in all_wanted}) == 3


async def test_graceful_process_ends_by_sigterm_within_its_grace(stage: Stage) -> None:
    wanted = launch(SERVES)
    await stage.runtime.start(wanted)
    async with asyncio.timeout(5):
        await stage.runtime.terminate(wanted.instance_id, grace=30)
    observed = await seen(stage.runtime, wanted)
    assert (observed.alive, observed.exit_code, observed.memory_bytes) == (False, 143, 0)


async def test_process_that_ignores_sigterm_is_killed_after_its_grace(stage: Stage) -> None:
    wanted = launch(STUBBORN)
    await stage.runtime.start(wanted)
    await printed(stage.runtime, wanted, b"up\n")
    async with asyncio.timeout(5):
        await stage.runtime.terminate(wanted.instance_id, grace=0.2)
    observed = await seen(stage.runtime, wanted)
    assert (observed.alive, observed.exit_code) == (False, 137)


async def test_terminate_that_was_cancelled_is_taken_up_by_the_next(stage: Stage) -> None:
    wanted = launch(STUBBORN)
    await stage.runtime.start(wanted)
    await printed(stage.runtime, wanted, b"up\n")
    try:
        async with asyncio.timeout(0.1):
            await stage.runtime.terminate(wanted.instance_id, grace=60)
    except TimeoutError:
        assert (await seen(stage.runtime, wanted)).alive
    await stage.runtime.terminate(wanted.instance_id, grace=0)
    assert not (await seen(stage.runtime, wanted)).alive


async def test_terminate_is_harmless_for_what_never_was_and_what_has_ended(stage: Stage) -> None:
    await stage.runtime.terminate(launch(SERVES).instance_id, grace=1)
    wanted = launch(TALKS)
    await stage.runtime.start(wanted)
    await ended(stage.runtime, wanted)
    await stage.runtime.terminate(wanted.instance_id, grace=1)
    assert (await seen(stage.runtime, wanted)).exit_code == 3


async def test_removed_instance_is_gone_and_removing_again_is_harmless(stage: Stage) -> None:
    wanted = launch(TALKS)
    await stage.runtime.start(wanted)
    await ended(stage.runtime, wanted)
    for _ in range(2):
        await stage.runtime.remove(wanted.instance_id)
    assert wanted.instance_id not in {observed.instance_id for observed in await stage.runtime.observe()}
    with pytest.raises(NotFound):
        await stage.runtime.read_output(wanted.instance_id, 0, 10)
    await stage.runtime.trim_output(wanted.instance_id, 10)
    assert await stage.runtime.output_size(wanted.instance_id) == 0


async def test_removing_kills_what_still_runs(stage: Stage) -> None:
    wanted = launch(STUBBORN)
    await stage.runtime.start(wanted)
    await stage.runtime.remove(wanted.instance_id)
    assert await stage.runtime.observe() == []


async def test_next_runtime_finds_what_the_last_one_started(stage: Stage) -> None:
    serving, talking = launch(SERVES), launch(TALKS)
    await stage.runtime.start(serving)
    await stage.runtime.start(talking)
    before = await seen(stage.runtime, serving)
    runtime = await stage.reopen()
    after = await seen(runtime, serving)
    assert replace(after, cpu_microseconds=0, memory_bytes=0) == replace(before, cpu_microseconds=0, memory_bytes=0)
    assert (await ended(runtime, talking)).exit_code == 3
    await runtime.start(serving)
    await printed(runtime, serving, b"up\n")
    await runtime.terminate(serving.instance_id, grace=5)
    assert (await seen(runtime, serving)).exit_code == 143
