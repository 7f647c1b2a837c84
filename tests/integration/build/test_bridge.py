"""The bridge of image builds; each test on a network of its own, between neighbours who try to reach each other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make networks"),
    pytest.mark.skipif(not (shutil.which("ip") and shutil.which("iptables")), reason="needs iproute2 and iptables"),
]

# Lays the bridges whose keys it is given and lifts those with a dash before, then says how the network is set.
LAY = """
import asyncio, json, os, sys
from pathlib import Path
from services.build.adapters.images.bridge import Bridge

async def main(words):
    for word in words:
        bridge = Bridge(word.lstrip("-") * 16, os.environ)
        await (bridge.lift() if word.startswith("-") else bridge.lay(os.environ.get("ENGINE", "")))
    conf = Path("/proc/sys/net/ipv4/conf")
    print(json.dumps({one.name: int((one / "forwarding").read_text()) for one in conf.iterdir()}))

asyncio.run(main(sys.argv[1:]))
"""
SERVE = """
import socket
server = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
while True:
    server.accept()[0].close()
"""
DIAL = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
    print(0)
except OSError:
    print(1)
"""
OUTSIDE, INSIDE = "198.51.100", "203.0.113"


@dataclass
class Lab:
    """A machine between two neighbours, who serve at port 80: one lies where its default route leads."""

    machine: int
    outside: int
    inside: int

    def run(self, where: int, *words: str) -> str:
        argv = ["nsenter", "--target", str(where), "--net", *words]
        said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert said.returncode == 0, said.stderr
        return said.stdout

    def ip(self, *lines: str, where: int = 0) -> None:
        for line in lines:
            self.run(where or self.machine, "ip", *line.split())

    def bridges(self, *words: str) -> dict[str, int]:
        """Which interfaces pass packets on, after bridges were laid and lifted so."""
        return dict(json.loads(self.run(self.machine, sys.executable, "-c", LAY, *words).splitlines()[-1]))

    def wish(self, name: str, value: int) -> None:
        """What an operator writes."""
        self.run(self.machine, "sysctl", "--quiet", "--write", f"net.ipv4.{name}={value}")

    def reaches(self, where: int, address: str, port: int = 80) -> bool:
        """Whether somebody there is answered."""
        return self.run(where, "/usr/bin/python3", "-c", DIAL, address, str(port)).strip() == "0"

    @property
    def routes(self) -> bool:
        """Whether the machine is a router for its neighbour outside."""
        return self.reaches(self.outside, f"{INSIDE}.2")

    def left(self) -> list[str]:
        """Rules and bridges of builds."""
        tables = (["iptables", "-S"], ["iptables", "-t", "nat", "-S"], ["ip6tables", "-S"], ["ip", "link"])
        said = [self.run(self.machine, *words) for words in tables]
        return [line for text in said for line in text.splitlines() if "LIGHTRAIL" in line or "lrb-" in line]


