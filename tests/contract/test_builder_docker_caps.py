"""The engine of the platform's own: what it keeps builds from, and how it comes and goes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from libs.kernel.errors import Unavailable
from libs.kernel.units import MIB
from libs.plans.faults import BuildFault
from libs.runtime.clock import SystemClock
from libs.sandbox.mounts import mounts_below
from libs.testing.eventually import eventually
from services.build.adapters.disk import DiskWatch
from services.build.adapters.images.bridge import Bridge
from services.build.adapters.images.docker import DockerBuilder
from services.build.adapters.images.engine import Engine, MachineEngine
from services.build.adapters.images.own import OwnEngine
from services.build.adapters.images.records import EngineCaches
from services.build.adapters.images.registry import lay_logins
from services.build.adapters.images.remembered import Remembered
from services.build.adapters.images.stores import EngineImages
from services.build.app.collect import over
from tests.contract.dockers import docker_workshop
from tests.contract.hostile_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.hostile_suite import MODEST
from tests.contract.workshop import Workshop, kitchen_of, rooms_of

pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]

DIAL = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2)
        print("reached", place, flush=True)
    except OSError as error:
        print("refused", place, error, flush=True)
"""
STAGES = """\
FROM lightrail/debian:run AS first
RUN head -c {size} /dev/urandom > /junk
COPY main.py /
FROM lightrail/debian:run
COPY --from=first /main.py /
"""
# Of the same kind as the address where clouds tell a machine its secrets.
METADATA = "169.254.213.7"
OUTSIDE = "198.51.100.2"


@pytest.fixture
def workshop(docker_room: Workshop) -> Workshop:
    return docker_room


# Listens in another machine until it is killed, and answers as a web server.
ANSWER = """
import socket, sys
with socket.create_server((sys.argv[1], 80)) as server:
    while True:
        caller, _ = server.accept()
        with caller:
            caller.settimeout(2)
            try:
                if caller.recv(4096):
                    caller.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nsecret")
            except OSError:
                pass
"""


