"""Whatever people upload: a plan, or their fault in words; never anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
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
