from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from libs.sandbox.mounts import mounts_below, unmount_below

TABLE = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda rw
60 22 254:1 /a/b /srv/home/build/buildah/root/overlay rw - ext4 /dev/vda rw
61 60 0:70 / /srv/home/build/buildah/root/overlay/x/merged rw - overlay overlay rw
62 22 0:71 / /srv/home\\040of\\040others rw - tmpfs none rw
63 22 0:72 / /srv/home/with\\040a\\040blank rw - tmpfs none rw
"""


def test_mounts_of_a_folder_are_told_from_its_neighbours_and_the_deepest_comes_first(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE, encoding="ascii")
    store = Path("/srv/home/build/buildah/root/overlay")
    assert mounts_below(Path("/srv/home"), table) == [store / "x/merged", store, Path("/srv/home/with a blank")]


def test_what_is_mounted_below_a_folder_is_undone_so_that_the_folder_can_go(tmp_path: Path) -> None:
    outer, inner = tmp_path / "a b", tmp_path / "a b" / "c"
    for place in (outer, outer, inner):
        place.mkdir(exist_ok=True, parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert unmount_below(tmp_path) == [inner, outer, outer]
    assert unmount_below(tmp_path) == []
    shutil.rmtree(outer)
