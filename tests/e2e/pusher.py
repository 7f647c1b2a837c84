"""A person with a repository of their own, and a service of the platform as its remote."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from tests.e2e.application import Application
from tests.integration.build.githost import ENVIRONMENT, Repository, git


class Pusher:
    """Runs git for them."""

    def __init__(self, app: Application, folder: Path, password: str = "") -> None:
        self.app = app
        self.repository = Repository(folder)
        address = f"127.0.0.1:{app.platform.port}/git/{app.project['name']}/{app.service['name']}.git"
        name = f"any:{password or app.platform.token}".encode()
        self.authorization = {"Authorization": f"Basic {base64.b64encode(name).decode()}"}
        self.url = f"http://any:{password or app.platform.token}@{address}"
        git(folder, "remote", "add", "lightrail", self.url)

    async def git(self, *arguments: str) -> tuple[int, str]:
        """Runs git to its end; its exit code and all it said."""
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=self.repository.folder, env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()
