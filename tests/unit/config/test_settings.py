from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from libs.config import describe, load, setting
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from libs.kernel.units import parse_bytes


@dataclass(frozen=True, slots=True)
class Example:
    home: Path = setting("X_HOME", doc="where data lives")
    key: Secret[str] = setting("X_KEY", doc="the key")
    size: int = setting("X_SIZE", doc="how much", default=5, parse=parse_bytes)
    quick: bool = setting("X_QUICK", doc="whether to hurry", default=False)
    share: float = setting("X_SHARE", doc="how much of it", default=0.5)


GOOD = {"X_HOME": "/data", "X_KEY": "k"}


def test_settings_come_typed_from_the_environment() -> None:
    made = load(Example, GOOD | {"X_SIZE": "2k", "X_QUICK": "yes", "X_SHARE": "0.25"})
    assert made == Example(Path("/data"), Secret("k"), 2048, True, 0.25)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        load(Example, {"X_SIZE": "big", "X_QUICK": "maybe", "X_SHARE": "half"})
    for name in ("X_HOME", "X_KEY", "X_SIZE", "X_QUICK", "X_SHARE"):
        assert name in str(caught.value)


def test_empty_secret_is_refused() -> None:
    with pytest.raises(Invalid, match="X_KEY"):
        load(Example, GOOD | {"X_KEY": " "})


def test_differences_from_defaults_are_told_without_secrets() -> None:
    rows = {row["name"]: row["value"] for row in describe(Example, GOOD | {"X_SHARE": "0.75"})}
    assert rows == {"X_HOME": "/data", "X_KEY": "Secret(…)", "X_SHARE": "0.75"}
