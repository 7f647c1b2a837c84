from __future__ import annotations

import pytest

from libs.plans.versions import newest, parse_version, reaches, satisfies


@pytest.mark.parametrize(
    ("version", "constraint", "allowed"),
    [
        ("3.11.7", "", True),
        ("3.11.7", "3.11", True),
        ("3.12.1", "3.11", False),
        ("3.11.7", ">=3.11", True),
        ("3.10.9", ">=3.11", False),
        ("3.11.7", ">=3.10,<3.12", True),
        ("3.12.0", ">=3.10, <3.12", False),
        ("3.11.7", "~=3.11", True),
        ("3.12.0", "~=3.11", True),
        ("3.12.0", "~=3.11.2", False),
        ("3.11.7", "^3.9", True),
        ("4.0.0", "^3.9", False),
        ("0.4.0", "^0.3.1", False),
        ("3.11.7", "==3.11.*", True),
        ("3.11.7", "!=3.11.*", False),
        ("3.11.7", ">3.11", False),
        ("3.12.0", ">3.11", True),
        ("20.20.2", "20.x", True),
        ("20.20.2", ">=18", True),
        ("20.20.2", ">= 18 < 21", True),
        ("20.20.2", "18 || 20", True),
        ("22.1.0", "18 || 20", False),
        ("20.20.2", "18 - 20", True),
        ("20.20.2", "~20.1", False),
        ("20.1.9", "~20.1", True),
        ("20.20.2", "lts/*", True),
        ("20.20.2", ">=18.x", True),
        ("20.20.2", "<18.x || 20.*", True),
        ("20.20.2", ">20.x", False),
        ("20.20.2", "~>20", True),
        ("3.2.4", "~> 3.2.0", True),
        ("3.3.0", "~> 3.2.0", False),
        ("8.3.0", "^8.2|^8.3", True),
        ("9.0.0", "^8.2|^8.3", False),
    ],
)
def test_constraints_allow_what_their_ecosystems_allow(version: str, constraint: str, allowed: bool) -> None:  # noqa: FBT001 - a table
    assert satisfies(parse_version(version), constraint) is allowed


def test_the_newest_that_fits_is_taken() -> None:
    have = [parse_version(text) for text in ("3.10.1", "3.11.7", "3.12.2", "3.13.0")]
    assert newest(have, ">=3.10,<3.13") == (3, 12, 2)
    assert newest(have, "3.9") is None


@pytest.mark.parametrize(
    ("line", "constraint", "reached"),
    [
        ("22", "22.11.0", True),
        ("22", "~22.11", True),
        ("22", ">22.4 <22.6", True),
        ("22", ">=22.4 <22.5", True),
        ("22", "18 - 22.5", True),
        ("22", "20.1.0 || 22.1.0", True),
        ("22", "20.11.1", False),
        ("22", ">22", False),
        ("22", "<22", False),
        ("3.11", "==3.11.4", True),
        ("3.11", "~=3.10.2", False),
    ],
)
def test_a_line_is_reached_when_any_of_its_releases_is_allowed(line: str, constraint: str, reached: bool) -> None:  # noqa: FBT001 - a table
    assert reaches(line, constraint) is reached
