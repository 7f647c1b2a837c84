from __future__ import annotations

import pytest

from libs.testing.clock import VirtualClock
from services.deploy.app.runtime import Runtime
from tests.contract.runtime_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.runtime_suite import PROGRAMS, Stage
from tests.unit.deploy.memory_runtime import MemoryRuntime


@pytest.fixture
def stage(clock: VirtualClock) -> Stage:
    runtime = MemoryRuntime(clock, PROGRAMS)

    async def reopen() -> Runtime:
        return MemoryRuntime(clock, PROGRAMS, runtime.machine)

    return Stage(runtime, reopen)
