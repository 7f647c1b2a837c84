"""The published schemas are those of the types."""

from __future__ import annotations

from pathlib import Path

from libs.plans.schemas import main, schemas

PUBLISHED = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_published_schemas_are_fresh_and_no_other_is_there() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in PUBLISHED.iterdir()}
    assert found == schemas(), "run python -m libs.plans.schemas docs/schemas"


def test_the_command_writes_what_is_published(tmp_path: Path) -> None:
    main(tmp_path / "new")
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new").iterdir()} == schemas()
