"""One application in a test: a copy of an example, linked to a service of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from libs.testing.eventually import eventually
from tests.e2e import processes
from tests.e2e.platform import EXAMPLES, Json, Platform, Run

FINAL = {"active", "failed", "crashed", "skipped", "removed"}


@dataclass
class Application:
    """A directory of source code and the service it is deployed to."""

    platform: Platform
    name: str
    directory: Path
    project: dict[str, Json] = field(default_factory=dict)
    service: dict[str, Json] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The service's id."""
        return str(self.service["id"])

    @property
    def environment_id(self) -> str:
        """The id of the environment it is deployed to."""
        return str(self.service["environment_id"])

    @property
    def host(self) -> str:
        """The host name it is served under."""
        return str(self.service["public_domain"])

    async def create(self) -> None:
        """Makes a project and a service of this name and links the directory to them."""
        self.project = await self.platform.api("POST", "/projects", json={"name": self.name})
        await self.add_to(self.project)

    async def add_to(self, project: dict[str, Json]) -> None:
        """Makes the service in a project that exists and links the directory to it."""
        self.project = project
        made = await self.platform.api("POST", "/services", json={"project_id": project["id"], "name": self.name})
        self.service = await self.platform.api("GET", f"/services/{made['id']}")
        await self.lr("link", "--project", project["id"], "--service", self.id)

    async def lr(self, *arguments: str, check: bool = True, **more: Json) -> Run:
        """Runs `lr` in the application's directory."""
        return await self.platform.lr(*arguments, cwd=self.directory, check=check, **more)

    async def up(self, *, check: bool = True, within: float = 120) -> Run:
        """Deploys the directory and waits for the end, as a person does."""
        return await self.lr("up", check=check, within=within)

    async def settings(self, **fields: Json) -> None:
        """Changes the service's settings."""
        await self.platform.api("PATCH", f"/services/{self.id}", json={"settings": fields})

    def edit(self, file: str, old: str, new: str) -> None:
        """Changes a file of the source."""
        path = self.directory / file
        before = path.read_text(encoding="utf-8")
        assert old in before, f"{file} does not hold {old!r}"
        path.write_text(before.replace(old, new), encoding="utf-8")

    def write(self, file: str, content: str) -> None:
        """Writes a file of the source."""
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    async def get(self, path: str = "/", **more: Json) -> httpx2.Response:
        """Visits the application through the edge."""
        return await self.platform.visit(self.host, path, **more)

    async def text(self, path: str = "/") -> str:
        """Gives what a visitor reads; fails unless it is a success."""
        answer = await self.get(path)
        assert answer.is_success, f"{self.host}{path}: {answer.status_code} {answer.text}"
        return answer.text

    async def deployments(self) -> list[dict[str, Json]]:
        """Lists its deployments, newest first."""
        page = await self.platform.api("GET", "/deployments", params={"service_id": self.id})
        return list(page["items"])

    async def deployment(self, deployment_id: str) -> dict[str, Json]:
        """Gives one deployment."""
        return dict(await self.platform.api("GET", f"/deployments/{deployment_id}"))

    async def becomes(
        self, states: str | Sequence[str], deployment_id: str = "", within: float = 90
    ) -> dict[str, Json]:
        """Waits until a deployment (the newest unless given) is in one of these states, and gives it."""
        wanted = {states} if isinstance(states, str) else set(states)

        async def there() -> dict[str, Json]:
            now = await self.deployment(deployment_id) if deployment_id else (await self.deployments())[0]
            assert now["state"] in wanted, f"{now['id']} is {now['state']} ({now['reason']}), not {wanted}"
            return now

        return await eventually(there, within=within, every=0.1)

    async def logs(self, *arguments: str) -> list[str]:
        """Gives the lines the application printed, in order."""
        run = await self.lr("logs", "--json", *arguments)
        return [line["text"] for line in run.lines() if line.get("stream", "output") == "output"]

    def is_at(self, place: str) -> bool:
        """Whether "address:port …" is a place where it was told to listen."""
        ports = {processes.environment(pid).get("PORT") for pid, _ in self.processes()}
        return place.split(" ", maxsplit=1)[0].rpartition(":")[2] in ports

    def processes(self, deployment_id: str = "") -> set[tuple[int, int]]:
        """Gives (pid, start time) of what runs for it."""
        return processes.of_application(self.id, deployment_id)


def copy_of(example: str, folder: Path) -> Path:
    """Copies an example's files and gives the copy."""
    return Path(
        shutil.copytree(
            EXAMPLES / example, folder / example, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
        )
    )
