"""What is read from a source that others wrote: texts of any editor, and links that lead anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.plans.caches import kept_by
from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.plan import PlanSettings
from services.build.adapters.workdir import read_tree


@pytest.mark.parametrize("target", ["package.json", "other", "/etc/passwd", "nowhere"])
def test_a_link_that_is_no_file_of_the_source_is_its_owners_fault(tmp_path: Path, target: str) -> None:
    (tmp_path / "package.json").symlink_to(target)
    (tmp_path / "other").symlink_to("package.json")
    with pytest.raises(BuildFault, match=r"package\.json is no file of the source"):
        make_plan(read_tree(tmp_path), PlanSettings())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_text_is_read_as_its_editor_wrote_it(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "package.json").write_bytes((mark + '{"scripts": {"start": "node é.js"}}').encode(encoding))
    assert make_plan(read_tree(tmp_path), PlanSettings()).start_command == "node é.js"


def test_npm_is_told_nothing_that_only_pnpm_understands() -> None:
    settings = {"npm_config_store_dir", "npm_config_package_import_method"}
    assert settings.isdisjoint(kept_by({"npm", "yarn"}))
    assert settings <= kept_by({"npm", "pnpm"}).keys()
