"""When a process of the platform has closed its services, no task of theirs goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import httpx2
import pytest

from libs.db.provision import Tenant, provision
from libs.embedded import database, ports
from libs.embedded.home import Home
from libs.embedded.plan import Plan
from libs.embedded.provision import make_keys
from libs.embedded.settings import SERVICES, read
from libs.kernel.errors import Failure
from libs.kernel.secret import Secret
from libs.runtime.clock import SystemClock
from libs.runtime.process import Process
from libs.testing.eventually import eventually

DATABASE = "tasks_left"
ACCOUNT = {"email": "a@example.test", "password": "long enough to be one", "name": "A"}


@pytest.fixture
def room() -> Iterator[Path]:
    """A short path: sockets are in it."""
    path = Path(tempfile.mkdtemp(prefix="lr-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def environ(room: Path, postgres_dsn: Secret[str], nats_url: Secret[str]) -> dict[str, str]:
    """What a supervisor gives a process of all services, on a real database and bus; there is no edge."""
    admin = Secret(f"{postgres_dsn.reveal().rpartition('/')[0]}/{DATABASE}")
    home = Home(room / "home")
    home.prepare()
    make_keys(home)
    roles = {service: database.role_of(admin, service) for service in SERVICES}
    tenants = [Tenant(service, roles[service], secret) for service, secret in database.passwords(home).items()]
    await provision(admin, DATABASE, tenants)
    settings = read(
        {
            "LIGHTRAIL_HOME": str(home.path),
            "LIGHTRAIL_PORT": str(ports.free_port()),
            "LIGHTRAIL_DATABASE_URL": admin.reveal(),
            "LIGHTRAIL_NATS_URL": nats_url.reveal(),
        }
    )
    chosen: dict[str, int] = {}
    for name in Plan.ports(settings):
        chosen[name] = ports.free_port({*chosen.values()})
    (home.envoy / "doors").mkdir(parents=True)
    return Plan(settings, chosen, dict(os.environ)).services_environment("services")


@asynccontextmanager
async def running(environ: dict[str, str]) -> AsyncIterator[Process]:
    """A process of all services, ready; stopped as by a signal at the end."""
    modules = [import_module(f"services.{name}.main").MODULE for name in SERVICES]
    process = Process(modules, environ, SystemClock())
    async with asyncio.TaskGroup() as group:
        work = group.create_task(process.run())

        async def is_ready() -> None:
            if work.done():
                work.result()
            async with httpx2.AsyncClient() as client:
                try:
                    answer = await client.get(f"http://{environ['LIGHTRAIL_METRICS_ADDRESS']}/ready")
                except httpx2.TransportError as error:
                    raise AssertionError("it does not answer yet") from error
                assert answer.status_code == 200

        await eventually(is_ready, within=30)
        yield process
        process.stopping.set()


def setup_token(environ: dict[str, str]) -> str:
    return Path(environ["LIGHTRAIL_SETUP_TOKEN_FILE"]).read_text().strip()


def left_of(before: set[asyncio.Task[object]]) -> list[str]:
    here = asyncio.current_task()
    return [repr(task) for task in asyncio.all_tasks() - before if task is not here]


async def nothing_is_left(before: set[asyncio.Task[object]]) -> None:
    def is_quiet() -> None:
        assert not left_of(before)

    # What was cancelled by its owner needs a turn of the loop to end.
    await eventually(is_quiet, within=2)


async def test_no_task_is_left_when_a_process_that_was_used_has_stopped(environ: dict[str, str]) -> None:
    before = asyncio.all_tasks()
    async with (
        running(environ),
        httpx2.AsyncClient(base_url=f"http://{environ['LIGHTRAIL_GATEWAY_HTTP_ADDRESS']}/api/v1") as client,
    ):
        session = await client.post("/setup", json={"setup_token": setup_token(environ), **ACCOUNT})
        assert session.status_code == 201, session.text
        client.headers["Authorization"] = f"Bearer {session.json()['session_token']}"
        assert (await client.post("/projects", json={"name": "left"})).status_code == 201
        async with client.stream("GET", "/events", headers={"Accept": "text/event-stream"}) as events:
            assert events.status_code == 200
            assert len(left_of(before)) > 20, "it is at work"
    await nothing_is_left(before)


async def test_no_task_is_left_when_the_last_service_cannot_be_opened(environ: dict[str, str]) -> None:
    before = asyncio.all_tasks()
    host, _, port = environ["LIGHTRAIL_GATEWAY_HTTP_ADDRESS"].rpartition(":")
    with socket.create_server((host, int(port))), pytest.raises(ExceptionGroup) as failed:
        async with running(environ):
            pytest.fail("the gateway opened on an address that is taken")
    assert failed.group_contains(Failure, match="listen")
    await nothing_is_left(before)
