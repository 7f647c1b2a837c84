"""What the builders of images need: an engine, and a stack made on this machine; each once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.kernel.errors import Unavailable
from libs.stacks.debian import make_stack
from tests.contract.engines import daemon, distribution, engine_room, require


@pytest.fixture(scope="session")
def engine_folder() -> Iterator[Path]:
    with engine_room() as folder:
        yield folder


@pytest.fixture(scope="session")
def docker_host(engine_folder: Path) -> Iterator[str]:
    place = engine_folder / "docker"
    place.mkdir()
    with daemon(place) as host:
        yield host


@pytest.fixture(scope="session")
def stacks(engine_folder: Path) -> Path:
    """The folder of a stack `debian` that was made for the tests."""
    require("mmdebstrap")
    folder = engine_folder / "stacks"
    try:
        make_stack(folder, print)
    except Unavailable as reason:
        pytest.skip(f"no stack can be made here: {reason}")
    return folder


@pytest.fixture(scope="session")
def registry_address(engine_folder: Path) -> Iterator[str]:
    place = engine_folder / "registry"
    place.mkdir()
    with distribution(place) as address:
        yield address
