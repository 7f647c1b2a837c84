"""A real platform, started and driven as a person does it: through the CLI, and over HTTP through its edge."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx2

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
EMAIL, PASSWORD = "owner@example.test", "correct horse battery staple"
START_SECONDS = 90
# What came out of json.loads, or goes through to a function of httpx2.
Json: TypeAlias = Any
LR = (sys.executable, "-m", "libs.cli.main")


@dataclass(frozen=True)
class Run:
    """What a command did: its exit code and everything it wrote."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams, for searching."""
        return self.out + self.err

    def json(self) -> Json:
        """The one JSON value it wrote."""
        return json.loads(self.out)

    def lines(self) -> list[Json]:
        """The JSON values it wrote, one a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]


@dataclass
class Platform:
    """One platform with a home, a port and a CLI login of its own."""

    topology: str
    folder: Path = field(init=False)
    port: int = field(init=False)
    token: str = ""
    # An API token that expires a minute after the platform was claimed: the shortest life there is.
    brief_token: str = ""
    # Variables that set it apart.
    settings: Mapping[str, str] = field(default_factory=dict)
    # What goes before each command, to run it as somebody else.
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Short, for socket paths; open to walk through, for the unprivileged accounts that run parts of it.
        self.folder = Path(tempfile.mkdtemp(prefix="lr-", dir="/tmp"))
        self.folder.chmod(0o711)
        self.port = free_port()

    @property
    def home(self) -> Path:
        """Where its data lies."""
        return self.folder / "home"

    @property
    def url(self) -> str:
        """Where its edge listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which `lr` belongs to this platform and to no other."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTRAIL_")}
        return own | {
            "LIGHTRAIL_HOME": str(self.home),
            "LIGHTRAIL_PORT": str(self.port),
            "LIGHTRAIL_CONFIG_DIR": str(self.folder / "config"),
            "PYTHONPATH": str(ROOT),
            # The repositories of tests are on this machine.
            "LIGHTRAIL_OUTBOUND_ALLOW": "127.0.0.0/8",
            "LIGHTRAIL_GIT_PROTOCOLS": "https, ssh, http",
            "LIGHTRAIL_BUILDERS": "buildah",
            "NO_COLOR": "1",
            "COLUMNS": "200",
            **self.settings,
        }

    def start(self) -> None:
        """Starts it and returns when it is ready; the first time claims it as its operator."""
        self.lr_now("platform", "up", "--detach", "--topology", self.topology, timeout=START_SECONDS)
        if not self.token:
            self.claim()

    def claim(self) -> None:
        """Makes the first account with the one-time set-up token and logs the CLI in."""
        secret = next(self.home.glob("**/*setup*token*")).read_text(encoding="utf-8").strip()
        answer = httpx2.post(
            f"{self.url}/api/v1/setup",
            json={"setup_token": secret, "email": EMAIL, "password": PASSWORD, "name": "Owner"},
            timeout=20,
        )
        assert answer.status_code in {200, 201}, answer.text
        self.token = answer.json()["session_token"]
        brief = httpx2.post(
            f"{self.url}/api/v1/tokens",
            headers={"Authorization": f"Bearer {self.token}"},
            json={"name": "brief", "lifetime_seconds": 60},
            timeout=20,
        )
        self.brief_token = brief.raise_for_status().json()["secret"]
        self.lr_now("login", "--email", EMAIL, "--password-stdin", stdin=PASSWORD)

    def stop(self) -> None:
        """Stops every part and every application, and deletes the data."""
        try:
            self.lr_now("platform", "reset", "--yes", timeout=60)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        name = hashlib.sha256(str(self.home).encode()).hexdigest()[:16]
        left = list(Path("/sys/fs/cgroup").glob(f"*/lightrail/{name}/*/"))
        assert left == [], "control groups of applications are left"

    def lr_now(self, *arguments: str, stdin: str = "", timeout: float = 60) -> Run:
        """Runs `lr` to its end, outside of any event loop; fails when it fails."""
        done = subprocess.run(
            [*self.before, *LR, *arguments],
            cwd=self.folder, env=self.environ,
            input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"lr {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Run(done.returncode, done.stdout, done.stderr)

    async def lr(
        self,
        *arguments: str,
        cwd: Path | None = None,
        check: bool = True,
        stdin: str = "",
        within: float = 120,
        environ: Mapping[str, str] | None = None,
    ) -> Run:
        """Runs `lr` to its end; fails when it fails, unless `check` is false."""
        process = await asyncio.create_subprocess_exec(
            *self.before, *LR, *arguments,
            cwd=cwd or self.folder, env={**self.environ, **(environ or {})},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(within):
                out, err = await process.communicate(stdin.encode())
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
            message = (
                f"lr {' '.join(arguments)} did not end in {within} s\n{out.decode()[-3000:]}\n{err.decode()[-3000:]}"
            )
            raise AssertionError(message) from None
        run = Run(process.returncode or 0, out.decode(), err.decode())
        assert run.code == 0 or not check, f"lr {' '.join(arguments)}: exit {run.code}\n{run.text}"
        return run

    async def request(self, method: str, path: str, *, token: str | None = None, **more: Json) -> httpx2.Response:
        """Asks the REST API, as the operator unless another token is given ("" for none)."""
        headers = dict(more.pop("headers", {}))
        bearer = self.token if token is None else token
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        async with httpx2.AsyncClient(timeout=more.pop("timeout", 30)) as client:
            try:
                return await client.request(method, f"{self.url}{path}", headers=headers, **more)
            except httpx2.TransportError as error:
                # A claim that is not true yet, when the edge has just been killed.
                raise AssertionError(f"{method} {path}: {error!r}") from error

    async def api(self, method: str, path: str, *, token: str | None = None, **more: Json) -> Json:
        """Gives the JSON of an answer that must be a success."""
        answer = await self.request(method, f"/api/v1{path}", token=token, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def visit(self, host: str, path: str = "/", **more: Json) -> httpx2.Response:
        """Visits an application through the edge, by its host name."""
        headers = {"Host": host, **more.pop("headers", {})}
        async with httpx2.AsyncClient(timeout=more.pop("patience", 30)) as client:
            try:
                return await client.request(more.pop("method", "GET"), f"{self.url}{path}", headers=headers, **more)
            except httpx2.TransportError as error:
                # The same.
                raise AssertionError(f"{host}{path}: {error!r}") from error

    async def parts(self) -> dict[str, dict[str, Json]]:
        """Every part by its name, as `lr platform status` lists them, well or not."""
        status = (await self.lr("platform", "status", "--json", check=False)).json()
        return {part["name"]: part for part in status["parts"]}

    async def user(self, email: str) -> str:
        """Adds an account with a workspace of its own and gives its session token."""
        await self.api("POST", "/users", json={"email": email, "password": PASSWORD, "name": email})
        answer = await self.api("POST", "/login", token="", json={"email": email, "password": PASSWORD})
        return str(answer["session_token"])


def free_port() -> int:
    """Finds a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
