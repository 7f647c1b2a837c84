"""The backup that docs/operating.md describes, word for word."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx2

from tests.e2e.platform import EMAIL, PASSWORD, ROOT, Platform

SECONDS = 120


def commands(title: str) -> str:
    """The shell commands that the page gives under this comment."""
    found = re.search(rf"```sh\n# {title}\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL)
    assert found
    return found[1]


def run(script: str, platform: Platform, backup: Path) -> None:
    environ = platform.environ | {"BACKUP": str(backup)}
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=ROOT, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_was_backed_up_while_running_is_restored_elsewhere(platform: Platform, tmp_path: Path) -> None:
    made = httpx2.post(
        f"{platform.url}/api/v1/projects",
        headers={"Authorization": f"Bearer {platform.token}"},
        json={"name": "backed-up"},
        timeout=20,
    ).raise_for_status()
    run(commands("back up"), platform, tmp_path)
    other = Platform(platform.topology)
    try:
        run(commands("restore"), other, tmp_path)
        with httpx2.Client(base_url=f"{other.url}/api/v1", timeout=20) as client:
            login = client.post("/login", json={"email": EMAIL, "password": PASSWORD}).raise_for_status()
            bearer = {"Authorization": f"Bearer {login.json()['session_token']}"}
            found = client.get(f"/projects/{made.json()['id']}", headers=bearer).raise_for_status()
        assert found.json()["name"] == "backed-up"
    finally:
        other.stop()
