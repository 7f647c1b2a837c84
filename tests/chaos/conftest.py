"""A platform that is about to be hurt, and an application on it whose visitors must not notice."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from libs.embedded import files
from tests.chaos.patient import Patient
from tests.e2e.application import Application, copy_of
from tests.e2e.platform import Platform


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives tests that wait for a platform's recovery more time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(400))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows what the platform of a test that failed wrote last."""
    report = yield
    platform = item.funcargs.get("platform")
    if report.failed and isinstance(platform, Platform):
        for part in ("platform", "services"):
            log = platform.home / "logs" / f"{part}.log"
            report.sections.append((f"{part}.log", files.tail(log, lines=60)))
    return report


@pytest.fixture(scope="module")
def topology() -> str:
    """One process for all services, unless a module says otherwise."""
    return "all"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Variables for the platform of a module."""
    return {}


@pytest.fixture(scope="module")
def platform(topology: str, settings: dict[str, str]) -> Iterator[Platform]:
    """The platform of a module."""
    made = Platform(topology, settings=settings)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the application's source lies."""
    return tmp_path_factory.mktemp("source")


@pytest.fixture(scope="module")
def _one(platform: Platform, folder: Path) -> Patient:
    return Patient(Application(platform, "patient", copy_of("slow-start", folder)))


@pytest.fixture
async def patient(_one: Patient) -> Patient:
    """The application: live, with a version that takes its time in every state."""
    await _one.is_well()
    return _one
