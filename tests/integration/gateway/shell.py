"""Somebody who types `lr`, against the real API."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import Gateway

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Run:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Person:
    """Somebody at a shell, in a directory of their own."""

    gateway: Gateway
    home: Path
    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTRAIL_")}
        port = self.gateway.url.rpartition(":")[2]
        # A name below .localhost: the C library does not know it, the CLI must.
        own = {"LIGHTRAIL_API": f"http://api.localhost:{port}", "LIGHTRAIL_CONFIG_DIR": str(self.home / "config")}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "libs.cli.main", *arguments,
            cwd=self.directory, env=clean | own | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | self.environ,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def lr(self, *arguments: str, stdin: str = "") -> Run:
        process = await self.start(*arguments)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        run = Run(process.returncode or 0, out.decode(), err.decode())
        assert "Traceback" not in run.out + run.err, run.err
        return run

    async def ok(self, *arguments: str, stdin: str = "") -> Run:
        run = await self.lr(*arguments, stdin=stdin)
        assert run.code == 0, f"lr {' '.join(arguments)}: {run.code}\n{run.out}\n{run.err}"
        return run


async def linked(person: Person) -> dict[str, Any]:
    service = await person.gateway.service("web")
    await person.ok("link", "--project", service["project_id"], "--service", service["id"])
    return service
