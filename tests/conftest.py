"""What every test may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer  # type: ignore[import-untyped]  # it brings no types

    from tests.groups import Grouped

pytest_plugins = ["libs.testing.plugin"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Grouped | None:
    """Keeps tests that share a platform on one worker, with `--dist loadgroup`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from tests.groups import Grouped  # noqa: PLC0415 - only where tests are handed out, and only with xdist

    return Grouped(config, log)
