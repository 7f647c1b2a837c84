"""What files say about versions: understood, or a fault that names the file and the line."""

from __future__ import annotations

import json

import pytest

from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.plan import PlanSettings
from libs.plans.tree import tree_of

PYTHON, NODE = {"main.py": ""}, {"a.js": "", "package.json": '{"main": "a.js"}'}


def asked(files: dict[str, str]) -> tuple[str, str]:
    runtime = make_plan(tree_of(files), PlanSettings()).runtime
    return runtime.constraint, runtime.asked_by


def engines(node: object) -> dict[str, str]:
    return {"a.js": "", "package.json": json.dumps({"main": "a.js", "engines": {"node": node}}, indent=1)}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            NODE | {"lightrail.toml": '[build]\n[build.versions]\nnode = "banana"\n'},
            "lightrail.toml, line 3: “banana” is no version of node.",
        ),
        (
            PYTHON | {"lightrail.toml": 'build.versions.ruby = "banana"\n'},
            "lightrail.toml, line 1: “banana” is no version of ruby.",
        ),
        (
            NODE | {"railpack.json": '{"packages": {\n"node": "banana"}}'},
            "railpack.json, line 2: “banana” is no version of node.",
        ),
        (engines("banana"), "package.json, line 4: “banana” is no version of node."),
        (engines("18 || banana"), "package.json, line 4: “18 || banana” is no version of node."),
        (engines("=>18"), "package.json, line 4: “=>18” is no version of node."),
        (engines("9" * 5000), "package.json, line 4: “999"),
        (engines(["8.x"]), "package.json, line 4: “engines.node” must be a text, this is a list."),
        (engines(20), "package.json, line 4: “engines.node” must be a text, this is a number. Write it in quotes."),
        (
            PYTHON | {"pyproject.toml": '[project]\nname = "a"\nrequires-python = "banana"\n'},
            "pyproject.toml, line 3: “banana” is no version of python.",
        ),
        (
            PYTHON | {"poetry.lock": "", "pyproject.toml": '[tool.poetry.dependencies]\npython = "3.x.banana"\n'},
            "pyproject.toml, line 2: “3.x.banana” is no version of python.",
        ),
        (
            PYTHON | {"Pipfile": "[requires]\npython_version = 3.1\n"},
            "Pipfile, line 2: “requires.python_version” must be a text, this is a number. Write it in quotes.",
        ),
        (
            PYTHON | {".tool-versions": "# ours\nnodejs 22\npython banana\n"},
            ".tool-versions, line 3: this is no version of python.",
        ),
        (PYTHON | {"mise.toml": '[tools]\npython = "banana"\n'}, "mise.toml, line 2: this is no version of python."),
        (NODE | {".nvmrc": "lts/banana\n"}, ".nvmrc, line 1: this is no version of node."),
    ],
)
def test_a_version_that_is_none_is_a_fault_with_its_line(files: dict[str, str], said: str) -> None:
    with pytest.raises(BuildFault) as failure:
        make_plan(tree_of(files), PlanSettings())
    assert f"{failure.value}".startswith(said)


@pytest.mark.parametrize(
    "range_",
    [
        ">=18 <21", "18 || 20", "18||20", "^20.1", "20.x", "20.x.x", "v20", "=20", ">= 18", "~> 20", "<=22 >=18",
        "18 - 20", ">=18.x", "20.0.0-rc.1", ">=20.0.0-0", "22.1.0+build.5", ">=18, <21", "20 || >=22", "20.*",
        "22 || *",
    ],
)  # fmt: skip
def test_every_range_of_npm_stays_as_it_is(range_: str) -> None:
    assert asked(engines(range_)) == (range_, "package.json (engines)")


@pytest.mark.parametrize("any_", ["*", "x", "", " ", "latest", "lts/*", "node", "current", None])
def test_a_wish_for_whatever_is_current_is_none(any_: str | None) -> None:
    assert asked(engines(any_)) == ("", "")


@pytest.mark.parametrize(
    "specifier",
    [
        ">=3.9,<3.13", ">= 3.9, < 3.13", "~=3.11", "~= 3.11", "==3.11.*", "!=3.9.7,>=3.8", "===3.11", ">=3.8.0rc1",
        ">=3.8.dev0", ">=3.8,", "<4,>=3.9", "^3.10", "^3.8 || ^3.9", "^3.8|^3.9",
    ],
)  # fmt: skip
def test_every_specifier_of_python_stays_as_it_is(specifier: str) -> None:
    files = PYTHON | {"pyproject.toml": f'[project]\nname = "a"\nrequires-python = "{specifier}"\n'}
    assert asked(files) == (specifier, "pyproject.toml (requires-python)")


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("lts/argon", "4"),
        ("lts/boron", "6"),
        ("lts/carbon", "8"),
        ("lts/dubnium", "10"),
        ("lts/erbium", "12"),
        ("lts/fermium", "14"),
        ("lts/gallium", "16"),
        ("lts/hydrogen", "18"),
        ("lts/iron", "20"),
        ("lts/Jod", "22"),
        ("lts-krypton", "24"),
        ("lts/*", ""),
        ("stable", ""),
        ("latest", ""),
        ("node", ""),
    ],
)
def test_the_names_of_nodes_lines_are_known_wherever_one_may_stand(name: str, version: str) -> None:
    assert asked(NODE | {".nvmrc": f"{name}\n"}) == (version, ".nvmrc")
    assert asked(NODE | {".tool-versions": f"nodejs {name}\n"}) == (version, ".tool-versions")
    told = f'build.versions.node = "{name}"\n'
    assert asked(NODE | {"lightrail.toml": told}) == (version, "lightrail.toml")
    assert asked(engines(name))[0] == version


def test_channels_of_other_languages_are_versions() -> None:
    files = {"Cargo.toml": '[package]\nname = "a"\nversion = "0.1.0"\n', "src/main.rs": "fn main() {}\n"}
    said = files | {"lightrail.toml": '[build.versions]\nrust = "nightly"\n', ".tool-versions": "rust beta\n"}
    assert asked(said) == ("nightly", "lightrail.toml")
