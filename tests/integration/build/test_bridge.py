"""The bridge of image builds; each test on a network of its own, as the machine's passes packets on or does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may make networks"),
    pytest.mark.skipif(not (shutil.which("ip") and shutil.which("iptables")), reason="needs iproute2 and iptables"),
]

# Does what the words say, and tells whether packets are passed on and which rules and bridges there are.
SCRIPT = """
import asyncio, json, os, subprocess, sys
from pathlib import Path
from services.build.adapters.images.bridge import Bridge

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")

async def main(words):
    seen = []
    for word in words:
        what, _, key = word.partition(" ")
        if what == "forward":
            FORWARD.write_text(key)
        elif what == "lay":
            await Bridge(key * 16, os.environ).lay("")
        elif what == "link":
            subprocess.run(["ip", "link", "add", key, "type", "bridge"], check=True)
        elif what == "lift":
            await Bridge(key * 16, os.environ).lift()
        tables = [["iptables", "-S"], ["iptables", "-t", "nat", "-S"], ["ip", "link"]]
        said = "".join(subprocess.run(one, capture_output=True, text=True, check=True).stdout for one in tables)
        left = [one for one in "ab" if f"lrb-{one * 8}" in said or f"LIGHTRAIL-{one * 8}" in said]
        if what == "rules":
            seen.append(said.splitlines())
            continue
        seen.append([FORWARD.read_text().strip() == "1", left])
    print(json.dumps(seen))

asyncio.run(main(sys.argv[1:]))
"""


def seen(*words: str) -> list[list[Any]]:
    """What was told after each word."""
    argv = ["unshare", "--net", sys.executable, "-c", SCRIPT, *words]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    return list(json.loads(said.stdout))


def test_machine_that_passed_nothing_on_does_so_only_while_there_is_a_bridge() -> None:
    assert seen("forward 0", "lay a", "lay a", "lift a", "lift a") == [
        [False, []],
        [True, ["a"]],
        [True, ["a"]],
        [False, []],
        [False, []],
    ]


def test_machine_that_passes_packets_on_anyway_goes_on_doing_so() -> None:
    assert seen("forward 1", "lay a", "lift a") == [[True, []], [True, ["a"]], [True, []]]


def test_last_of_two_bridges_ends_it() -> None:
    assert seen("forward 0", "lay a", "lay b", "lift a", "lift b") == [
        [False, []],
        [True, ["a"]],
        [True, ["a", "b"]],
        [True, ["b"]],
        [False, []],
    ]


def test_what_comes_meanwhile_and_passes_packets_on_is_let_alone() -> None:
    # As another engine does when it starts; it need not turn on what is on.
    assert seen("forward 0", "lay a", "link docker0", "lift a")[-1] == [True, []]


def test_between_interfaces_that_were_there_nothing_passes_and_between_later_ones_it_may() -> None:
    words = seen("forward 0", "link one", "link two", "lay a", "link late", "rules a")
    assert [rule for rule in words[-1] if "DROP" in rule and "lrb-" not in rule] == [
        f"-A LIGHTRAIL-aaaaaaaa-C -i {one} -o {other} -j DROP" for one in ("one", "two") for other in ("one", "two")
    ]
