"""Tests that share something costly run on one worker."""

from __future__ import annotations

import pytest

from tests.arch.tree import ROOT
from tests.groups import OF_IMAGES, group_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tests/e2e/test_cli.py::test_a[all]", "tests/e2e/test_grpc.py::test_b[all-x]"),
        ("tests/chaos/test_full_disk.py::test_a", "tests/chaos/test_full_disk.py::test_b[x]"),
        ("tests/contract/test_builder_docker.py::test_a", "tests/contract/test_builder_buildah.py::test_a"),
    ],
)
def test_tests_that_share_a_platform_or_a_stack_share_a_worker(one: str, other: str) -> None:
    assert group_of(one) == group_of(other)


def test_tests_that_share_nothing_go_wherever_there_is_room() -> None:
    assert group_of("tests/unit/cli/test_pack.py::test_a") != group_of("tests/unit/cli/test_pack.py::test_b")
    assert group_of("tests/e2e/test_cli.py::test_a[all]") != group_of("tests/e2e/test_cli.py::test_a[split]")


@pytest.mark.parametrize("module", sorted(OF_IMAGES))
def test_a_group_names_modules_that_are_there(module: str) -> None:
    assert (ROOT / module).is_file()
