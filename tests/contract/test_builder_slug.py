"""The slug builder, seen as one of several."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.build.domain.model import Artifact
from tests.contract.builder_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.workshop import Workshop
from tests.integration.build.sites import Site


@pytest_asyncio.fixture
async def workshop(open_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Workshop]:
    site = await Site.open(open_folder / f"slug-{abs(hash(request.node.nodeid)):x}")

    async def contents(artifact: Artifact) -> bytes:
        parts = []
        for layer in artifact.layers:
            folder = await site.unpacked(artifact, layer.mount)
            for path in sorted(folder.rglob("*")):
                parts.append(path.relative_to(folder).as_posix().encode())
                if path.is_file() and not path.is_symlink():
                    parts.append(path.read_bytes())
        return b"\n".join(parts)

    yield Workshop(site, "slug", site.builder.build, contents)
