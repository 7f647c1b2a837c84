from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from libs.embedded.home import Home
from libs.kernel.errors import Conflict, Exhausted, Invalid


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_others_walk_through_the_home_but_see_nothing_of_keys_logs_and_state(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    home.prepare()
    home.prepare()
    assert mode(home.path) == 0o711
    assert {mode(room) for room in (home.keys, home.logs, home.state)} == {0o700}


def test_a_home_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(Invalid, match=r"cannot write to its directory .*home.* Set LIGHTRAIL_HOME"):
        Home(tmp_path / "home").prepare()


def test_a_full_disk_is_told_with_what_is_free_and_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(100, 99, 1024 * 1024))
    with pytest.raises(Exhausted, match=r"Only 1\.0 MiB are free .* needs 128\.0 MiB"):
        Home(tmp_path).prepare()


def test_a_disk_that_refuses_the_first_byte_is_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Exhausted, match="is full"):
        Home(tmp_path).prepare()


def test_one_home_has_one_supervisor(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    held = home.lock()
    with pytest.raises(Conflict, match="already running"):
        home.lock()
    os.close(held)
    os.close(home.lock())
