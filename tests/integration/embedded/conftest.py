from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.embedded.supervised import Supervised


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that every account may walk through; pytest's own is closed to others."""
    made = Path(tempfile.mkdtemp(prefix="lr-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def platforms(folder: Path) -> Iterator[Callable[..., Supervised]]:
    """Makes platforms, which are gone after the test whatever it did."""
    made: list[Supervised] = []

    def make(name: str = "home", **variables: str) -> Supervised:
        made.append(Supervised(folder / name, variables))
        return made[-1]

    yield make
    for platform in made:
        platform.clean()


@pytest.fixture
def platform(platforms: Callable[..., Supervised]) -> Supervised:
    return platforms()
