from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.sandbox.sandbox import Sandbox


@pytest_asyncio.fixture(params=["cgroups", "rlimits"])
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    made = await Sandbox.open(tmp_path / "home")
    if request.param == "rlimits":
        made = Sandbox(tmp_path / "home", made._bubblewrap, grouped=False)
    elif not made.grouped:
        pytest.skip("this user may not make cgroups here")
    yield made
    if made._groups is not None:
        assert not [key for key in sorted(made._groups.keys()) if key.startswith("run-")]
