from __future__ import annotations

import stat
from pathlib import Path

from libs.embedded import files


def test_a_private_file_is_readable_by_its_owner_only_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.write_private(path, "first")
    files.write_private(path, "second")
    assert path.read_text() == "second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_tail_gives_the_last_lines_and_nothing_for_a_log_that_is_not_there(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    assert files.tail(log) == ""
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert files.tail(log, lines=2) == "line 98\nline 99"


def test_a_log_is_rotated_only_when_it_is_too_long_and_only_so_many_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_text("x" * 10)
    assert not files.rotate(log, most=10, keep=2)
    for number in range(4):
        log.write_text(f"{number}" * 11)
        assert files.rotate(log, most=10, keep=2)
    assert log.read_text() == ""
    assert (tmp_path / "part.log.1").read_text() == "3" * 11
    assert (tmp_path / "part.log.2").read_text() == "2" * 11
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["part.log", "part.log.1", "part.log.2"]


def test_a_writer_that_appends_goes_on_in_the_emptied_log(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old " * 100)
        assert files.rotate(log, most=10)
        writer.write(b"new")
    assert log.read_bytes() == b"new"
