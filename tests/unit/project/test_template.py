"""The language inside a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.errors import Invalid
from services.project.domain.binding import as_kept, bound, named
from services.project.domain.functions import ALPHABET, evaluate
from services.project.domain.template import Call, Reference, Text, escape, parse, references, with_scopes

# Texts in which dollars and braces meet as often as can be.
TRICKY = st.text(alphabet=st.sampled_from("${}ab. \n"), max_size=40)


@given(TRICKY | st.text(max_size=200))
def test_an_escaped_text_means_itself(text: str) -> None:
    parts = parse(escape(text))
    assert parts == ((Text(text),) if text else ())


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        ("${{X}}", [("", "X")]),
        ("${{ X }}", [("", "X")]),
        ("${{shared.X}}", [("shared", "X")]),
        ("${{  api . X_1  }}", [("api", "X_1")]),
        ("${{my-api.X}}", [("my-api", "X")]),
        ("${{My Service.X}}", [("My Service", "X")]),
        ("a${{X}}${{api.Y}}b", [("", "X"), ("api", "Y")]),
        ("${{X}}}}", [("", "X")]),
        ("$${{X}}", []),
        ("$$${{X}}", []),
        ("${X} {{X}} $ {{X}}", []),
    ],
)
def test_references_are_found(value: str, meaning: list[tuple[str, str]]) -> None:
    assert [(each.scope, each.name) for each in references(value)] == meaning


@pytest.mark.parametrize(
    "value",
    ["${{", "a ${{X}", "${{}}", "${{ }}", "${{1X}}", "${{a.b.C}}", "${{.X}}", "${{api.}}", "${{X Y}}", "${{a\nb.X}}",
     "${{X}} ${{", "${{secret(}}", "${{secret(x)}}", "${{secret(1,)}}", "${{secret(1 2)}}", "${{'a'.X}}", "${{()}}"],
)  # fmt: skip
def test_what_opens_and_means_nothing_is_refused_with_a_way_out(value: str) -> None:
    with pytest.raises(Invalid):
        parse(value)


def test_the_way_out_is_named() -> None:
    with pytest.raises(Invalid, match=r"never closes it") as caught:
        parse("price: ${{ 5")
    assert "$${{" in str(caught.value)


@given(TRICKY)
def test_parsing_ends_for_any_text_and_refuses_only_as_invalid(text: str) -> None:
    try:
        parts = parse(text)
    except Invalid:
        return
    assert all(isinstance(part, Text | Reference | Call) for part in parts)


@given(st.lists(TRICKY.map(escape) | st.sampled_from(["${{X}}", "${{ api.X }}", "${{shared.X}}"]), max_size=8))
def test_replacing_scopes_by_themselves_changes_nothing(pieces: list[str]) -> None:
    value = "\n".join(pieces)
    assert with_scopes(value, lambda reference: reference.scope) == value


IDS = {"api": "svc_1", "web": "svc_2"}


def test_services_are_kept_by_id_and_read_back_by_name() -> None:
    value = "x ${{ api.URL }} $${{api.URL}} ${{shared.Y}} ${{Z}}"
    kept = bound("web.A", value, IDS)
    assert kept == "x ${{ svc_1.URL }} $${{api.URL}} ${{shared.Y}} ${{Z}}"
    assert named(kept, {"svc_1": "api", "svc_2": "web"}) == value
    assert named(kept, {"svc_1": "backend"}) == value.replace("${{ api", "${{ backend")
    assert bound("web.A", kept, IDS) == kept


@pytest.mark.parametrize(
    ("value", "hint"), [("${{apii.X}}", "“api”"), ("${{API.X}}", "“api”"), ("${{Shared.X}}", "“shared”")]
)
def test_an_unknown_service_is_named_with_its_path_and_the_likely_one(value: str, hint: str) -> None:
    with pytest.raises(Invalid, match=r"web\.A → .+\.X: there is no service") as caught:
        bound("web.A", value, IDS)
    assert f"Did you mean {hint}?" in str(caught.value)


def last(limit: int) -> int:
    return limit - 1


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("${{secret()}}", "9" * 32),
        ("${{secret(5)}}", "9" * 5),
        ('${{ secret( 4 , "abc" ) }}', "cccc"),
        ("${{secret(2,'x y')}}", "yy"),
        ("${{randomInt()}}", "100"),
        ("${{randomInt(5)}}", "100"),
        ("${{randomInt(-3,-1)}}", "-1"),
        ("id-${{randomInt(7,7)}}-${{secret(1)}}-${{X}}", "id-7-9-${{X}}"),
        ("$${{secret(5)}}", "$${{secret(5)}}"),
    ],
)
def test_functions_are_evaluated_when_the_value_is_set(value: str, kept: str) -> None:
    assert as_kept("web.A", "A", value, IDS, last) == kept


def test_the_default_alphabet_is_letters_and_digits() -> None:
    assert len(set(ALPHABET)) == 62
    assert evaluate(Call("secret", ()), lambda _: 0) == "a" * 32


@pytest.mark.parametrize(
    "value",
    ["${{secret(0)}}", "${{secret(1025)}}", "${{secret(3,'')}}", "${{secret(3,'a$')}}", "${{secret(3,'a{')}}",
     "${{secret('a')}}", "${{secret(1,2)}}", "${{secret(1,'a',3)}}", "${{randomInt(2,1)}}", "${{randomInt('a')}}",
     "${{randomInt(1,2,3)}}", "${{randomInt(0,99999999999999999)}}", "${{uuid()}}", "${{secret(3,'é\t')}}"],
)  # fmt: skip
def test_a_wrong_function_is_refused_with_the_variables_name(value: str) -> None:
    with pytest.raises(Invalid, match=r"web\.A") as caught:
        as_kept("web.A", "A", value, IDS, last)
    assert caught.value.field == "A"


def test_functions_cannot_grow_a_value_beyond_its_limit() -> None:
    with pytest.raises(Invalid, match=r"at most 64\.0 KiB"):
        as_kept("web.A", "A", "${{secret(1024)}}" * 65, IDS, last)
