"""Calls over real gRPC: deadlines pass on and shrink, what hangs is cut off, streams are measured and traced."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from libs.kernel.clock import Clock
from libs.kernel.context import Actor, Ctx, platform
from libs.kernel.errors import NotFound, Unavailable
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.rpc import Identity, Peer, Server, current
from libs.telemetry import span
from libs.telemetry.traces import RING, start_tracing
from libs.testing.eventually import eventually

NEXT = build_pb2.StreamBuildLogResponse
LOG = "/lightrail.build.v1.BuildService/StreamBuildLog"
GET = "/lightrail.build.v1.BuildService/GetBuild"


class Servicer(build_pb2_grpc.BuildServiceServicer):
    """Does what the build it is asked for is called."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.next: Peer | None = None
        self.seen: list[Ctx] = []
        self.left: list[float] = []
        self.cancelled = 0

    def _note(self) -> None:
        ctx = current()
        self.seen.append(ctx)
        if ctx.deadline is not None:
            self.left.append(ctx.deadline - self._clock.monotonic())

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def GetBuild(self, request: build_pb2.GetBuildRequest, context: Any) -> build_pb2.GetBuildResponse:
        self._note()
        match request.build_id:
            case "hangs":
                await self._hang()
            case "asks on":
                assert self.next
                await self._clock.sleep(0.3)
                stub = build_pb2_grpc.BuildServiceStub(self.next.channel)
                asked = build_pb2.GetBuildRequest(build_id=request.deployment_id)
                await self.next.call(stub.GetBuild, asked, current(), timeout=60)
            case "missing":
                raise NotFound("There is no such build.")
            case "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/inside")
        return build_pb2.GetBuildResponse()

    async def StreamBuildLog(
        self, request: build_pb2.StreamBuildLogRequest, context: Any
    ) -> AsyncIterator[build_pb2.StreamBuildLogResponse]:
        self._note()
        yield NEXT()
        yield NEXT()
        match request.build_id:
            case "hangs":
                await self._hang()
            case "missing":
                raise NotFound("There is no such build.")
        with span("inside"):
            yield NEXT()

    async def UploadSnapshot(
        self, request_iterator: AsyncIterator[build_pb2.UploadSnapshotRequest], context: Any
    ) -> build_pb2.UploadSnapshotResponse:
        self._note()
        async for part in request_iterator:
            if part.service_id == "missing":
                raise NotFound("There is no such service.")
            await self._hang()
        return build_pb2.UploadSnapshotResponse()


class World:
    """Two services; the first one asks the second one."""

    def __init__(self, clock: Clock, servicers: list[Servicer], peer: Peer) -> None:
        self._clock = clock
        self.first, self.second = servicers
        self.peer = peer
        self.stub = build_pb2_grpc.BuildServiceStub(peer.channel)

    def within(self, seconds: float) -> Ctx:
        """The context of somebody who waits for so long."""
        return replace(platform("test"), deadline=self._clock.monotonic() + seconds)

    async def get(self, build_id: str, ctx: Ctx, *, then: str = "", **more: float) -> None:
        request = build_pb2.GetBuildRequest(build_id=build_id, deployment_id=then)
        await self.peer.call(self.stub.GetBuild, request, ctx, **more)

    async def read(self, build_id: str, ctx: Ctx, **more: float) -> list[NEXT]:
        request = build_pb2.StreamBuildLogRequest(build_id=build_id)
        return [one async for one in self.peer.stream(self.stub.StreamBuildLog, request, ctx, **more)]

    async def upload(self, ctx: Ctx, *, to: str = "any", chunks: int = 0, **more: float) -> None:
        async def parts() -> AsyncIterator[build_pb2.UploadSnapshotRequest]:
            yield build_pb2.UploadSnapshotRequest(service_id=to)
            for _ in range(chunks):
                yield build_pb2.UploadSnapshotRequest(chunk=bytes(64 * 1024))

        await self.peer.upload(self.stub.UploadSnapshot, parts(), ctx, **more)


@pytest.fixture
async def world(identity: Identity, system_clock: Clock) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        servicers, peers = [], []
        for _ in range(2):
            servicer = Servicer(system_clock)  # type: ignore[abstract]  # three of its calls are made
            add = build_pb2_grpc.add_BuildServiceServicer_to_server
            server = Server("127.0.0.1:0", [(add, servicer)], identity=identity, exchange=nobody, clock=system_clock)
            await server.start()
            stack.push_async_callback(server.stop, 0)
            peer = Peer(f"127.0.0.1:{server.port}", identity, system_clock)
            stack.push_async_callback(peer.close)
            servicers.append(servicer)
            peers.append(peer)
        servicers[0].next = peers[1]
        yield World(system_clock, servicers, peers[0])


async def nobody(credential: str, method: str) -> Actor:
    raise AssertionError("no token is used here")


async def test_a_deadline_passes_on_and_shrinks(world: World) -> None:
    await world.get("asks on", world.within(20), timeout=60)
    # gRPC sends three digits, rounded up.
    assert 15 < world.first.left[0] <= 20.1
    assert world.second.left[0] <= world.first.left[0] - 0.1


