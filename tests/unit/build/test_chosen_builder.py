"""Who may choose which builder."""

from __future__ import annotations

from typing import Any

import pytest

from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan, PlanSettings
from libs.plans.tree import tree_of
from libs.testing.clock import VirtualClock
from services.build.adapters.images.chosen import ChosenBuilder
from services.build.app.building import Built
from services.build.app.ports import Job, Output, Variables
from services.build.domain.model import Build, BuildState

JOB = Job(Build("bld_1", "wsp_1", "p", "s", "e", "d", "n", BuildState.RUNNING, VirtualClock().now()), "d", Variables())


class AskedError(Exception):
    """The driver was asked to build."""


class Driver:
    async def build(self, job: Job, plan: BuildPlan, output: Output) -> Built:
        raise AskedError

    async def clean(self, build_id: str) -> None:
        raise AssertionError


class Silent:
    async def say(self, step: str, text: str) -> None:
        pass


def builder(default: str, *allowed: str) -> ChosenBuilder:
    slug: Any = Driver()
    images = {"docker": Driver(), "buildah": Driver()}
    return ChosenBuilder(slug, images, default, frozenset(allowed), runs_images=True)


async def build(by: ChosenBuilder, name: str) -> None:
    plan = make_plan(tree_of({"Dockerfile": "FROM scratch\n"}), PlanSettings(builder=name))
    output: Any = Silent()
    await by.build(JOB, plan, output)


async def test_a_builder_that_the_operator_has_not_allowed_builds_nothing_and_says_what_to_set() -> None:
    with pytest.raises(BuildFault, match="has not allowed builds with “buildah”") as caught:
        await build(builder("slug", "docker"), "buildah")
    assert "LIGHTRAIL_BUILDERS=buildah,docker" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("default", "allowed", "name"),
    [("slug", ("docker",), "docker"), ("slug", ("buildah",), "buildah"), ("buildah", (), "buildah")],
)
async def test_what_is_allowed_or_the_platforms_own_choice_builds(
    default: str, allowed: tuple[str, ...], name: str
) -> None:
    with pytest.raises(AskedError):
        await build(builder(default, *allowed), name)
