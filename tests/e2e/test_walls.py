"""What an application can reach of the platform that runs it: it shares the machine's network, and nothing else.

And that a token opens nothing once its time is over.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

from libs.embedded import exposure
from libs.testing.eventually import eventually
from tests.e2e.application import Application
from tests.e2e.platform import Platform

Make = Callable[..., Awaitable[Application]]
# What Envoy's admin page and a process of services would answer.
DOORS = ("/config_dump", "/server_info", "/traces")
PROGRAM = """
import http.client, json, os, socket, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def way(place):
    with socket.socket() as one:
        one.settimeout(5)
        return one.connect_ex((place.split(":")[0], int(place.split(":")[1])))


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        answers = [[int(port), door, ask(int(port), door)] for port in asked.get("port", []) for door in asked["door"]]
        seen = [path for path in asked.get("path", []) if os.path.exists(path)]
        ways = {place: way(place) for place in asked.get("place", [])}
        body = json.dumps({"answers": answers, "seen": seen, "ways": ways}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""

# What a build command reaches of the same doors.
ASKING = """
import http.client, socket, sys

host, _, port = sys.argv[1].partition(":")
with socket.socket() as one:
    one.settimeout(5)
    print("way", one.connect_ex((host, int(port))))
for port in sys.argv[2:]:
    for door in ("/config_dump", "/server_info", "/traces", "/api/v1/deployments"):
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=1)
        try:
            connection.request("GET", door)
            print("door", port, connection.getresponse().status)
        except (OSError, http.client.HTTPException):
            print("door", port, 0)
"""


@contextmanager
def cloud(address: str) -> Iterator[str]:
    """Somebody who answers there, on this machine; an ordinary user has none but loopback to answer at."""
    root = os.geteuid() == 0
    if root:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    try:
        with socket.create_server((address if root else "127.0.0.1", 0)) as server:
            host, port = server.getsockname()
            # Whoever is no application gets there.
            socket.create_connection((host, port), 5).close()
            yield f"{host}:{port}"
    finally:
        if root:
            subprocess.run(["ip", "address", "delete", f"{address}/32", "dev", "lo"], check=True)


async def ports(platform: Platform) -> list[int]:
    """Every port but the edge's on which a part of the platform listens."""
    pids = {part["pid"] for part in (await platform.parts()).values() if part["pid"]}
    return sorted({port for _, port in exposure.listening(pids)} - {platform.port})


def missing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if not path.exists()]


async def test_an_application_reaches_no_admin_page_no_traces_no_socket_and_no_secret_of_a_cloud(
    platform: Platform, application: Make
) -> None:
    app = await application("slow-start")
    app.write("main.py", PROGRAM)
    app.write("ask.py", ASKING)
    listening = await ports(platform)
    # Of the network where clouds tell a machine its secrets; which platform's test it is.
    secret = f"169.254.{platform.port // 256 % 256}.{platform.port % 254 + 1}"
    with cloud(secret) as place:
        await app.settings(build_command=f"python ask.py {place} {' '.join(map(str, listening))}")
        await app.up()
        told = (await app.get("/", params={"place": [place], "door": DOORS})).raise_for_status().json()["ways"]
        built = [line["text"].split() for line in (await app.lr("logs", "--build", "--json")).lines()]
        ways = {told[place], *(int(line[1]) for line in built if line[:1] == ["way"])}
    # Neither the application nor a step of its build gets there; keeping them from it takes root.
    assert ways == {errno.ECONNREFUSED if os.geteuid() == 0 else 0}
    paths = [platform.home, platform.home / "envoy" / "doors" / "admin.sock", platform.home / "keys"]
    # Else the application would not be kept from anything.
    assert missing(paths) == []
    answer = await app.get("/", params={"port": listening, "door": DOORS, "path": [str(path) for path in paths]})
    told = answer.raise_for_status().json()
    assert {port for port, _, _ in told["answers"]} == set(listening)
    assert [row for row in told["answers"] if row[2] == 200] == []
    # The parts that speak HTTP did answer: they were reached, and refused.
    assert 401 in {status for _, _, status in told["answers"]}
    assert told["seen"] == []
    # A step of a build shares the machine's network too, and is told no more.
    lines = [line["text"].split() for line in (await app.lr("logs", "--build", "--json")).lines()]
    asked = [(int(line[1]), int(line[2])) for line in lines if line[:1] == ["door"]]
    assert {port for port, _ in asked} == set(listening)
    assert [row for row in asked if row[1] == HTTPStatus.OK] == []
    assert HTTPStatus.UNAUTHORIZED in {status for _, status in asked}


async def test_an_expired_token_is_refused(platform: Platform) -> None:
    assert platform.brief_token

    async def refused() -> None:
        answer = await platform.request("GET", "/api/v1/me", token=platform.brief_token)
        assert answer.status_code == 401
        assert answer.json()["kind"] == "denied"

    # It lives for a minute, and was made when the platform was: the last test of a platform waits least.
    await eventually(refused, within=75, every=1)
