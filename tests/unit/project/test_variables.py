"""A scope's variables: what may be set, and what a call makes of them."""

from __future__ import annotations

import pytest

from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from services.project.domain.masking import looks_secret
from services.project.domain.variables import Variable, check_name, check_value, set_values, without


def text(value: str, *, sealed: bool = False) -> Variable:
    return Variable(Secret(value), sealed=sealed)


CURRENT = {"A": text("1"), "B": text("2", sealed=True)}


def test_values_are_added_to_what_is_there() -> None:
    change = set_values(CURRENT, {"A": "1", "C": "3"})
    assert change.content == {**CURRENT, "C": text("3")}
    assert change.written == {"C"}
    assert not change.removed


def test_replacing_deletes_what_is_missing() -> None:
    change = set_values(CURRENT, {"C": "3"}, replace=True)
    assert set(change.content) == {"C"}
    assert change.removed == {"A", "B"}


def test_setting_what_is_there_changes_nothing() -> None:
    assert set_values(CURRENT, {"A": "1", "B": "2"}, replace=True).nothing
    assert set_values({}, {}, replace=True).nothing


def test_what_is_sealed_stays_sealed() -> None:
    change = set_values(CURRENT, {"B": "new"})
    assert change.content["B"] == text("new", sealed=True)
    assert set_values(CURRENT, {"B": "new"}, replace=True).content["B"].sealed


def test_sealing_a_value_is_a_change() -> None:
    assert set_values(CURRENT, {"A": "1"}, sealed=True).written == {"A"}


def test_deleting_takes_one_away() -> None:
    assert without(CURRENT, "A").removed == {"A"}
    assert without(CURRENT, "C").nothing


def test_a_variable_does_not_print_its_value() -> None:
    assert "hunter2" not in repr(text("hunter2"))
    assert "hunter2" not in repr(set_values({}, {"A": "hunter2"}))


@pytest.mark.parametrize("name", ["A", "_a", "a1_B", "A" * 256, "PORTS", "LIGHTRAILS"])
def test_a_variable_may_be_called_this(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "1A", "A-B", "A.B", "A B", "Ä", "A" * 257, "A\n", "LIGHTRAIL_X", "lightrail_x", "PORT", "A=B", "\0"]
)
def test_a_variable_may_not_be_called_this(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


def test_limits_are_exact() -> None:
    check_value("A", "x" * 65536)
    with pytest.raises(Invalid, match=r"at most 64\.0 KiB"):
        check_value("A", "x" * 65535 + "é")
    assert len(set_values({}, {f"V{n}": "" for n in range(1000)}).content) == 1000
    with pytest.raises(Invalid, match="1001 variables"):
        set_values({"OLD": text("")}, {f"V{n}": "" for n in range(1000)})
    with pytest.raises(Invalid, match=r"1\.0 MiB"):
        set_values({}, {f"V{n}": "x" * 65536 for n in range(16)})


def test_there_are_not_so_many_references_that_rendering_takes_long() -> None:
    set_values({}, {f"V{n}": "${{A}}" * 1000 for n in range(10)})
    with pytest.raises(Invalid, match="more than 10000 references"):
        set_values({"A": text("${{B}}")}, {f"V{n}": "${{A}}" * 1000 for n in range(10)})


def test_a_zero_byte_is_refused() -> None:
    with pytest.raises(Invalid, match="zero byte"):
        check_value("A", "a\0b")


def test_a_refusal_never_shows_the_value() -> None:
    with pytest.raises(Invalid) as caught:
        check_value("A", "hunter2" * 10000)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "x"),
        ("apiKey", "x"),
        ("SENTRY_DSN", "x"),
        ("SESSION_SECRET", "x"),
        ("GH_TOKEN", "x"),
        ("CREDENTIALS", "x"),
        ("PRIVATE_THING", "x"),
        ("DATABASE_URL", "postgres://u:p@h/db"),
        ("REDIS_URL", "redis://token@h:6379"),
        ("REDIS_URL", "redis://:p@h:6379"),
        ("ANYTHING", "see postgres://u:p@h/db"),
        ("ANYTHING", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
        ("ANYTHING", "ghp_" + "a1" * 18),
        ("ANYTHING", "AKIAIOSFODNN7EXAMPLE"),
        ("ANYTHING", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc"),
    ],
)
def test_this_looks_secret(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", ""),
        ("REGION", "eu"),
        ("PUBLIC_URL", "https://example.com/a?b=c:d@e"),
        ("ANYTHING", "mailto:me@example.com"),
        ("LINKS", "https://a.example/x:y/ z@example.com"),
    ],
)
def test_this_does_not(name: str, value: str) -> None:
    assert not looks_secret(name, value)


@pytest.mark.parametrize("unit", ["a", "a.", "a://", "eyJ-", "x://a:", "-----BEGIN ", "AKIA"])
@pytest.mark.timeout(5)
def test_looking_at_a_value_takes_no_longer_than_its_length(unit: str) -> None:
    assert not looks_secret("ANYTHING", (unit * 65536)[:65536])
