"""What visitors and apps see of the edge."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from libs.embedded import exposure
from libs.kernel.context import Actor, Ctx
from libs.kernel.errors import Conflict, Denied
from libs.protogen.lightrail.router.v1 import router_pb2 as pb
from libs.runtime.clock import SystemClock
from services.router.adapters import ads
from services.router.adapters.envoy_admin import connection
from services.router.adapters.xds import Shape, Translator
from services.router.domain.world import App, Endpoint, Key, Spot, World
from tests.integration.router import apps
from tests.integration.router.conftest import EDGE_TOKEN, Calls, Stand

pytestmark = pytest.mark.wheels


async def test_a_host_that_is_no_apps_is_answered_by_the_gateway(stand: Stand, calls: Calls) -> None:
    for host in ("127.0.0.1", "localhost", "nobody-production.localhost", "api.example.org"):
        assert (await stand.get(host, "/api/v1/openapi.json")).text.startswith("gateway /api/v1/openapi.json")


async def test_a_claimed_name_without_a_deployment_says_so(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    assert host == "hello-production.localhost"
    await calls.publish("svc_hello", [])
    answer = await stand.get(host)
    assert (answer.status, answer.headers["content-type"]) == (503, "text/plain; charset=utf-8")
    assert answer.text.startswith("hello-production.localhost has no running deployment.")


async def test_the_first_request_after_publishing_is_served(stand: Stand, calls: Calls) -> None:
    async with apps.running("hello") as app:
        for number in range(20):
            host = await calls.claim(f"svc_{number}")
            await calls.publish(f"svc_{number}", [app.port])
            answer = await stand.get(host)
            assert (answer.status, answer.text.split()[0]) == (200, "hello")
        # Without its port, in other letters: the same host.
        bare = await apps.get(stand.edge_port, host.upper())
        assert bare.text.startswith("hello")
        names = await calls.names("svc_0")
        assert [name.url for name in names] == [f"http://0-production.localhost:{stand.edge_port}"]


async def test_taking_every_endpoint_away_brings_the_notice_back(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("hello") as app:
        await calls.publish("svc_hello", [app.port], 1)
        assert (await stand.get(host)).status == 200
        await calls.publish("svc_hello", [], 2)
        answer = await stand.get(host)
    assert (answer.status, "no running deployment" in answer.text) == (503, True)


async def test_apps_are_told_who_asks_and_cannot_be_lied_to(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("hello") as app:
        await calls.publish("svc_hello", [app.port])
        answer = await stand.get(
            host,
            "/a/../b//c?x=1",
            x_real_ip="6.6.6.6",
            x_forwarded_host="evil",
            x_forwarded_proto="https",
            x_request_start="1",
            x_request_id="mine",
            x_lightrail_edge="guess",
            x_envoy_upstream_rq_timeout_ms="1",
        )
    first, got = answer.text.split("\n", 1)
    headers = dict(line.split(": ", 1) for line in got.split("\r\n") if ": " in line)
    assert first.split()[1] == "/b//c?x=1"
    assert headers["host"] == f"{host}:{stand.edge_port}"
    assert headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == f"{host}:{stand.edge_port}"
    assert headers["x-forwarded-proto"] == "http"
    assert re.fullmatch(r"\d{13}", headers["x-request-start"])
    assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-request-id"])
    assert answer.headers["x-request-id"] == headers["x-request-id"]
    assert not [name for name in headers if name.startswith(("x-envoy", "x-lightrail"))]


async def test_the_gateway_is_shown_the_edges_token_whatever_the_client_shows(stand: Stand, calls: Calls) -> None:
    assert calls
    for shown in ({}, {"x_lightrail_edge": "guess"}):
        got = (await stand.get("localhost", **shown)).text.lower().splitlines()
        assert [line for line in got if line.startswith("x-lightrail-edge")] == [f"x-lightrail-edge: {EDGE_TOKEN}"]
        assert "x-real-ip: 127.0.0.1" in got


def closed_to_others(address: str) -> bool:
    socket = Path(address.removeprefix("unix:"))
    return socket.is_socket() and socket.parent.stat().st_mode & 0o077 == 0


async def test_no_port_of_the_machine_leads_to_the_edges_admin_page_or_to_the_router(stand: Stand) -> None:
    async with stand.router(), stand.edge() as pid, stand.calls():
        await stand.serving()
        assert [port for _, port in exposure.listening([pid])] == [stand.edge_port]
        for address in (stand.admin, stand.ads):
            assert closed_to_others(address)
        page = connection(stand.admin)
        assert (await page.get("/ready")).status_code == 200
        assert (await page.post("/runtime_modify", params={"a": "b"})).status_code == 503
        await page.aclose()


async def test_the_edge_does_not_say_what_it_is(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("hello") as app:
        await calls.publish("svc_hello", [app.port])
        served = await stand.get(host)
        await calls.publish("svc_hello", [], 2)
        notice = await stand.get(host)
    assert served.headers["server"] == "homemade"
    for answer in (served, notice):
        assert "envoy" not in str(answer).lower()


async def test_headers_of_32_kib_pass_and_more_do_not(stand: Stand, calls: Calls) -> None:
    assert (await stand.get("localhost", x_large="x" * 30_000)).status == 200
    refused = await stand.get("localhost", x_large="x" * 33_000)
    assert (refused.status, refused.text) == (
        431,
        "The path and the headers of this request are longer than the edge takes: 32 KiB.\n",
    )


async def test_a_path_that_is_none_is_refused_with_a_problem_by_the_api_and_a_sentence_elsewhere(
    stand: Stand, calls: Calls
) -> None:
    host = await calls.claim("svc_hello")
    of_api = await stand.get("localhost", "/api/v1/projects/%00")
    assert (of_api.status, of_api.headers["content-type"]) == (400, "application/problem+json")
    problem = json.loads(of_api.text)
    assert (problem["kind"], problem["status"], problem["title"]) == ("invalid", 400, "The request is malformed")
    for asked, path in ((host, "/api/%00"), ("localhost", "/%00"), (host.upper(), "/api/%00")):
        answer = await stand.get(asked, path)
        assert (answer.status, answer.headers["content-type"]) == (400, "text/plain"), asked
        assert answer.text.startswith("The edge does not pass this request on")


async def test_while_the_gateway_is_away_callers_of_the_api_get_a_problem_that_is_worth_repeating(
    stand: Stand,
) -> None:
    async with apps.running("gone") as app:
        gone = app.port
    shape = Shape(Spot("127.0.0.1", stand.edge_port), Spot("127.0.0.1", gone))
    edges = ads.Edges(Translator(shape), SystemClock())
    key = Key("svc_hello", "env_a")
    async with ads.serving(edges, stand.ads), stand.edge():
        await edges.put(World(1, (App(key, "hello.localhost", (Endpoint("i", "127.0.0.1", gone),)),)))
        await edges.until_serving(key, 1, 10)
        of_api = await stand.get("localhost", "/api/v1/projects")
        pages = [await stand.get(*asked) for asked in (("localhost", "/"), ("hello.localhost", "/api/v1/projects"))]
    assert (of_api.status, of_api.headers["content-type"]) == (503, "application/problem+json")
    assert of_api.headers["retry-after"] == "1"
    problem = json.loads(of_api.text)
    assert problem["type"] == "urn:lightrail:problem:unavailable"
    assert problem["status"] == 503
    assert problem["request_id"] == of_api.headers["x-request-id"]
    for page in pages:
        assert (page.status, page.headers["content-type"]) == (503, "text/plain")
        assert page.text.startswith("What runs here does not accept connections right now.")


async def test_an_app_that_does_not_accept_connections_is_named_as_the_cause(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("hello") as app:
        gone = app.port
    await calls.publish("svc_hello", [gone])
    answer = await stand.get(host)
    assert (answer.status, answer.text.split(".")[0]) == (
        503,
        "What runs here does not accept connections right now",
    )


async def test_a_dead_instance_beside_a_live_one_costs_no_request(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("dead") as dead:
        gone = dead.port
    async with apps.running("live") as live:
        await calls.publish("svc_hello", [gone, live.port])
        answers = [await stand.get(host) for _ in range(50)]
    assert {answer.status for answer in answers} == {200}


async def test_events_arrive_while_the_answer_is_still_being_made(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("hello") as app:
        await calls.publish("svc_hello", [app.port])
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.edge_port)
        writer.write(f"GET /events HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n".encode())
        head = await reader.readuntil(b"first\n\n")
        assert b"text/event-stream" in head
        app.release.set()
        assert await reader.readuntil(b"last\n\n")
        writer.close()


async def test_websockets_pass(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("hello") as app:
        await calls.publish("svc_hello", [app.port])
        reader, writer = await asyncio.open_connection("127.0.0.1", stand.edge_port)
        writer.write(
            f"GET / HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        writer.close()


async def test_a_large_upload_passes(stand: Stand, calls: Calls) -> None:
    size = 8 * 1024 * 1024
    answer = await apps.get(stand.edge_port, "localhost", "/upload", method="POST", body=b"x" * size)
    assert answer.text.startswith(f"gateway /upload {size}")


async def test_http2_without_tls_is_understood(stand: Stand, calls: Calls) -> None:
    def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    reader, writer = await asyncio.open_connection("127.0.0.1", stand.edge_port)
    # RFC 7541: GET, http, / from the static table; :authority as a literal.
    request = b"\x82\x86\x84\x41\x09localhost"
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 0x5, 1, request))
    body = b""
    while b"gateway /" not in body:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        assert head[3] != 7, f"the edge hung up: {payload!r}"
        if head[3] == 0:
            body += payload
    writer.close()


async def test_an_older_generation_is_refused_over_the_wire_too(stand: Stand, calls: Calls) -> None:
    await calls.publish("svc_hello", [4001], 7)
    with pytest.raises(Conflict, match="too late"):
        await calls.publish("svc_hello", [4002], 6)
    assert (await calls.generation("svc_hello"), await calls.generation("svc_other")) == (7, 0)


async def test_only_services_may_ask(stand: Stand, calls: Calls) -> None:
    user = Ctx(actor=Actor(kind="user", id="usr_a"))
    stub, peer = calls.stub, calls.peer
    for call in (
        lambda: peer.call(stub.ClaimName, pb.ClaimNameRequest(), user),
        lambda: peer.call(stub.ListNames, pb.ListNamesRequest(), user),
        lambda: peer.call(stub.GetPublication, pb.GetPublicationRequest(), user),
        lambda: peer.call(stub.PublishEndpoints, pb.PublishEndpointsRequest(), user),
        lambda: peer.call(stub.GetActivity, pb.GetActivityRequest(), user),
        lambda: peer.call(stub.SampleTraffic, pb.SampleTrafficRequest(), user),
    ):
        with pytest.raises(Denied):
            await call()
