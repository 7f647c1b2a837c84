"""The real gateway over HTTP, in front of services that keep everything in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest_asyncio

from libs.bus import MemoryBus
from libs.facts.fact import Fact, to_message
from libs.kernel.ids import new_id
from libs.rpc import Identity
from libs.runtime import Host
from libs.runtime.clock import SystemClock
from services.gateway.http.server import HttpServer
from services.gateway.main import MODULE
from tests.integration.gateway.services import addresses, serve
from tests.integration.gateway.shell import Person
from tests.integration.gateway.world import EDGE_TOKEN, EMAIL, PASSWORD, World


@dataclass
class Gateway:
    """A running gateway, its operator's session, and what stands behind it."""

    url: str
    http: httpx2.AsyncClient
    world: World
    bus: MemoryBus
    session: str
    server: HttpServer

    async def call(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx2.Response:
        bearer = self.session if token is None else token
        headers = {**({"Authorization": f"Bearer {bearer}"} if bearer else {}), **more.pop("headers", {})}
        return await self.http.request(method, f"/api/v1{path}", headers=headers, **more)

    async def json(self, method: str, path: str, **more: Any) -> Any:
        answer = await self.call(method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def service(self, name: str = "hello") -> dict[str, Any]:
        project = await self.json("POST", "/projects", json={"name": name})
        made: dict[str, Any] = await self.json("POST", "/services", json={"project_id": project["id"], "name": name})
        return made

    async def deployment(self) -> dict[str, Any]:
        service = await self.service()
        body = {"service_id": service["id"], "snapshot_id": new_id("snapshot", self.world.clock)}
        made: dict[str, Any] = await self.json("POST", "/deployments", json=body)
        return made

    async def fact(self, subject: str, payload: bytes, *, workspace_id: str, correlation_id: str = "") -> Fact:
        """Puts a fact on the bus, as a relay does."""
        fact = Fact(
            id=new_id("fact", self.world.clock),
            source=subject.split(".")[1],
            sequence=1,
            subject=subject,
            workspace_id=workspace_id,
            correlation_id=correlation_id,
            recorded_at=self.world.now(),
            payload=payload,
        )
        await self.bus.publish(to_message(fact), message_id=fact.id)
        return fact


@pytest_asyncio.fixture
async def gateway(identity: Identity, tmp_path: Path) -> AsyncIterator[Gateway]:
    clock = SystemClock()
    world = World(clock, identity)
    world.claimed = True
    session = world.sign_up(EMAIL, operator=True)
    behind = await serve(world, clock)
    bus = MemoryBus()
    (tmp_path / "edge.token").write_text(EDGE_TOKEN + "\n")
    environ = {
        **addresses(behind.port),
        "LIGHTRAIL_GATEWAY_HTTP_ADDRESS": "127.0.0.1:0",
        "LIGHTRAIL_EDGE_TOKEN_FILE": str(tmp_path / "edge.token"),
    }
    host = Host("gateway", environ, clock, identity, bus)
    async with MODULE.open(host) as opened, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(loop)) for loop in opened.loops]
        server = opened.loops[0].__self__  # type: ignore[attr-defined]  # its bound method: the only way to a port 0
        url = f"http://{server.address}"
        async with httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:
            yield Gateway(url, http, world, bus, session, server)
        for task in tasks:
            task.cancel()
    await host.close()
    await behind.stop(0)


async def _run(loop: Any) -> None:
    await loop()


@pytest_asyncio.fixture
async def person(gateway: Gateway, tmp_path: Path) -> AsyncIterator[Person]:
    directory = tmp_path / "my-site"
    directory.mkdir()
    (directory / "index.html").write_text("hello\n", encoding="utf-8")
    made = Person(gateway, tmp_path, directory)
    await made.ok("login", "--email", EMAIL, "--password-stdin", stdin=f"{PASSWORD}\n")
    yield made
