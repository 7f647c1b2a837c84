"""What every verb has in common: wrong words as JSON, Ctrl-C before there is anything to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libs.cli.main import main

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["nonsense"], "nonsense"), (["up", "--nonsense"], "--nonsense"), (["logs", "-n", "many"], "many")],
)
def test_wrong_words_are_json_where_json_is_asked_for(
    capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert main([*arguments, "--json"]) == 2
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert error["kind"] == "invalid"
    assert named in error["message"]
    assert said.err == ""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert named in said.out + said.err


def test_a_completion_script_is_there_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["shell"] == "bash"
    assert "rollback" in told["script"]


def test_ctrl_c_while_the_command_line_is_imported_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    script = "import sys; from libs.cli.main import main; sys.exit(main())"
    argv = [sys.executable, "-c", script, "list"]
    done = subprocess.run(argv, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
