from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from libs.embedded.ports import free_port
from libs.kernel.context import Actor, Role, platform
from libs.kernel.errors import Conflict, Denied, Invalid, NotFound
from libs.kernel.secret import Secret
from libs.protogen.lightrail.metering.v1 import metering_pb2, metering_pb2_grpc
from libs.rpc import Identity, Peer, current
from libs.runtime.clock import SystemClock
from libs.runtime.host import Host
from libs.runtime.module import Module, in_order
from libs.runtime.opened import Opened
from libs.runtime.process import Process
from libs.telemetry.traces import start_tracing
from libs.testing.eventually import eventually


class Servicer(metering_pb2_grpc.MeteringServiceServicer):
    """Answers or fails as it is told, and remembers its callers."""

    def __init__(self) -> None:
        self.callers: list[Actor] = []
        self.failure: Exception | None = None

    async def QueryUsage(
        self, request: metering_pb2.QueryUsageRequest, context: Any
    ) -> metering_pb2.QueryUsageResponse:
        self.callers.append(current().actor)
        if self.failure:
            raise self.failure
        return metering_pb2.QueryUsageResponse(total_micro_usd=7)


class World:
    def __init__(self, environ: dict[str, str], identity: Identity) -> None:
        self.environ = environ
        self.servicer = Servicer()
        self.order: list[str] = []
        self.identity = identity
        self.peer = Peer(environ["LIGHTRAIL_METERING_ADDRESS"], identity, SystemClock())
        self.stub = metering_pb2_grpc.MeteringServiceStub(self.peer.channel)

    def module(self, name: str, *needs: str) -> Module:
        @asynccontextmanager
        async def opened(host: Host) -> AsyncIterator[Opened]:
            self.order.append(f"open {name}")
            add = metering_pb2_grpc.add_MeteringServiceServicer_to_server
            yield Opened(servicers=[(add, self.servicer)] if name == "metering" else [])
            self.order.append(f"close {name}")

        return Module(name, opened, needs)

    async def ask(self, actor: Actor | None = None) -> int:
        ctx = platform("test")
        if actor is not None:
            ctx = type(ctx)(actor)
        return int((await self.peer.call(self.stub.QueryUsage, metering_pb2.QueryUsageRequest(), ctx)).total_micro_usd)

    async def get(self, path: str, actor: Actor | None = None) -> httpx2.Response:
        shown = {}
        if actor is not None:
            signed = self.identity.sign(actor, lifetime=60, now=SystemClock().now())
            shown = {"Authorization": f"Bearer {signed.reveal()}"}
        async with httpx2.AsyncClient() as client:
            return await client.get(f"http://{self.environ['LIGHTRAIL_METRICS_ADDRESS']}{path}", headers=shown)


Run = Callable[..., Awaitable[tuple[World, Process]]]


@pytest.fixture
async def run(nats_url: Secret[str], tmp_path: Path) -> AsyncIterator[Run]:
    identity = Identity.generate(tmp_path / "identity.pem")
    processes: list[Process] = []
    async with asyncio.TaskGroup() as group:

        async def start(*names: str) -> tuple[World, Process]:
            services = ("auth", "project", "metering")
            environ = {f"LIGHTRAIL_{name.upper()}_ADDRESS": f"127.0.0.1:{free_port()}" for name in services}
            environ |= {
                "LIGHTRAIL_NATS_URL": nats_url.reveal(),
                "LIGHTRAIL_IDENTITY_KEY_FILE": str(tmp_path / "identity.pem"),
                "LIGHTRAIL_METRICS_ADDRESS": f"127.0.0.1:{free_port()}",
            }
            world = World(environ, identity)
            process = Process([world.module(*name.split("<")) for name in names], environ, SystemClock())
            processes.append(process)
            group.create_task(process.run())
            return world, process

        yield start
        for process in processes:
            process.stopping.set()


async def test_modules_open_after_what_they_need_and_close_before_it(run: Run) -> None:
    world, process = await run("metering<project", "project<auth", "auth")
    await eventually(lambda: len(world.order) == 3)
    process.stopping.set()
    await eventually(lambda: len(world.order) == 6)
    assert world.order == [
        *("open auth", "open project", "open metering"),
        *("close metering", "close project", "close auth"),
    ]


