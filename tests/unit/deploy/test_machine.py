from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Conflict
from services.deploy.domain.machine import FINAL, IN_FLIGHT, LEGAL, RUNNING, State
from tests.unit.deploy.worlds import START, deployment

ENDED = {State.FAILED, State.SKIPPED, State.REMOVED}


@given(st.lists(st.sampled_from(list(State)), max_size=20))
def test_only_legal_paths_are_walked_and_an_ended_deployment_never_comes_back(path: list[State]) -> None:
    walked = deployment(1)
    for to in path:
        before = walked.state
        if to in LEGAL[before]:
            walked = walked.move(to, "", START)
            assert before not in ENDED
        else:
            with pytest.raises(Conflict):
                walked.move(to, "", START)
    assert walked.state in State


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_reach_an_end(state: State) -> None:
    reached, front = {state}, {state}
    while front:
        front = {to for each in front for to in LEGAL[each]} - reached
        reached |= front
    assert reached & ENDED


def test_every_state_has_its_row() -> None:
    assert set(LEGAL) == set(State)
    assert not (IN_FLIGHT & FINAL)
    assert State.ACTIVE in RUNNING


def test_first_time_live_is_kept() -> None:
    live = deployment(1, State.DEPLOYING).move(State.ACTIVE, "", START)
    assert live.went_live_at == START
