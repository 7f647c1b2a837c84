"""What of a failure goes over the wire."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from libs.rpc.status import LONGEST_MESSAGE, message_of


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(min_value=1, max_value=200))
def test_a_message_of_any_characters_fits(text: str, times: int) -> None:
    sent = message_of(Invalid(text * times))
    assert len(sent) <= LONGEST_MESSAGE
    # With its last character; gRPC writes it as a URL would, but for fewer characters.
    assert len(quote(sent, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")) <= 4520


@pytest.mark.parametrize("text", ["", "a" * LONGEST_MESSAGE, "ä" * 750, "%" * 1500])
def test_what_fits_is_not_touched(text: str) -> None:
    assert message_of(Invalid(text)) == text


@pytest.mark.parametrize(("text", "kept"), [("a" * 1501, 1499), ("ä" * 1500, 749), ("😀" * 1500, 374)])
def test_what_does_not_fit_is_cut_and_says_so(text: str, kept: int) -> None:
    assert message_of(Invalid(text)) == text[:kept] + "…"
