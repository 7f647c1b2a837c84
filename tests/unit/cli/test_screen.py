from __future__ import annotations

import pytest

from libs.cli import screen


def test_a_table_that_is_read_by_a_program_has_a_line_a_row_and_nothing_behind_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen.table(["NAME", "WHY"], [("kept", ""), ("a", "because " * 40)])
    written = capsys.readouterr().out
    assert written == f"NAME  WHY\nkept\na     {'because ' * 40}".rstrip() + "\n"
