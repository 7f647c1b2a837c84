from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from libs.runtime.clock import SystemClock
from services.deploy.adapters.process_runtime import ProcessRuntime
from services.deploy.app.runtime import Runtime
from tests.contract.runtime_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.runtime_suite import Stage


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async def reopen() -> Runtime:
        return await ProcessRuntime.open(tmp_path, SystemClock())

    runtime = await reopen()
    yield Stage(runtime, reopen)
    for observed in await runtime.observe():
        await runtime.remove(observed.instance_id)
