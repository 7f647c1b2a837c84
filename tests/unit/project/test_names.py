"""What things may be called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from services.project.domain.names import (
    MAX_SLUG,
    environment_name,
    project_key,
    project_name,
    proposal,
    service_name,
    shown,
)


@pytest.mark.parametrize("name", ["a", "web", "web-2", "9lives", "a" * 40, " web "])
def test_a_service_may_be_called_this(name: str) -> None:
    assert service_name(name) == name.strip()


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("My App", "my-app"),
        ("Ünïcode Café", "unicode-cafe"),
        ("web_api", "web-api"),
        ("-web-", "web"),
        ("a" * 300, "a" * 40),
        ("xn--bcher-kva", "xn-bcher-kva"),
        ("a.b/c", "a-b-c"),
    ],
)
def test_a_name_that_is_no_host_name_is_refused_with_a_proposal(name: str, better: str) -> None:
    for check in (service_name, environment_name):
        with pytest.raises(Invalid, match=f"Try “{better}”") as caught:
            check(name)
        assert caught.value.field == "name"
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["", "   ", "日本語", "🚀", "---", "\0"])
def test_a_name_of_which_nothing_can_be_kept_is_refused_without_one(name: str) -> None:
    with pytest.raises(Invalid, match="a–z") as caught:
        service_name(name)
    assert caught.value.hint is None


def test_no_service_takes_the_word_for_shared_variables() -> None:
    with pytest.raises(Invalid, match="stands for the shared variables"):
        service_name("shared")
    assert environment_name("shared") == "shared"


@given(st.text(max_size=120))
def test_every_proposal_is_accepted(text: str) -> None:
    better = proposal(text)
    assert len(better) <= MAX_SLUG
    if better:
        assert environment_name(better) == better


@pytest.mark.parametrize("name", ["Shop", "My Shop — 東京", "a" * 100, "  padded  ", "👩\u200d🚀 moon"])
def test_a_project_may_be_called_this(name: str) -> None:
    assert project_name(name) == name.strip()


@pytest.mark.parametrize("name", ["", "  ", "a" * 101, "a\nb", "a\0b", "a\x7f", "a\u202eb", "a\u2028b", "\ud800"])
def test_a_project_may_not_be_called_this(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        project_name(name)
    assert caught.value.field == "name"


def test_projects_differ_by_more_than_case_and_composition() -> None:
    assert project_key(project_name("CAFÉ")) == project_key(project_name("cafe\u0301"))
    assert project_key("Straße") == project_key("STRASSE")
    assert project_key("shop") != project_key("shop 2")


def test_a_name_in_a_message_is_one_short_line() -> None:
    assert shown("a\nb" + "c" * 300) == "a·b" + "c" * 36 + "…"