async def test_the_shorter_of_deadline_and_timeout_counts(world: World) -> None:
    await world.get("any", world.within(30), timeout=5)
    await world.get("any", world.within(3), timeout=5)
    await world.get("any", platform("test"), timeout=5)
    assert [round(left) for left in world.first.left] == [5, 3, 5]


async def test_a_server_that_hangs_is_cut_off_with_a_sentence_and_told_to_stop(world: World) -> None:
    with pytest.raises(Unavailable, match=r"does not answer\.") as caught:
        await world.get("hangs", platform("test"), timeout=0.3)
    assert caught.value.hint == "Try again in a moment."
    await eventually(lambda: world.first.cancelled == 1)


async def test_a_full_disk_is_a_sentence_and_no_bug(world: World) -> None:
    with pytest.raises(Unavailable) as caught:
        await world.get("full", platform("test"))
    assert str(caught.value) == "The disk of the platform is full. Free some space, then try again."


async def test_a_refusal_is_heard_by_a_caller_who_still_sends(world: World) -> None:
    async def refused() -> None:
        with pytest.raises(NotFound, match="no such service"):
            await world.upload(platform("test"), to="missing", chunks=64, timeout=60)

    await asyncio.gather(*(refused() for _ in range(100)))


async def test_a_server_behind_a_server_is_told_to_stop_too(world: World) -> None:
    with pytest.raises(Unavailable):
        await world.get("asks on", world.within(0.8), then="hangs")
    await eventually(lambda: world.second.cancelled == 1)


async def test_a_deadline_that_has_passed_is_no_call_without_end(world: World) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable):
            await world.get("hangs", world.within(-5))


async def test_a_caller_who_leaves_takes_the_whole_chain_along(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(world.get("asks on", platform("test"), then="hangs"))
        await eventually(lambda: len(world.second.seen) == 1)
        asking.cancel()
    await eventually(lambda: world.second.cancelled == 1)


async def test_a_stream_ends_with_its_callers_deadline(world: World) -> None:
    with pytest.raises(Unavailable):
        await world.read("hangs", world.within(0.3))
    await eventually(lambda: world.first.cancelled == 1)


async def test_a_stream_without_a_deadline_has_none(world: World) -> None:
    assert len(await world.read("any", platform("test"))) == 3
    assert world.first.left == []


async def test_an_upload_ends_with_its_callers_deadline(world: World) -> None:
    with pytest.raises(Unavailable):
        await world.upload(world.within(0.3), timeout=600)
    await eventually(lambda: world.first.cancelled == 1)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("build", "code", "messages"), [("any", "OK", 3), ("missing", "NOT_FOUND", 2), ("hangs", "CANCELLED", 2)]
)
async def test_streams_are_counted_with_their_end(world: World, build: str, code: str, messages: int) -> None:
    streams = counted("lightrail_rpc_stream_seconds_count", method=LOG, code=code)
    sent = counted("lightrail_rpc_streamed_total", method=LOG)
    request = build_pb2.StreamBuildLogRequest(build_id=build)
    seen = 0
    try:
        async with aclosing(world.peer.stream(world.stub.StreamBuildLog, request, platform("test"))) as responses:
            async for _ in responses:
                seen += 1
                if build == "hangs" and seen == messages:
                    break
    except NotFound:
        assert build == "missing"
    assert seen == messages
    await eventually(lambda: counted("lightrail_rpc_stream_seconds_count", method=LOG, code=code) == streams + 1)
    assert counted("lightrail_rpc_streamed_total", method=LOG) == sent + messages


@pytest.mark.parametrize(("build", "code"), [("any", "OK"), ("missing", "NOT_FOUND")])
async def test_calls_are_counted_with_their_end(world: World, build: str, code: str) -> None:
    before = counted("lightrail_rpc_seconds_count", method=GET, code=code)
    try:
        await world.get(build, platform("test"))
    except NotFound:
        assert build == "missing"
    await eventually(lambda: counted("lightrail_rpc_seconds_count", method=GET, code=code) == before + 1)


async def test_a_stream_is_one_trace_from_the_caller_to_what_happens_inside(world: World) -> None:
    start_tracing("test")
    with span("asking"):
        await world.read("any", platform("test"))
    names = {"asking", "call/lightrail.build.v1.BuildService/StreamBuildLog", f"serve{LOG}", "inside"}
    await eventually(lambda: names <= {row["name"] for row in RING.rows()})
    rows = {row["name"]: row for row in RING.rows()}
    asking, call, serve, inside = (
        rows[name]
        for name in ("asking", "call/lightrail.build.v1.BuildService/StreamBuildLog", f"serve{LOG}", "inside")
    )
    assert [call["parent_id"], serve["parent_id"], inside["parent_id"]] == [
        asking["span_id"], call["span_id"], serve["span_id"],
    ]  # fmt: skip
    assert len({row["trace_id"] for row in (asking, call, serve, inside)}) == 1
