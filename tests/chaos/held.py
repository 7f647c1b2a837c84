"""An application whose builds, starts and answers last until the test says so, and what it owes afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import quote

import asyncpg

from libs.testing.eventually import eventually
from tests.chaos.gate import Gate
from tests.chaos.patient import RECOVERY_SECONDS, Patient
from tests.e2e import processes
from tests.e2e.application import Application
from tests.e2e.platform import Json, Platform

# Those that have something to tell.
SOURCES = ("auth", "project", "build", "deploy", "router", "metering")
# What a page weighs, and the CPU time that making it takes.
PAGE_BYTES, PAGE_CPU_SECONDS = 200_000, 0.4
PROGRAM = """
import os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from wait import wait

GREETING = os.environ["GREETING"]


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = GREETING.encode()
        if self.path == "/work":
            until = time.thread_time() + WORK
            while time.thread_time() < until:
                pass
            body = b"x" * BYTES
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1])
        self.wfile.flush()
        if self.path == "/held":
            wait(f"answer-{GREETING}")
        self.wfile.write(body[1:])

    def log_message(self, *arguments):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
wait(f"start-{GREETING}")
server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
signal.pause()
"""


@dataclass
class Held:
    """One service whose versions are told apart by what they greet with."""

    app: Application
    gate: Gate
    versions: int = 0
    first: str = ""
    snapshot: str = ""
    worked: int = 0
    names: dict[str, str] = field(default_factory=dict)
    # Whether a test has ended before its end.
    left_over: bool = False

    @property
    def build(self) -> str:
        """The place where its builds wait."""
        return f"build-{self.app.name}"

    async def begin(self) -> None:
        """Makes it live for the first time."""
        self.app.directory.mkdir()
        self.app.write("wait.py", self.gate.program)
        self.app.write("main.py", f"WORK, BYTES = {PAGE_CPU_SECONDS}, {PAGE_BYTES}\n{PROGRAM}")
        self.app.write("Procfile", "web: python main.py\n")
        await self.app.create()
        await self.app.settings(build_command=f"python wait.py {self.build}", drain_seconds=120)
        self.gate.open(self.build, "start-first")
        # Each version has the same source: without this only the first would be built.
        await self.app.lr("variables", "set", "--skip-deploys", "GREETING=first", "NO_CACHE=1")
        await self.app.up()
        [first] = await self.app.deployments()
        self.first, self.snapshot = first["id"], first["snapshot_id"]
        self.names[self.first] = "first"
        self.gate.close(self.build)

    async def finish(self) -> None:
        """Lets everything go on that a failed test has left held."""
        held = [self.build, *(place(one) for one in self.names for place in (self.start, self.answer))]
        self.gate.open(*held)
        await Patient(self.app).settles()
        self.gate.close(self.build)

    async def deploy(self) -> str:
        """Asks for a new version until somebody answers, and gives its id: its key makes it one, however often."""
        self.versions += 1
        name = f"{self.app.name}-{self.versions}"
        body = {"service_id": self.app.id, "snapshot_id": self.snapshot, "env_vars": {"GREETING": name}}
        headers = {"Idempotency-Key": f"{self.app.id}-{name}"}

        async def made() -> str:
            return str((await self.app.platform.api("POST", "/deployments", json=body, headers=headers))["id"])

        deployment_id = await eventually(made, within=RECOVERY_SECONDS, every=0.2)
        self.names[deployment_id] = name
        return deployment_id

    def start(self, deployment_id: str) -> str:
        """The place where a version waits before it listens."""
        return f"start-{self.names[deployment_id]}"

    def answer(self, deployment_id: str) -> str:
        """The place where a version waits in the middle of an answer."""
        return f"answer-{self.names[deployment_id]}"

    async def is_held(self, place: str) -> None:
        """Waits until somebody has come to a closed place."""
        await eventually(lambda: self.gate.holds(place), within=RECOVERY_SECONDS)

    async def cancel(self, deployment_id: str) -> None:
        """Takes a deployment back, as soon as somebody answers."""

        async def cancelled() -> None:
            await self.app.platform.api("DELETE", f"/deployments/{deployment_id}")

        await eventually(cancelled, within=RECOVERY_SECONDS, every=0.2)

    async def visitor(self) -> str:
        """Gives the answer that is held back in its middle; "" when its connection broke."""
        try:
            return (await self.app.get("/held", patience=120)).text
        except AssertionError:
            return ""

    async def work(self) -> None:
        """Asks for a page that costs something."""
        answer = await self.app.get("/work")
        assert (answer.status_code, len(answer.content)) == (200, PAGE_BYTES)
        self.worked += 1

    async def pays_what_it_used(self) -> None:
        """Waits until exactly the CPU time and traffic of its first version, which still runs, are on its bill."""

        async def paid() -> None:
            usage = await self.app.platform.api("GET", "/usage", params={"service_id": self.app.id})
            [bill] = usage["items"]
            used = processes.cpu_seconds(pid for pid, _ in self.app.processes(self.first))
            assert used > self.worked * PAGE_CPU_SECONDS * 0.9
            # A page that is lost or counted twice is more than this.
            assert abs(bill["cpu_microseconds"] / 1e6 - used) < PAGE_CPU_SECONDS / 2, (bill, used)
            pages = bill["egress_bytes"] / PAGE_BYTES
            assert self.worked <= pages < self.worked + 0.9, (bill, self.worked)

        await eventually(paid, within=30, every=0.5)


async def facts_are_whole(platform: Platform) -> None:
    """Waits until each service's facts are numbered without a gap, published, and taken by all who follow it."""
    passwords: dict[str, str] = json.loads((platform.home / "keys" / "database.json").read_text())
    port = (await platform.parts())["postgres"]["port"]
    connections: dict[str, Json] = {}
    try:
        for service in SOURCES:
            url = f"postgresql://lightrail_{service}:{quote(passwords[service])}@127.0.0.1:{port}/lightrail"
            connections[service] = await asyncpg.connect(url, server_settings={"search_path": service})
        await eventually(lambda: _whole(connections), within=20, every=0.2)
    finally:
        for connection in connections.values():
            await connection.close()


async def _whole(connections: dict[str, Json]) -> None:
    last = {}
    for service, connection in connections.items():
        rows = await connection.fetch("select sequence from outbox order by position")
        last[service] = len(rows)
        assert sorted(row["sequence"] or 0 for row in rows) == list(range(1, len(rows) + 1)), service
        assert await connection.fetchval("select published from outbox_head") == len(rows), service
    for service, connection in connections.items():
        for row in await connection.fetch("select source, sequence from inbox"):
            assert row["sequence"] == last[row["source"]], f"{service} is behind {row['source']}"
