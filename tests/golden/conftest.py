"""The one switch of golden tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-update", action="store_true", default=False, help="Write what is made today over what was expected."
    )
