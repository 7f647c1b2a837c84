from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from services.router.domain.names import LABEL_LENGTH, RESERVED, base_domain, candidates, slug

LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")


@pytest.mark.parametrize(
    ("service", "environment", "label"),
    [
        ("hello", "production", "hello-production"),
        ("My Shop!", "Production", "my-shop-production"),
        ("  spaced  out  ", "pr 12", "spaced-out-pr-12"),
        ("Über_App", "staging", "uber-app-staging"),
        ("日本", "production", "app-production"),
        ("hello", "日本", "hello"),
        ("a--b", "c", "a-b-c"),
        ("x" * 300, "production", "x" * 52 + "-production"),
        ("x" * 300, "y" * 300, "x" * 38 + "-" + "y" * 24),
        ("s", "e" * 300, "s-" + "e" * 24),
    ],
)
def test_a_name_is_readable(service: str, environment: str, label: str) -> None:
    assert next(candidates(service, environment, "svc_a/env_a")) == label


@pytest.mark.parametrize("word", sorted(RESERVED))
def test_a_reserved_word_gets_a_suffix(word: str) -> None:
    labels = list(candidates(word, "", "svc_a/env_a"))
    assert word not in labels
    assert labels[0].startswith(f"{word}-")


@given(st.text(), st.text(), st.text(min_size=1))
def test_every_candidate_is_a_label_and_they_differ(service: str, environment: str, owner: str) -> None:
    labels = list(candidates(service, environment, owner))
    assert len(labels) >= 4
    assert len(set(labels)) == len(labels)
    for label in labels:
        assert LABEL.match(label), label
        assert len(label) <= LABEL_LENGTH
        assert "--" not in label, "a host name with -- in it may be taken for an encoded one"


@given(st.text(), st.text(), st.text(min_size=1))
def test_the_same_owner_gets_the_same_candidates(service: str, environment: str, owner: str) -> None:
    assert list(candidates(service, environment, owner)) == list(candidates(service, environment, owner))


def test_two_owners_have_different_suffixes() -> None:
    first = list(candidates("hello", "production", "svc_a/env_a"))[1:]
    second = list(candidates("hello", "production", "svc_b/env_a"))[1:]
    assert not set(first) & set(second)


@given(st.text())
def test_a_slug_of_a_slug_is_itself(text: str) -> None:
    assert slug(slug(text)) == slug(text)


@pytest.mark.parametrize("text", ["localhost", "apps.example.org", "EXAMPLE.ORG", "a.b.", "10-0-0-1.nip.test"])
def test_a_base_domain_is_taken(text: str) -> None:
    assert base_domain(text) == text.lower().rstrip(".")


@pytest.mark.parametrize("text", ["", ".", "-a.org", "a..b", "a b.org", "*.example.org", "x" * 64, "http://a.org"])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no domain"):
        base_domain(text)
