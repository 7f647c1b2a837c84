"""What was promised to programs that speak gRPC or read facts stays true: no field changes its number or type.

`tests/contract/released/lightrail.binpb` is the promise: what `buf build` made of the protos of the last release.
A release writes it anew: `.venv/bin/buf build -o tests/contract/released/lightrail.binpb`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASED = Path(__file__).parent / "released" / "lightrail.binpb"
BUF = Path(sys.executable).with_name("buf")


def against_the_release(protos: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, "breaking", protos, "--against", RELEASED], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The protos of today, to be changed."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def test_nothing_that_was_released_is_broken() -> None:
    done = against_the_release(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("string deployment_id = 1;", "string deployment_id = 99;"),
        ("string deployment_id = 1;", "int64 deployment_id = 1;"),
        ("rpc Rollback(", "rpc TurnBack("),
    ],
    ids=["another number", "another type", "a call that is gone"],
)
def test_a_break_is_seen(copied: Path, before: str, after: str) -> None:
    proto = copied / "proto" / "lightrail" / "deploy" / "v1" / "deploy.proto"
    text = proto.read_text(encoding="utf-8")
    assert before in text
    proto.write_text(text.replace(before, after, 1), encoding="utf-8")
    done = against_the_release(copied)
    assert done.returncode != 0
    assert re.search(r"deploy\.proto:\d+:\d+:Previously present|deploy\.proto:\d+:\d+:.*changed type", done.stdout), (
        done.stdout
    )
