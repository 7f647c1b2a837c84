from __future__ import annotations

import errno
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.cli import platform_view
from libs.embedded import files

# What file systems count in: a front of whole blocks can be cut off.
BLOCK = 4096
LINES = 300_000
# Prints as fast as a program can that does not keep its lines to itself.
WRITER = """
import os, sys
for number in range(int(sys.argv[1])):
    os.write(1, b"line %d\\n" % number)
"""


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
    log.write_text("x" * 2 * BLOCK)
    assert not files.rotate(log, most=2 * BLOCK, keep=2)
    for number in range(4):
        log.write_text(f"{number}" * 3 * BLOCK)
        assert files.rotate(log, most=2 * BLOCK, keep=2)
    # Whole blocks are moved, and the last byte stays.
    assert log.read_text() == "3" * BLOCK
    assert (tmp_path / "part.log.1").read_text() == "3" * 2 * BLOCK
    assert (tmp_path / "part.log.2").read_text() == "2" * 2 * BLOCK
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["part.log", "part.log.1", "part.log.2"]


@pytest.fixture(params=["disk", "memory"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk, whose files lose their front, and one in memory, whose files keep a hole there."""
    if request.param == "disk":
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


def test_no_line_is_lost_or_told_twice_while_a_log_is_rotated(room: Path, tmp_path: Path) -> None:
    log = room / "part.log"
    with log.open("ab") as output:
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(LINES)], stdout=output)
    kept, rotations = bytearray(), 0
    while True:
        has_ended = writer.poll() is not None
        while files.rotate(log, most=64 * BLOCK, keep=1):
            rotations += 1
            kept += (room / "part.log.1").read_bytes()
        if has_ended:
            break
    kept += log.read_bytes().lstrip(b"\0")
    assert writer.returncode == 0
    assert rotations > 1
    assert kept.decode().splitlines() == [f"line {number}" for number in range(LINES)]
    if room != tmp_path:
        assert log.stat().st_blocks * 512 <= 66 * BLOCK, "what was rotated takes no room any more"


def test_the_last_lines_of_a_rotated_log_are_lines(room: Path) -> None:
    log = room / "part.log"
    log.write_text("x" * 3 * BLOCK + "\nlast line\n")
    assert files.rotate(log, most=BLOCK)
    assert files.tail(log, lines=2) == "\nlast line"


def test_a_file_system_that_can_do_neither_still_keeps_logs_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_fallocate", lambda *_: errno.EOPNOTSUPP)
    log = tmp_path / "part.log"
    log.write_text("x" * 3 * BLOCK)
    assert files.rotate(log, most=BLOCK)
    assert log.read_text() == ""
    assert (tmp_path / "part.log.1").read_text() == "x" * 2 * BLOCK


def test_a_rotation_that_finds_the_disk_full_costs_no_older_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, older = tmp_path / "part.log", tmp_path / "part.log.1"
    log.write_text("x" * 3 * BLOCK)
    older.write_text("older")
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BLOCK, most[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.rotate(log, most=BLOCK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
        signal.signal(signal.SIGXFSZ, ignored)
    assert older.read_text() == "older"
    assert log.read_text() == "x" * 3 * BLOCK
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["part.log", "part.log.1"]


def test_who_follows_a_log_misses_nothing_when_it_is_rotated(room: Path) -> None:
    log = room / "part.log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    followed = platform_view.lines_of(log, 1, follow=True)
    assert next(followed) == "line 999"
    with log.open("ab", buffering=0) as output:
        output.write("".join(f"line {number}\n" for number in range(1000, 2000)).encode())
        assert files.rotate(log, most=BLOCK)
        output.write(b"line 2000\n")
    assert [next(followed) for _ in range(1001)] == [f"line {number}" for number in range(1000, 2001)]
