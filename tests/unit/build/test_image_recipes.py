from __future__ import annotations

from pathlib import Path

import pytest

from libs.plans.detect import make_plan
from libs.plans.plan import PlanSettings
from libs.plans.tree import tree_of
from libs.testing.clock import VirtualClock
from services.build.adapters.images.recipes import Kitchen
from services.build.adapters.registries import Registries
from services.build.adapters.workdir import WorkDirs
from services.build.app.ports import Job, Variables
from services.build.domain.model import Build, BuildState

BUILD = Build("bld_1", "wsp_1", "p", "s", "e", "d", "n", BuildState.RUNNING, VirtualClock().now())


@pytest.mark.parametrize(("value", "words"), [("1", ("--no-cache",)), ("", ()), ("0", ())])
def test_no_cache_takes_over_no_layer_of_an_earlier_image_and_says_so(
    tmp_path: Path, value: str, words: tuple[str, ...]
) -> None:
    work = WorkDirs(tmp_path / "work")
    source = work.fresh("bld_1") / "source"
    source.mkdir()
    files = {"Dockerfile": "FROM scratch\nCOPY . /\n"}
    (source / "Dockerfile").write_text(files["Dockerfile"])
    kitchen = Kitchen(work, tmp_path / "key", Registries(), "debian", "tests")
    job = Job(BUILD, "sha256:1", Variables({"NO_CACHE": value}))
    recipe = kitchen.prepare(job, make_plan(tree_of(files), PlanSettings()))
    assert recipe.caching == words
    assert any("NO_CACHE" in note for note in recipe.notes) is bool(words)