@contextmanager
def neighbour(name: str, *addresses: str) -> Iterator[None]:
    """Another machine on a wire of its own that has these addresses and serves there."""

    def do(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    do("netns", "add", name)
    servers = []
    try:
        do("link", "add", name, "type", "veth", "peer", "name", "wire", "netns", name)
        do("address", "add", "198.51.100.1/30", "dev", name)
        do("link", "set", name, "up")
        do("-n", name, "address", "add", f"{OUTSIDE}/30", "dev", "wire")
        do("-n", name, "link", "set", "wire", "up")
        do("-n", name, "link", "set", "lo", "up")
        do("-n", name, "route", "add", "default", "via", "198.51.100.1")
        for one in addresses:
            if one != OUTSIDE:
                do("-n", name, "address", "add", f"{one}/32", "dev", "lo")
                do("route", "add", f"{one}/32", "via", OUTSIDE)
            servers.append(subprocess.Popen(["ip", "netns", "exec", name, "python3", "-c", ANSWER, one]))
        yield
    finally:
        for server in servers:
            server.kill()
            server.wait()
        do("netns", "del", name)


def answers(host: str) -> bool:
    with suppress(OSError), socket.create_connection((host, 80), 1):
        return True
    return False


async def test_builds_reach_the_outside_but_not_where_clouds_keep_secrets(
    workshop: Workshop, own_engine: OwnEngine
) -> None:
    await workshop.build({"main.py": "1\n"})
    # The ways out are those that there are when it starts.
    await own_engine.close()
    with neighbour(f"lrn{os.getpid()}", OUTSIDE, METADATA):
        await eventually(lambda: answers(OUTSIDE) and answers(METADATA), within=10)
        source = {"main.py": "1\n", "dial.py": DIAL}
        await workshop.build(source, build_command=f"python3 dial.py {METADATA}:80 {OUTSIDE}:80")
        dialled = {line.split()[1]: line.split()[0] for line in workshop.heard.texts("build") if line[:7] in DIAL}
        # What the engine itself fetches for a build comes over the machine's own network.
        fetched = await fetch(workshop, METADATA), await fetch(workshop, OUTSIDE)
    # The one that is reached shows that the other would be, were nothing in the way.
    assert dialled == {f"{METADATA}:80": "refused", f"{OUTSIDE}:80": "reached"}
    assert fetched == (False, True)


async def fetch(workshop: Workshop, host: str) -> bool:
    """Whether an instruction of a Dockerfile gets a file from there."""
    try:
        await workshop.build({"Dockerfile": f"FROM lightrail/debian:run\nADD http://{host}/{os.getpid()} /it\n"})
    except BuildFault:
        return False
    return True


async def test_file_without_a_name_counts_as_disk_of_the_build(workshop: Workshop) -> None:
    tight = workshop.limited(MODEST, DiskWatch(24 * MIB, 0, SystemClock()))
    command = "exec 3> hidden; rm hidden; head -c 80M /dev/zero >&3; sync; sleep 20"
    with pytest.raises(BuildFault, match="used more than 24 MiB of disk"):
        await tight.build({"main.py": "1\n"}, build_command=command)


async def test_cache_mount_counts_as_disk_of_the_build(workshop: Workshop) -> None:
    await workshop.build({"main.py": "1\n"})
    run = "RUN --mount=type=cache,target=/kept head -c 80M /dev/zero > /kept/big; sync /kept/big; sleep 20"
    tight = workshop.limited(MODEST, DiskWatch(24 * MIB, 0, SystemClock()))
    with pytest.raises(BuildFault, match="used more than 24 MiB of disk"):
        await tight.build({"Dockerfile": f"FROM lightrail/debian:run\n{run}\n"})


async def test_builds_take_turns_and_who_waits_says_so(workshop: Workshop) -> None:
    second = workshop.limited(MODEST)
    second.numbers = iter(range(700, 800))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(workshop.build({"main.py": "1\n"}, build_command="echo begun; sleep 2"))
        await eventually(lambda: "begun" in workshop.heard.texts("build"), within=60)
        group.create_task(second.build({"main.py": "2\n"}, build_command="echo mine"))
        await eventually(lambda: any("waiting for the engine" in text for text in second.heard.texts("build")))
        assert not first.done()
    assert "mine" in second.heard.texts("build")


async def test_engine_that_dies_in_a_build_is_the_platforms_fault_and_is_there_for_the_next(
    workshop: Workshop, own_engine: OwnEngine
) -> None:
    async def kill() -> None:
        await eventually(lambda: "$ sleep 30" in workshop.heard.texts("build"), within=60)
        os.kill(int((own_engine.run / "pid").read_text(encoding="ascii")), signal.SIGKILL)

    async with asyncio.TaskGroup() as group:
        group.create_task(kill())
        with pytest.raises(Unavailable):
            await workshop.build({"main.py": "1\n"}, build_command="sleep 30")
    await workshop.build({"main.py": "1\n"}, build_command="echo again")
    assert "again" in workshop.heard.texts("build")


async def test_engine_of_a_killed_process_is_swept_away_and_the_next_knows_what_it_kept(
    workshop: Workshop, own_engine: OwnEngine
) -> None:
    source = {"main.py": "print('kept over a start')\n"}
    await workshop.build(source, build_command="echo slow part")
    # Another process of the same platform comes, and knows nothing of the one that is running.
    heir = OwnEngine(
        own_engine.home, own_engine.run, own_engine.groups, own_engine.bridge, own_engine.clock, own_engine.environ
    )
    await heir.close()
    await eventually(lambda: own_engine.resting)
    assert own_engine.bridge
    _nothing_left(own_engine)
    await workshop.build(source, build_command="echo slow part")
    assert any("cached" in text for text in workshop.heard.texts("build"))


class Told:
    """A log that is kept here."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, event: str, **more: str) -> None:
        self.warnings.append(f"{event}: {more}")


async def test_what_cannot_be_cleared_away_is_told_and_tried_again(workshop: Workshop, own_engine: OwnEngine) -> None:
    await workshop.build({"main.py": "1\n"})
    own, log = own_engine.bridge, Told()
    assert own
    # A machine that has lost its programs for networks.
    crippled = Bridge(own.key, {"PATH": "/nowhere"})
    heir = OwnEngine(
        own_engine.home, own_engine.run, own_engine.groups, crippled, own_engine.clock, own_engine.environ, _log=log
    )
    await heir.close()
    assert len(log.warnings) == 1
    assert log.warnings[0].startswith("engine.left")
    assert own_engine.groups.keys() & {"engine", "commands"}, "nobody would know that something is left"
    heir.bridge = own
    async with asyncio.TaskGroup() as group:
        resting = group.create_task(heir.rest(0.2))
        await eventually(lambda: not own_engine.groups.keys(), within=20)
        resting.cancel()
    _nothing_left(own_engine)


async def test_engine_that_is_not_the_platforms_own_builds_and_says_that_nothing_is_capped(
    workshop: Workshop, own_engine: OwnEngine, stacks: Path
) -> None:
    async with own_engine.held():
        elsewhere = docker_workshop(workshop.site, own_engine, stacks, MachineEngine(own_engine.host))
        await elsewhere.build({"main.py": "1\n"}, build_command="echo made")
    assert "made" in elsewhere.heard.texts("build")
    assert any("not the platform's own" in text and "not capped" in text for text in elsewhere.heard.texts("detect"))
    await workshop.build({"main.py": "1\n"})
    assert not any("not capped" in text for text in workshop.heard.texts("detect"))


# Of a registry that wants to know who asks, and of a program that would tell it.
SPY = """#!/bin/sh
echo asked >> "{told}"
echo '{{"Username": "root", "Secret": "treasure"}}'
"""


class Doorkeeper(BaseHTTPRequestHandler):
    """Lets nobody in who gives no name."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="images"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - a name of http.server's

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize("whose", ["the user's", "the operator's"])
async def test_builds_log_in_to_registries_with_what_the_operator_gave_them_alone(
    workshop: Workshop, own_engine: OwnEngine, tmp_path: Path, whose: str
) -> None:
    told, user, logins = tmp_path / "told", tmp_path / "user" / ".docker", tmp_path / "logins"
    spy = tmp_path / "docker-credential-spy"
    spy.write_text(SPY.format(told=told), encoding="utf-8")
    spy.chmod(0o755)
    user.mkdir(parents=True)
    lay_logins(logins, user / "cli-plugins")
    (user if whose == "the user's" else logins).joinpath("config.json").write_text('{"credsStore": "spy"}')
    environ = {**os.environ, "HOME": str(user.parent), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    engine = Engine(own_engine, environ, logins)
    site = workshop.site
    builder = DockerBuilder(engine, kitchen_of(site), tmp_path, site.blobs, site.clock, rooms_of(site), network="")
    with ThreadingHTTPServer(("127.0.0.1", 0), Doorkeeper) as registry:
        thread = threading.Thread(target=registry.serve_forever)
        thread.start()
        try:
            with pytest.raises(BuildFault, match=r"401|nauthorized|denied"):
                await Workshop(site, "docker", builder.build).build(
                    {"Dockerfile": f"FROM 127.0.0.1:{registry.server_port}/private\n"}
                )
        finally:
            registry.shutdown()
            thread.join()
    assert told.exists() is (whose == "the operator's")


async def test_engine_rests_when_nobody_needs_it_and_leaves_nothing_behind(
    workshop: Workshop, own_engine: OwnEngine
) -> None:
    artifact = await workshop.build({"main.py": "print('rests')\n"})
    assert artifact.image
    engine = Engine(own_engine, os.environ)
    store = EngineImages(engine, "tests", Remembered(own_engine))
    caches = EngineCaches(own_engine, Remembered(own_engine))
    seen, kept = await store.made(), await caches.measure()
    async with asyncio.TaskGroup() as group:
        resting = group.create_task(own_engine.rest(0.2))
        await eventually(lambda: own_engine.resting and not own_engine.groups.keys(), within=20)
        resting.cancel()
    _nothing_left(own_engine)
    # What it keeps is known meanwhile: a collection does not wake it.
    assert await store.made() == seen
    assert await caches.measure() == kept
    assert still_resting(own_engine)
    await store.remove(next(one for one in seen if artifact.image.reference in one.names))
    assert not still_resting(own_engine)
    assert artifact.image.reference not in {name for one in await store.made() for name in one.names}


def still_resting(engine: OwnEngine) -> bool:
    return engine.resting


def _nothing_left(engine: OwnEngine) -> None:
    """No process, no mount, no interface, no rule."""
    assert engine.bridge
    told = [
        ["ip6tables", "-S"],
        ["ip", "link"],
        ["iptables", "-S"],
        ["iptables", "-t", "nat", "-S"],
        ["ps", "-eo", "args"],
    ]
    said = b"".join(subprocess.run(words, capture_output=True, check=True).stdout for words in told).decode()
    assert engine.bridge.name not in said
    assert engine.bridge.chain not in said
    assert f"{engine.run}/docker.sock" not in said
    assert mounts_below(engine.home) == []
    assert not engine.groups.keys() & {"engine", "commands"}
    assert not list(Path("/sys/fs/cgroup").glob(f"*/lightrail/{engine.groups.name}/commands"))


async def test_what_the_engine_keeps_for_the_next_build_goes_least_recently_used_first_and_images_stay(
    workshop: Workshop, own_engine: OwnEngine
) -> None:
    caches = EngineCaches(own_engine, Remembered(own_engine))
    before = {one.name for one in await caches.measure()}
    await workshop.build({"main.py": "1\n"})
    for size, text in ((3_000_000, "1"), (1_000_000, "1"), (3_000_000, "2")):
        await workshop.build({"Dockerfile": STAGES.format(size=size), "main.py": text})
    found = [one for one in await caches.measure() if one.name not in before]
    large = next(one for one in found if 3_000_000 <= one.size_bytes < 4_000_000)
    small = next(one for one in found if 1_000_000 <= one.size_bytes < 2_000_000)
    assert small.used_at < large.used_at, "the first was taken over last"
    # Room for the larger alone, and for what stands on it.
    going = over(found, sum(one.size_bytes for one in found if one.used_at > small.used_at))
    assert small in going
    assert large not in going
    assert all([await caches.remove(one) for one in going]), "each goes in its turn"
    assert await caches.remove(small), "twice is harmless"
    left = {one.name for one in await caches.measure()}
    assert large.name in left
    assert small.name not in left
    await workshop.build({"Dockerfile": STAGES.format(size=3_000_000), "main.py": "3"})
    assert any("cached" in text for text in workshop.heard.texts("build"))