@contextmanager
def wired() -> Iterator[Lab]:
    holders = [
        subprocess.Popen(["unshare", "--net", "sh", "-c", "echo up; exec sleep 120"], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    servers: list[subprocess.Popen[Any]] = []
    try:
        for one in holders:
            assert one.stdout
            assert one.stdout.readline()
        lab = Lab(*(one.pid for one in holders))
        lab.ip("link set lo up")
        lab.wish("ip_forward", 0)
        for name, net, where in (("out", OUTSIDE, lab.outside), ("in", INSIDE, lab.inside)):
            lab.ip(f"link add {name} type veth peer name wire netns {where}")
            lab.ip(f"address add {net}.1/24 dev {name}", f"link set {name} up")
            lab.ip(f"address add {net}.2/24 dev wire", "link set wire up", where=where)
            lab.ip(f"route add default via {net}.1", where=where)
            argv = ["nsenter", "--target", str(where), "--net", "/usr/bin/python3", "-c", SERVE]
            servers.append(subprocess.Popen(argv, stdout=subprocess.PIPE))
        lab.ip(f"route add default via {OUTSIDE}.2")
        for server in servers:
            assert server.stdout
            assert server.stdout.readline()
        yield lab
    finally:
        for process in (*servers, *holders):
            process.kill()
            process.communicate()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with wired() as made:
        yield made


def command(lab: Lab, key: str) -> int:
    """A command of a build, on the bridge: its network."""
    network = lab.run(lab.machine, "ip", "-json", "-4", "address", "show", "dev", f"lrb-{key * 8}")
    gateway = json.loads(network)[0]["addr_info"][0]["local"]
    # The neighbour inside is it from now on.
    lab.ip(f"link add plug{key} type veth peer name build netns {lab.inside}")
    lab.ip(f"link set plug{key} master lrb-{key * 8} up")
    own = gateway.rsplit(".", 1)[0] + ".9/24"
    lab.ip("route del default", f"address add {own} dev build", "link set build up", where=lab.inside)
    lab.ip(f"route add default via {gateway}", where=lab.inside)
    return lab.inside


def test_builds_reach_the_outside_from_a_machine_that_routes_for_nobody(lab: Lab) -> None:
    assert not lab.reaches(lab.inside, f"{OUTSIDE}.2")
    lab.bridges("a")
    assert lab.reaches(command(lab, "a"), f"{OUTSIDE}.2")


def test_builds_reach_what_does_not_lie_on_the_default_route(lab: Lab) -> None:
    # As a mirror of packages in a network of the machine's own.
    lab.ip("route del default", f"route add default via {INSIDE}.2")
    lab.bridges("a")
    assert lab.reaches(command(lab, "a"), f"{OUTSIDE}.2")


def test_machine_becomes_no_router_for_others_and_its_settings_are_as_they_were(lab: Lab) -> None:
    # The usual hardening; turning on all of a machine's passing on would undo it.
    lab.wish("conf.all.accept_redirects", 0)
    before = lab.bridges()
    assert not lab.routes
    laid = lab.bridges("a", "a")
    assert {name for name, value in laid.items() if value} == {"in", "out", "lrb-aaaaaaaa"}
    assert not lab.routes
    assert lab.bridges("-a", "-a") == before
    assert not lab.routes
    assert lab.left() == []
    assert lab.run(lab.machine, "sysctl", "--values", "net.ipv4.conf.all.accept_redirects") == "0\n"


def test_router_goes_on_routing(lab: Lab) -> None:
    lab.wish("ip_forward", 1)
    before = lab.bridges()
    assert lab.routes
    lab.bridges("a")
    assert lab.routes
    assert lab.bridges("-a") == before
    assert lab.routes


def test_machine_that_routes_by_some_interfaces_goes_on_doing_so(lab: Lab) -> None:
    lab.wish("conf.out.forwarding", 1)
    lab.wish("conf.in.forwarding", 1)
    before = lab.bridges()
    assert lab.routes
    lab.bridges("a")
    assert lab.routes
    assert lab.bridges("-a") == before


def test_of_two_platforms_the_last_one_switches_back(lab: Lab) -> None:
    before = lab.bridges()
    lab.bridges("a", "b")
    assert not lab.routes
    assert lab.bridges("-a")["out"] == 1
    assert not lab.routes
    assert lab.reaches(command(lab, "b"), f"{OUTSIDE}.2")
    assert lab.bridges("-b")["out"] == before["out"] == 0
    assert lab.left() == []


def test_another_engine_that_starts_meanwhile_serves_and_is_left_its_settings(lab: Lab) -> None:
    lab.bridges("a")
    # It brings an interface, has the machine pass packets on, and sends what comes for a port to a program of its own.
    lab.ip(f"link add late type veth peer name own netns {lab.inside}", "address add 192.0.2.1/24 dev late")
    lab.ip("link set late up")
    lab.ip("address add 192.0.2.2/24 dev own", "link set own up", "route del default", where=lab.inside)
    lab.ip("route add default via 192.0.2.1", where=lab.inside)
    lab.wish("ip_forward", 1)
    words = "-t nat -A PREROUTING -i out -p tcp --dport 8080 -j DNAT --to 192.0.2.2:80"
    lab.run(lab.machine, "iptables", *words.split())
    assert lab.reaches(lab.outside, f"{OUTSIDE}.1", 8080)
    assert lab.reaches(lab.inside, f"{OUTSIDE}.2")
    after = lab.bridges("-a")
    assert after["all"] == after["out"] == 1
    assert lab.reaches(lab.outside, f"{OUTSIDE}.1", 8080)


def test_what_fetches_for_builds_gets_nowhere_where_clouds_keep_secrets(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    root = next((words[1] for words in mounts if words[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("the firewall knows programs by control groups of version 2")
    secrets = ("169.254.169.254", "fd00:ec2::254")
    lab.ip(*(f"address add {one} dev lo nodad" for one in (*secrets, "2001:db8::1")))
    argv = ["nsenter", "--target", str(lab.machine), "--net", "/usr/bin/python3", "-c", SERVE]
    group = Path(root, f"lightrail-tests-{os.getpid()}")
    group.mkdir()
    # Reached from the group; or not.
    enter = ("sh", "-ec", 'echo 0 > "$0"; exec "$@"', str(group / "cgroup.procs"), "/usr/bin/python3", "-c", DIAL)
    try:
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
            assert server.stdout
            assert server.stdout.readline()
            monkeypatch.setenv("ENGINE", group.name)
            lab.bridges("a")
            places = (*secrets, "2001:db8::1", f"{OUTSIDE}.2")
            inside = {place: lab.run(lab.machine, *enter, place, "80").strip() == "0" for place in places}
            others = [lab.reaches(lab.machine, place) for place in secrets]
            server.kill()
    finally:
        group.rmdir()
    assert inside == {"169.254.169.254": False, "fd00:ec2::254": False, "2001:db8::1": True, f"{OUTSIDE}.2": True}
    assert others == [True, True], "the machine itself does"


def test_machine_that_routes_but_not_from_outside_is_left_alone_and_it_is_said(lab: Lab) -> None:
    lab.wish("ip_forward", 1)
    lab.wish("conf.out.forwarding", 0)
    argv = ["nsenter", "--target", str(lab.machine), "--net", sys.executable, "-c", LAY, "a"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert "this machine passes packets on, not from out" in said.stderr
