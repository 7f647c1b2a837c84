"""What people type is cleaned or refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from services.auth.domain import inputs

LABEL = "a" * 63


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada.Lovelace+ci@Example.COM\n", "ada.lovelace+ci@example.com"),
        ("root@localhost", "root@localhost"),
        ("o'brien@xn--bcher-kva.example", "o'brien@xn--bcher-kva.example"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_addresses_are_trimmed_and_lowered(text: str, clean: str) -> None:
    assert inputs.email(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@@example.com",
        "ada@example..com",
        "ada@-example.com",
        "ada@example.com.",
        "ada lovelace@example.com",
        "ada@exam ple.com",
        "ada@example.com\x00",
        "ada@example.com\nbcc:eve@example.com",
        "ädä@example.com",
        "ada@bücher.example",
        "\u202eada@example.com",
        "a" * 65 + "@example.com",
        f"ada@{LABEL}.{LABEL}.{LABEL}.{LABEL}",
        "ada@" + "a" * 64,
        "x" * 100_000,
    ],
)
def test_other_texts_are_no_addresses(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        inputs.email(text)
    assert caught.value.field == "email"
    assert len(str(caught.value)) < 400


@given(st.text())
def test_an_accepted_address_stays_as_it_is(text: str) -> None:
    try:
        clean = inputs.email(text)
    except Invalid:
        return
    assert inputs.email(clean) == clean
    assert clean == clean.lower()


@pytest.mark.parametrize("text", ["", "123456789", "x" * 1_025, "Ada@Example.com"])
def test_weak_and_endless_passwords_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        inputs.password(text, address="ada@example.com")
    assert caught.value.field == "password"
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("text", ["1234567890", "x" * 1_024, " spaces are kept ", "пароль-пароль", "\U0001f511" * 10])
def test_long_enough_passwords_are_kept(text: str) -> None:
    assert inputs.password(text) == text


@pytest.mark.parametrize("text", ["Ada", "  Ada  ", "Ada Lovelace", "Ада", "x" * 100, "\U0001f469\u200d\U0001f4bb"])
def test_names_are_trimmed(text: str) -> None:
    assert inputs.name(text, of="account") == text.strip()


@given(st.text())
def test_an_accepted_name_can_be_printed_on_one_line(text: str) -> None:
    try:
        clean = inputs.name(text, of="account")
    except Invalid:
        return
    assert 1 <= len(clean) <= inputs.LONGEST_NAME
    assert clean.splitlines() == [clean]
