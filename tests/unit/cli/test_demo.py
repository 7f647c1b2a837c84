from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from libs.cli import demo
from libs.embedded import files
from libs.embedded.home import Home


def test_neither_the_set_up_token_nor_the_password_is_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    home.prepare()
    files.write_private(home.setup_token, "one-time-secret\n")
    ran: list[tuple[list[str], dict[str, Any]]] = []

    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        ran.append((argv, options))
        return subprocess.CompletedProcess(argv, 1 if "whoami" in argv else 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    password = demo._account(home)
    assert password
    (_, _), (argv, options) = ran
    assert options["input"] == password
    assert options["env"]["LIGHTRAIL_SETUP_TOKEN"] == "one-time-secret"
    assert not {"one-time-secret", password} & {*argv}
