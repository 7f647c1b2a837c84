"""Every plan that is agreed upon gives the Dockerfiles beside it, one on each stack, or the sentence that says why not.

`python -m pytest tests/golden --golden-update` writes what is made today and prunes what no plan asks for.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.images.dockerfile import Told, dockerfile
from libs.plans.images.stacks import STACKS, base_of
from libs.plans.plan import BuildPlan, PlanSettings
from tests.golden.test_build_plans import CASES as PLANS
from tests.golden.test_build_plans import cases, tree

CASES = Path(__file__).parent / "cases" / "dockerfile"
HOST = ("/etc/ssl/certs/ca-certificates.crt", "/opt/lightrail/host/npmrc")


def plan_of(name: str, source: Path) -> BuildPlan | None:
    """The plan of a case; None when its source is at fault."""
    settings = PLANS / name / "settings.json"
    given: dict[str, Any] = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
    try:
        return make_plan(tree(source), PlanSettings(**given), builder="docker")
    except BuildFault:
        return None


def planned() -> dict[str, BuildPlan]:
    """Plans that become Dockerfiles."""
    found = {name: plan_of(name, source) for name, source in cases().items()}
    return {name: plan for name, plan in found.items() if plan is not None and plan.provider != "dockerfile"}


def texts(plan: BuildPlan) -> str:
    """The plan on all stacks."""
    told = Told("wsp_1", {"dev.lightrail.workspace": "wsp_1"}, HOST)
    parts = []
    for stack in STACKS:
        try:
            text = dockerfile(plan, base_of(stack, plan), told).text
        except BuildFault as fault:
            text = f"{fault}\n"
        parts.append(f"### {stack}\n{text}")
    return "\n".join(parts)


PLANNED = planned()


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_gives_the_dockerfiles_beside_it(name: str, request: pytest.FixtureRequest) -> None:
    golden, answer = CASES / f"{name}.txt", texts(PLANNED[name])
    if request.config.getoption("--golden-update", default=False):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(answer, encoding="utf-8")
    assert golden.exists(), f"{name}: {golden.name} is missing; run with --golden-update and read what it says"
    assert golden.read_text(encoding="utf-8") == answer


def test_no_dockerfile_is_left_without_a_plan(request: pytest.FixtureRequest) -> None:
    orphans = [path for path in CASES.iterdir() if path.stem not in PLANNED]
    if request.config.getoption("--golden-update", default=False):
        for orphan in orphans:
            orphan.unlink()
        orphans = []
    assert orphans == []


def test_what_an_image_starts_listens_on_every_address_and_what_people_wrote_stays() -> None:
    for name, plan in PLANNED.items():
        slug = make_plan(tree(cases()[name]), settings_of(name))
        everywhere = slug.start_command.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - inside a container
        assert plan.start_command in {slug.start_command, everywhere}, name
        if slug.start_from.startswith(("Procfile", "the setting", "lightrail.toml")):
            assert plan.start_command == slug.start_command, name
    assert "--host 0.0.0.0" in PLANNED["example-guestbook-python"].start_command


def settings_of(name: str) -> PlanSettings:
    settings = PLANS / name / "settings.json"
    return PlanSettings(**json.loads(settings.read_text(encoding="utf-8"))) if settings.exists() else PlanSettings()


def test_variables_are_read_from_a_secret_mount_and_nothing_of_them_is_arg_or_env() -> None:
    plan = PLANNED["node-build-script"]
    text = dockerfile(plan, base_of("debian", plan)).text
    _, build, final = text.split("\nFROM ")
    assert build.count("--mount=type=secret,id=lightrail-variables") == build.count("RUN ") >= 2
    # Their hashes are arguments of the stage that is thrown away.
    assert "ARG" in build
    assert "ARG" not in final
    assert "secret" not in final


def test_a_line_break_in_a_command_does_not_end_the_instruction() -> None:
    plan = PLANNED["node-build-script"]
    step = replace(plan.steps[-1], commands=(("sh", "-c", "echo one\necho two"),))
    made = dockerfile(replace(plan, steps=(*plan.steps[:-1], step)), base_of("debian", plan))
    assert "\necho two" not in made.text
    assert made.commands[-1].shown == "echo one\necho two"
    assert any(line.strip().endswith(made.commands[-1].text) for line in made.text.splitlines())
