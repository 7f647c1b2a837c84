"""Bills of materials are valid, the same each time, and name packages as everybody does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from libs.cli.scan import survey_directory
from libs.scan.cyclonedx import document, libraries, settled, spelled
from libs.scan.inventory import Inventory, inventory_of
from libs.scan.package import Package

EXAMPLES = Path(__file__).parents[3] / "examples"
KINDS = ["npm", "pypi", "golang", "gem", "composer", "cargo", "hex", "nuget", "maven"]
WORD = st.text(
    st.characters(codec="utf-8", exclude_characters="/@:#?", exclude_categories=["C", "Z"]), min_size=1, max_size=12
)


@pytest.fixture(scope="module")
def validator() -> JsonStrictValidator:
    return JsonStrictValidator(SchemaVersion.V1_6)


def faults(validator: JsonStrictValidator, whole: dict[str, object]) -> object:
    return validator.validate_str(spelled(whole).decode())


@pytest.mark.parametrize("example", sorted(one.name for one in EXAMPLES.iterdir() if one.is_dir()))
def test_every_examples_bill_fits_the_published_schema(example: str, validator: JsonStrictValidator) -> None:
    found = survey_directory(EXAMPLES / example)
    assert faults(validator, document(found.inventory, name=example)) is None


def test_licences_development_and_notes_fit_the_schema_too(validator: JsonStrictValidator) -> None:
    packages = (
        Package("npm", "@a", "b", "1.0.0+x y", ("MIT OR Apache-2.0",), development=True, found_in="web/yarn.lock"),
        Package("pypi", "", "c", "1.0", ("MIT", "BSD License"), found_in="uv.lock"),
        Package("pypi", "", "d", "1.0", ("(MIT OR CC0-1.0)",)),
        Package("pypi", "", "e", "1.0", ("SEE LICENSE IN X",)),
    )
    whole = document(Inventory(packages, ("uv.lock",), ("yarn.lock cannot be read",)), name="shop", version="1")
    assert faults(validator, whole) is None
    assert faults(validator, {**whole, "version": "one"}) is not None
    first, second, third, fourth = whole["components"]
    assert (first["group"], first["name"], first["scope"]) == ("@a", "b", "excluded")
    assert first["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert second["licenses"] == [{"license": {"id": "MIT"}}, {"license": {"name": "BSD License"}}]
    assert third["licenses"] == [{"expression": "(MIT OR CC0-1.0)"}]
    assert fourth["licenses"] == [{"license": {"name": "SEE LICENSE IN X"}}]
    assert whole["compositions"] == [{"aggregate": "incomplete"}]
    assert libraries(whole) == 4


def test_what_asks_for_what_is_told_of_packages_in_the_list_alone(validator: JsonStrictValidator) -> None:
    top = Package("npm", "", "a", "1", needs=("pkg:npm/b@1", "pkg:npm/elsewhere@1"))
    again = Package("npm", "", "a", "1", needs=("pkg:npm/c@1",))
    others = [Package("npm", "", name, "1") for name in "bc"]
    whole = document(inventory_of([top, again, *others], [], []), name="shop")
    assert whole["dependencies"] == [{"ref": "pkg:npm/a@1", "dependsOn": ["pkg:npm/b@1", "pkg:npm/c@1"]}]
    assert faults(validator, whole) is None
    assert "dependencies" not in document(inventory_of(others, [], []), name="shop")


def test_the_same_packages_in_any_order_give_the_same_bytes_and_others_another_number() -> None:
    one, other = Package("npm", "", "a", "1"), Package("npm", "", "b", "1")
    first = document(inventory_of([one, other], [], []), name="shop")
    again = document(inventory_of([other, one], [], []), name="shop")
    assert spelled(first) == spelled(again)
    assert document(inventory_of([one], [], []), name="shop")["serialNumber"] != first["serialNumber"]


def test_another_tools_document_loses_what_differs_from_run_to_run() -> None:
    whole = {"bomFormat": "CycloneDX", "metadata": {"timestamp": "2026-01-01"}, "serialNumber": "urn:uuid:1"}
    parts = [{"bom-ref": "b", "purl": "pkg:npm/b@1"}, {"bom-ref": "a", "purl": "pkg:npm/a@1"}]
    first = settled({**whole, "components": parts})
    again = settled({**whole, "serialNumber": "urn:uuid:2", "metadata": {}, "components": parts[::-1]})
    assert first == again
    assert [one["bom-ref"] for one in first["components"]] == ["a", "b"]


@given(st.sampled_from(KINDS), WORD, WORD, WORD)
def test_the_reference_library_reads_our_package_urls_as_they_are_meant(
    kind: str, namespace: str, name: str, version: str
) -> None:
    inside = namespace if kind in {"golang", "maven", "composer"} else ""
    read = PackageURL.from_string(Package(kind, inside, name, version).purl)
    meant = PackageURL(kind, inside or None, name, version)
    assert (read.type, read.version) == (kind, version)
    assert (read.namespace or "").lower() == (meant.namespace or "").lower()
    assert read.name.lower() == meant.name.lower()


def test_package_urls_are_spelled_as_the_reference_library_spells_them() -> None:
    for kind, namespace, name in [
        ("npm", "@babel", "core"), ("pypi", "", "Flask_Login"), ("golang", "github.com/BurntSushi", "toml"),
        ("composer", "Laravel", "Framework"), ("maven", "com.google.guava", "guava"), ("nuget", "", "Newtonsoft.Json"),
        ("hex", "", "Plug"), ("gem", "", "rails"), ("cargo", "", "serde_json"),
    ]:  # fmt: skip
        expected = PackageURL(kind, namespace or None, name, "1.0.0-rc.1+build:x~y").to_string()
        assert Package(kind, namespace, name, "1.0.0-rc.1+build:x~y").purl == expected


def test_a_bill_names_no_file_but_those_that_told(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text('[[package]]\nname = "flask"\nversion = "3.1.0"\nsource = { registry = "r" }\n')
    (tmp_path / ".env").write_text("API_TOKEN=q8Zr2LxV7mNc4PdK9sTb1WyE\n")
    whole = spelled(document(survey_directory(tmp_path).inventory, name="shop")).decode()
    assert "q8Zr" not in whole
    assert ".env" not in whole
    assert json.loads(whole)["metadata"]["properties"] == [{"name": "lightrail:read", "value": "uv.lock"}]
