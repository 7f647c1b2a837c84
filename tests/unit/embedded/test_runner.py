"""How long a part that died is kept waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.embedded.part import Spec
from libs.embedded.plan import Node
from libs.embedded.runner import HEALTHY_SECONDS, PAUSES, Runner


class Mortal:
    """A part that dies whenever it is told to, and is started again when it may be."""

    def __init__(self, folder: Path) -> None:
        spec = Spec(name="mortal", argv=("/bin/true",), env={}, log=folder / "log", port=0, ready=lambda: False)
        self._runner = Runner(Node(name="mortal", spec=lambda: spec), lambda *_, **__: None)

    def pause_after(self, seconds: float) -> float:
        """It runs for so long and dies; gives how long it is kept waiting then."""
        began = self._runner.due
        self._runner.start(began)
        self._runner.ended(began + seconds)
        return round(self._runner.due - began - seconds, 3)


@pytest.fixture
def mortal(tmp_path: Path) -> Mortal:
    return Mortal(tmp_path)


def test_the_first_restart_is_at_once_and_the_next_ones_ever_later(mortal: Mortal) -> None:
    assert [mortal.pause_after(1) for _ in range(10)] == [*PAUSES, PAUSES[-1], PAUSES[-1]]


def test_a_part_that_ran_for_a_while_is_started_at_once_again(mortal: Mortal) -> None:
    assert [mortal.pause_after(1) for _ in range(3)] == [0, 0.5, 1]
    assert mortal.pause_after(HEALTHY_SECONDS) == 0


def test_the_longer_it_was_kept_waiting_the_longer_it_must_run_to_be_trusted(mortal: Mortal) -> None:
    assert [mortal.pause_after(1) for _ in range(7)][-1] == 16
    assert mortal.pause_after(HEALTHY_SECONDS) == 30
    assert mortal.pause_after(59) == 30
    assert mortal.pause_after(60) == 0
