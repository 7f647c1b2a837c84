"""Where clouds keep a machine's secrets; each test on a network of its own, where somebody answers at every address."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.sandbox.rig import ROOT

pytestmark = [
    pytest.mark.skipif(not ROOT, reason="only root may make rules and networks"),
    pytest.mark.skipif(not (shutil.which("ip") and shutil.which("iptables")), reason="needs iproute2 and iptables"),
]

SECRET = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254", "fd00:42::42")
PLAIN = ("192.0.2.1", "127.0.0.1", "2001:db8::1")
# Serves on all addresses of this network, sets rules as told, then has a program in a sandbox dial.
SCRIPT = """
import asyncio, subprocess, sys
from pathlib import Path
import uvloop
from libs.sandbox.clouds import guard_secrets, keep_secrets
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Spec

class Quick:
    async def sleep(self, seconds):
        assert seconds <= 60
        await asyncio.sleep(0.05)

class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(b"here", address)

async def answer(reader, writer):
    writer.write(b"here")
    await writer.drain()
    writer.close()

async def hooked():
    words = "-C OUTPUT -m owner --uid-owner 2000000000-2099999999 -j LIGHTRAIL-SECRETS".split()
    for program in ("iptables", "ip6tables"):
        while subprocess.run([program, "-w", *words], capture_output=True).returncode:
            await asyncio.sleep(0.02)

async def keep_over_a_reload():
    keeping = asyncio.create_task(keep_secrets(Quick()))
    async with asyncio.timeout(20):
        await hooked()
        for program in ("iptables", "ip6tables"):
            subprocess.run([program, "-w", "-F"], check=True)
        await hooked()
    keeping.cancel()

async def main(home, verbs, addresses, *argv):
    for words in ("link set lo up", *(f"address add {one} dev lo nodad" for one in addresses.split())):
        subprocess.run(["ip", *words.split()], check=words.startswith("link"), capture_output=True)
    for port in (53, 80):
        await asyncio.start_server(answer, ["0.0.0.0", "::"], port)
        for place in addresses.split():
            await asyncio.get_running_loop().create_datagram_endpoint(Echo, (place, port))
    for verb in verbs.split():
        if verb == "keep":
            await keep_over_a_reload()
        else:
            assert await guard_secrets(opened=verb == "open") == ""
    sandbox, heard = await Sandbox.open(Path(home)), []

    async def hear(stream, chunk):
        heard.append(chunk)

    spec = Spec(argv=argv, env={"PATH": "/usr/bin:/bin"}, cwd="/", mounts=(), owner="test")
    await sandbox.run(spec, output=hear, timeout=20)
    print(b"".join(heard).decode())

uvloop.run(main(*sys.argv[1:]))
"""
# The kernel sends what is bound to an interface there, whatever its routes say.
DIAL = """
import json, socket, sys
found = []
for place, port in json.loads(sys.argv[1]):
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    ways = [(place, family, kind, bound) for kind in ("tcp", "udp") for bound in (False, True)]
    if family == socket.AF_INET:
        ways += [("::ffff:" + place, socket.AF_INET6, "tcp", bound) for bound in (False, True)]
    for address, family, kind, bound in ways:
        with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as one:
            one.settimeout(2)
            try:
                if bound:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
                one.connect((address, port))
                if kind == "udp":
                    one.send(b"hello")
                answered = one.recv(9) == b"here"
            except OSError:
                answered = False
        found.append([place, port, answered])
print(json.dumps(found), flush=True)
"""


def dial(home: Path, verbs: str, *places: tuple[str, int]) -> dict[tuple[str, int], set[bool]]:
    """Whether somebody answered a program in a sandbox there, each way it tried, after the rules were set so."""
    inside = ["/usr/bin/python3", "-c", DIAL, json.dumps(places)]
    argv = ["unshare", "--net", sys.executable, "-c", SCRIPT, str(home), verbs, " ".join((*SECRET, *PLAIN))]
    said = subprocess.run([*argv, *inside], capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    found: dict[tuple[str, int], set[bool]] = {}
    for place, port, answered in json.loads(said.stdout):
        found.setdefault((place, port), set()).add(answered)
    assert len(found) == len(places)
    return found


def test_programs_get_nowhere_where_clouds_keep_secrets_whichever_way_they_try(tmp_path: Path) -> None:
    places = [(place, 80) for place in SECRET]
    assert dial(tmp_path, "close", *places) == {place: {False} for place in places}


def test_names_of_hosts_and_the_rest_of_the_world_are_asked_for_as_before(tmp_path: Path) -> None:
    places = [*((place, 53) for place in SECRET), *((place, 80) for place in PLAIN)]
    assert dial(tmp_path, "close", *places) == {place: {True} for place in places}


def test_rules_may_be_set_twice_and_taken_away_twice(tmp_path: Path) -> None:
    one = (SECRET[0], 80)
    assert dial(tmp_path, "open close close", one) == {one: {False}}
    places = [(place, 80) for place in SECRET]
    assert dial(tmp_path, "close close open open", *places) == {place: {True} for place in places}


def test_who_reloads_a_firewall_opens_them_for_a_minute_only(tmp_path: Path) -> None:
    places = [(SECRET[0], 80), (SECRET[3], 80)]
    assert dial(tmp_path, "keep", *places) == {place: {False} for place in places}


def test_what_cannot_be_closed_is_told_once() -> None:
    words = (
        "import asyncio; from libs.sandbox.clouds import guard_secrets as guard; "
        "told = asyncio.run(guard(opened=False)); asyncio.run(guard(opened=False, told=told))"
    )
    keep = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--reuid=0", "--")
    said = subprocess.run([*keep, sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert (said.stdout + said.stderr).count("metadata.reachable") == 1
    assert "Permission denied" in said.stdout + said.stderr