def test_circle_of_needs_is_named() -> None:
    async def never(_host: Host) -> None: ...

    a, b = Module("a", never, ("b",)), Module("b", never, ("a",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a → b → a"):
        in_order({"a": a, "b": b})


async def test_call_carries_its_caller_and_comes_back(run: Run) -> None:
    world, _ = await run("metering")
    actor = Actor("user", "usr_a", {"wsp_a": Role.VIEWER}, project_id="prj_a")
    assert await world.ask(actor) == 7
    assert world.servicer.callers == [actor]


@pytest.mark.parametrize("failure", [NotFound("gone"), Conflict("no", hint="wait"), Invalid("bad", field="name")])
async def test_failure_crosses_the_wire_whole(run: Run, failure: Invalid) -> None:
    world, _ = await run("metering")
    world.servicer.failure = failure
    with pytest.raises(type(failure)) as caught:
        await world.ask()
    assert (caught.value.message, caught.value.field, caught.value.hint) == (
        failure.message,
        failure.field,
        failure.hint,
    )


async def test_very_long_message_is_cut_and_still_arrives(run: Run) -> None:
    world, _ = await run("metering")
    world.servicer.failure = Invalid("ä" * 50_000)
    with pytest.raises(Invalid, match=r"ä…$"):
        await world.ask()


async def test_stranger_without_a_role_is_stopped_at_the_door(run: Run) -> None:
    world, _ = await run("metering")
    with pytest.raises(Denied):
        await world.ask(Actor("user", "usr_a"))
    with pytest.raises(Denied) as caught:
        await world.ask(Actor("anonymous"))
    assert caught.value.unauthenticated
    assert world.servicer.callers == []


async def test_forged_identity_is_refused(run: Run, tmp_path: Path) -> None:
    world, _ = await run("metering")
    forged = Identity.generate(tmp_path / "other.pem").sign(
        Actor("service", "deploy"), lifetime=60, now=SystemClock().now()
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.stub.QueryUsage(
            metering_pb2.QueryUsageRequest(),
            metadata=(("authorization", f"Bearer {forged.reveal()}"),),
            wait_for_ready=True,
        )
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_and_reflection_answer_anybody(run: Run) -> None:
    world, _ = await run("metering")
    await eventually(lambda: len(world.order) == 1)
    health = health_pb2_grpc.HealthStub(world.peer.channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(world.peer.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    names = [s.name async for r in stub.ServerReflectionInfo(iter([asked])) for s in r.list_services_response.service]
    assert "lightrail.metering.v1.MeteringService" in names


async def test_process_tells_how_it_is(run: Run) -> None:
    start_tracing("test")
    world, process = await run("metering")

    async def ready() -> bool:
        try:
            return (await world.get("/ready")).status_code == 200
        except httpx2.HTTPError:
            return False

    await eventually(ready)
    await world.ask()
    assert "lightrail_rpc_seconds" in (await world.get("/metrics")).text
    for stranger in (None, Actor("user", "usr_a", operator=True)):
        refused = await world.get("/traces", stranger)
        assert (refused.status_code, "QueryUsage" in refused.text) == (401, False)
    traces = (await world.get("/traces", Actor("service", "test"))).json()
    assert any("QueryUsage" in str(row["name"]) for row in traces)
    assert (await world.get("/nothing")).status_code == 404
    process.stopping.set()


async def test_loop_that_returns_ends_the_process_with_its_fault(nats_url: Secret[str], tmp_path: Path) -> None:
    Identity.generate(tmp_path / "identity.pem")

    @asynccontextmanager
    async def opened(_host: Host) -> AsyncIterator[Opened]:
        async def short() -> None:
            return

        yield Opened(loops=[short])

    environ = {
        "LIGHTRAIL_NATS_URL": nats_url.reveal(),
        "LIGHTRAIL_IDENTITY_KEY_FILE": str(tmp_path / "identity.pem"),
        "LIGHTRAIL_AUTH_ADDRESS": "127.0.0.1:0",
    }
    with pytest.raises(BaseExceptionGroup) as caught:
        await Process([Module("auth", opened)], environ, SystemClock()).run()
    assert caught.group_contains(RuntimeError, match="returned")
