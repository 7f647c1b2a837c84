"""Whatever people upload: a plan, or their fault in words; never anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, PlanSettings
from libs.plans.tree import tree_of

CASES = Path(__file__).parents[2] / "golden" / "cases" / "build"
JSON_FILES = (
    "package.json", "package.json5", "composer.json", "railway.json", "railpack.json", "nixpacks.json", "app.json",
    "Pipfile.lock", "global.json", "angular.json",
)  # fmt: skip
TOML_FILES = ("lightrail.toml", "railway.toml", "nixpacks.toml", "pyproject.toml", "Cargo.toml", "mise.toml", "Pipfile",
              "uv.lock", "poetry.lock", "pdm.lock", "rust-toolchain.toml")  # fmt: skip
TEXT_FILES = ("go.mod", "go.work", "Gemfile", "mix.exs", "pom.xml", "build.gradle", "CMakeLists.txt", "meson.build",
              "Staticfile", "Procfile", "Dockerfile", "start.sh", "requirements.txt", ".python-version",
              ".tool-versions", "pnpm-lock.yaml", "yarn.lock", "a.csproj", "index.html", "main.py")  # fmt: skip
# Names that mean something somewhere, so that wrong values reach the code that reads them.
NAMES = st.sampled_from(
    ["scripts", "start", "build", "dependencies", "devDependencies", "engines", "node", "packageManager", "main",
     "workspaces", "deploy", "startCommand", "steps", "install", "commands", "packages", "provider", "providers",
     "phases", "cmds", "variables", "env", "value", "project", "tool", "poetry", "uv", "requires-python", "package",
     "name", "version", "groups", "default", "sdk", "projects", "architect", "options", "tools", "python", "versions",
     "environment", "kind", "workspace", "members", "bin", "requires", "require", "php", "build-system", "bun"]
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 99), st.text(max_size=8), st.sampled_from(["3.12", "pnpm@9", "./a"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


def toml(document: dict[str, Any]) -> str:
    """As TOML; what it cannot say is left out."""
    return "".join(f"{json.dumps(name)} = {inline(one)}\n" for name, one in document.items() if one is not None)


def inline(value: Any) -> str:
    if isinstance(value, dict):
        told = (f"{json.dumps(name)} = {inline(one)}" for name, one in value.items() if one is not None)
        return "{" + ", ".join(told) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(one) for one in value if one is not None) + "]"
    return json.dumps(value)


def a_plan_or_a_fault(files: dict[str, str], told: PlanSettings | None = None) -> None:
    try:
        plan = make_plan(tree_of(files), told or PlanSettings())
    except BuildFault:
        return
    assert msgspec.convert(plan.document(), BuildPlan) == plan
    spoken = json.dumps(plan.document(), ensure_ascii=False).encode()
    assert b"\\u0000" not in spoken
    assert json.loads(json.dumps(plan.document())) == plan.document()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(JSON_FILES), DOCUMENTS, min_size=1, max_size=3))
def test_any_json_in_any_file_that_is_json(documents: dict[str, dict[str, Any]]) -> None:
    a_plan_or_a_fault({name: json.dumps(one) for name, one in documents.items()})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(TOML_FILES), DOCUMENTS, min_size=1, max_size=3))
def test_any_toml_in_any_file_that_is_toml(documents: dict[str, dict[str, Any]]) -> None:
    a_plan_or_a_fault({name: toml(one) for name, one in documents.items()} | {"main.py": "", "src/main.rs": ""})


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from((*TEXT_FILES, *JSON_FILES, *TOML_FILES)), st.text(max_size=60), min_size=1))
def test_any_text_in_any_file(files: dict[str, str]) -> None:
    a_plan_or_a_fault(files)


DIGITS, DEEP = "1" * 5000, "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"package.json": f'{{"a": {DIGITS}}}'}, "package.json: a number in it has too many digits"),
        ({"package.json5": f"{{a: {DIGITS}}}"}, "package.json5: a number in it has too many digits"),
        ({"pyproject.toml": f"a = {DIGITS}", "main.py": ""}, "pyproject.toml: a number in it has too many digits"),
        ({"lightrail.toml": f"a = {DEEP}", "main.py": ""}, "lightrail.toml: this TOML is nested too deeply"),
        ({"railway.json": DEEP, "main.py": ""}, "railway.json"),
        ({"Procfile": "web: python main.py \0", "main.py": ""}, "start command holds a character that no command"),
        (
            {"package.json": '{"main": "\\ud800.js"}', "\ud800.js": ""},
            "no command, name or value can hold: “node \ufffd",
        ),
        (
            {"package.json": '{"main": "a.js", "engines": {"node": "2\\u0000"}}', "a.js": ""},
            "“2\ufffd” is no version of node",
        ),
        (
            {"lightrail.toml": '[build]\nprovider = "a\\u0000"\n', "main.py": ""},
            "there is no provider “a\ufffd”",
        ),
        ({"lightrail.toml": '[build.environment]\n"A=B" = "c"\n', "main.py": ""}, "“A=B” is no name for a variable"),
    ],
)
def test_what_nobody_writes_is_a_fault_in_words_that_can_be_kept(files: dict[str, str], said: str) -> None:
    with pytest.raises(BuildFault) as caught:
        make_plan(tree_of(files), PlanSettings())
    assert said in str(caught.value)
    assert b"\0" not in str(caught.value).encode()


def test_a_key_that_cannot_be_shown_is_warned_of_in_words_that_can() -> None:
    plan = make_plan(tree_of({"main.py": "", "railway.json": '{"\\ud800": 1, "b\\u0000": 2}'}), PlanSettings())
    assert ["“\ufffd”" in plan.warnings[0], "“b\ufffd”" in plan.warnings[1]] == [True, True]


def test_every_case_cut_off_in_the_middle_of_each_file() -> None:
    for case in sorted(path for path in CASES.iterdir() if (path / "source").is_dir()):
        source = case / "source"
        files = {path.relative_to(source).as_posix(): path.read_text() for path in source.rglob("*") if path.is_file()}
        for name, text in files.items():
            for cut in (len(text) // 2, max(len(text) - 2, 0)):
                a_plan_or_a_fault({**files, name: text[:cut]})


def test_every_case_with_every_provider_named() -> None:
    for case in sorted(path for path in CASES.iterdir() if (path / "source").is_dir()):
        source = case / "source"
        files = {path.relative_to(source).as_posix(): path.read_text() for path in source.rglob("*") if path.is_file()}
        for provider in ("auto", "dockerfile", "php", "go", "java", "rust", "ruby", "elixir", "python", "deno",
                         "dotnet", "node", "gleam", "cpp", "static", "shell"):  # fmt: skip
            a_plan_or_a_fault(files, PlanSettings(provider=provider))
