"""What is generated is fresh, and what is promised by machines holds."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch.tree import LIBS, ROOT

TOOLS = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}"}


def listing(folder: Path) -> set[str]:
    """Names every generated file below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*.py*") if "__pycache__" not in path.parts}


def test_protogen_is_what_the_protos_say(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from libs.protogen.__main__ import generate; generate(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, env=ENVIRONMENT, check=True)
    here = LIBS / "protogen"
    for package in sorted(path.name for path in tmp_path.iterdir()):
        fresh, kept = tmp_path / package, here / package
        assert listing(kept) == listing(fresh), "run `make proto`"
        _, different, unreadable = filecmp.cmpfiles(fresh, kept, listing(fresh), shallow=False)
        assert (different, unreadable) == ([], []), "run `make proto`"


def test_the_protos_pass_their_linter() -> None:
    done = subprocess.run([TOOLS / "buf", "lint"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(60)
def test_the_import_contracts_hold(tmp_path: Path) -> None:
    done = subprocess.run(
        [TOOLS / "lint-imports", "--no-logo", "--cache-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
