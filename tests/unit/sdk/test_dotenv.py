r"""The `.env` reader gives what Docker Compose gives.

Fixtures and expectations: compose-spec/compose-go `dotenv/`, see tests/data/README.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from libs.sdk.dotenv import parse

FIXTURES = Path(__file__).resolve().parents[2] / "data" / "dotenv"
PLAIN = {
    "OPTION_A": "1",
    "OPTION_B": "2",
    "OPTION_C": "3",
    "OPTION_D": "4",
    "OPTION_E": "5",
    "OPTION_F": "",
    "OPTION_G": "",
    "OPTION_H": "my string",
}
SUBSTITUTED = {"OPTION_A": "1", "OPTION_B": "1", "OPTION_C": "1", "OPTION_D": "1_1", "OPTION_E": ""}
EXPECTED = {
    "custom.format": {"FOO": "BAR", "ZOT": "QIX"},
    "equals.env": {"OPTION_A": "postgres://localhost:5432/database?sslmode=disable"},
    "exported.env": {"OPTION_A": "2", "OPTION_B": "\\n"},
    "inherited-multi-var.env": {"foo": "bar", "bar": "baz"},
    "inherited-not-found.env": {},
    "inherited-single-var.env": {},
    "plain.env": PLAIN,
    "quoted.env": {
        "OPTION_A": "1",
        "OPTION_B": "2",
        "OPTION_C": "",
        "OPTION_D": "\\n",
        "OPTION_E": "1",
        "OPTION_F": "2",
        "OPTION_G": "",
        "OPTION_H": "\n",
        "OPTION_I": "echo 'asd'",
        "OPTION_J": "first line\nsecond line\nthird line\nand so on",
        "OPTION_K": "Let's go!",
        "OPTION_Z": "last value",
    },
    "special.env": {"VAR.WITH.DOTS": "dots", "VAR_WITH_UNDERSCORES": "underscores", "VAR-WITH-DASHES": "dashes"},
    "substitutions-default.env": SUBSTITUTED,
    "substitutions.env": SUBSTITUTED,
    "unquoted.env": {
        "OPTION_A": "some quoted phrase",
        "OPTION_B": "first one with an unquoted phrase",
        "OPTION_C": "then another one with an unquoted phrase",
        "OPTION_D": "then another one with an unquoted phrase special è char",
        "OPTION_E": "then another one quoted phrase",
    },
    "utf8-bom.env": PLAIN,
}


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text("utf-8")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_fixture_gives_what_compose_gives(name: str) -> None:
    assert parse(fixture(name)) == EXPECTED[name]


def test_every_fixture_has_an_expectation() -> None:
    kept = {path.name for path in FIXTURES.iterdir()} - {"LICENSE", "invalid1.env"}
    assert kept == set(EXPECTED)


def test_the_invalid_fixture_names_its_line() -> None:
    with pytest.raises(Invalid, match=r"line 7: the name “INVALID LINE” has a space in it"):
        parse(fixture("invalid1.env"))


def test_a_name_alone_takes_its_value_from_outside() -> None:
    outside = {"VAR_TO_BE_LOADED_FROM_OS_ENV": "SOME_RANDOM_VALUE"}
    assert parse(fixture("inherited-single-var.env"), outside) == outside
    assert parse(fixture("inherited-multi-var.env"), outside) == {"foo": "bar", **outside, "bar": "baz"}
    assert parse("LAST", {"LAST": "1"}) == {"LAST": "1"}


@pytest.mark.parametrize(("name", "first"), [("substitutions.env", "1"), ("substitutions-default.env", "5")])
def test_outside_comes_before_the_file(name: str, first: str) -> None:
    expected = {"OPTION_A": first, "OPTION_B": "5", "OPTION_C": "5", "OPTION_D": "5_5", "OPTION_E": ""}
    assert parse(fixture(name), {"OPTION_A": "5"}) == expected


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("FOO =bar", "FOO", "bar"),
        ("FOO= bar", "FOO", "bar"),
        ('FOO="escaped\\"bar"', "FOO", 'escaped"bar'),
        ("FOO=\"'d'\"", "FOO", "'d'"),
        ("OPTION_A: 1", "OPTION_A", "1"),
        ("OPTION_A: Foo=bar", "OPTION_A", "Foo=bar"),
        ("OPTION_A=1:B", "OPTION_A", "1:B"),
        ("export exportFoo=2", "exportFoo", "2"),
        ("exportFOO=2", "exportFOO", "2"),
        ("export_FOO =2", "export_FOO", "2"),
        ("export.FOO= 2", "export.FOO", "2"),
        ("\texport\tOPTION_A=2", "OPTION_A", "2"),
        ('FOO="bar\\nbaz"', "FOO", "bar\nbaz"),
        ("FOO=a\\tb", "FOO", "a\\tb"),
        (r'KEY="Z\aZ\bZ\fZ\nZ\rZ\tZ\vZ\\Z\0123Z"', "KEY", "Z\aZ\bZ\fZ\nZ\rZ\tZ\vZ\\ZSZ"),
        (r'KEY="\x07"', "KEY", r"\x07"),
        (r'FOO="bar\\\n\ b\az"', "FOO", "bar\\\n\\ b\az"),
        (r'FOO="bar\nbaz\\"', "FOO", "bar\nbaz\\"),
        ("FOO=foobar=", "FOO", "foobar="),
        ("FOO=bar #this is foo", "FOO", "bar"),
        ("FOO=123#not-an-inline-comment", "FOO", "123#not-an-inline-comment"),
        ('FOO="bar#baz" # comment', "FOO", "bar#baz"),
        ("a[1]=c", "a[1]", "c"),
        ("árvíztűrő-TÜKÖRFÚRÓGÉP=x", "árvíztűrő-TÜKÖRFÚRÓGÉP", "x"),
        ("FOO=bar\r", "FOO", "bar"),
        ("FOO=pa$5word$", "FOO", "pa$5word$"),
        ("FOO=$$X", "FOO", "$X"),
        ("FOO='quote $X'", "FOO", "quote $X"),
        ('FOO="foo\\${BAR}"', "FOO", "foo${BAR}"),
        ("FOO=${A:-Default Value}", "FOO", "Default Value"),
        ("FOO=${EMPTY:-x}", "FOO", "x"),
        ("FOO=${EMPTY-x}", "FOO", ""),
        ("FOO=${A:-${B:-deep}}!", "FOO", "deep!"),
        ("FOO=${SET:+yes}${A:+no}", "FOO", "yes"),
        ("FOO=${SET:?must be}", "FOO", "set"),
        ("FOO=${{shared.X}} ${{ api.Y }}$SET", "FOO", "${{shared.X}} ${{ api.Y }}set"),
    ],
)
def test_a_line_gives_a_value(line: str, name: str, value: str) -> None:
    assert parse(f"EMPTY=\nSET=set\n{line}") == {"EMPTY": "", "SET": "set", name: value}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("lol$wut", "line 1: “lol\\$wut” has “\\$” where a name stands"),
        ("A=1\n\n# c\n%!=foo", "line 4: "),
        ('A=1\nKEY="value', 'line 2: the quote " is never closed'),
        ("KEY='value\\'", "line 1: the quote ' is never closed"),
        ("A=1\n=value", "line 2: there is no name before “=”"),
        ("A='x\ny'\nB=${A", "line 3: .* is no variable"),
        ("A=1\nexport ", "line 2: there is no name behind “export”"),
        ("B=${1}", "line 1: .* is no variable"),
        ("B=${A:?set it}", "line 1: A has no value: set it"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        parse(text)


@given(st.text(alphabet=st.sampled_from("AB=:\"'\\$ {}#\n\texport-+?"), max_size=60))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        found = parse(text)
    except Invalid as error:
        assert error.message.startswith("line ")  # noqa: PT017 - the other outcome is fine too
    else:
        assert all(name and not name[0].isdigit() for name in found)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(max_size=40)))
def test_values_in_single_quotes_come_back(values: dict[str, str]) -> None:
    plain = {name: value.replace("\\", "").replace("'", "") for name, value in values.items()}
    assert parse("".join(f"{name}='{value}' # note\n" for name, value in plain.items())) == plain
