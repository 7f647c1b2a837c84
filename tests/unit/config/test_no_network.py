from __future__ import annotations

import socket

import pytest


def test_unit_tests_have_no_network() -> None:
    with socket.socket() as one, pytest.raises(AssertionError, match="connects"):
        one.connect(("127.0.0.1", 9))
