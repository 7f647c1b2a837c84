"""Where clouds keep a machine's secrets; each test on a network of its own, where every address has a way."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.sandbox.rig import ROOT

pytestmark = [
    pytest.mark.skipif(not ROOT, reason="only root may make rules and networks"),
    pytest.mark.skipif(not shutil.which("ip"), reason="needs iproute2"),
]

LAY = "ip link set lo up && ip route add default dev lo && ip -6 route add default dev lo metric 1"
# Sets rules as told, then has a program in a sandbox dial.
SCRIPT = """
import asyncio, sys
from pathlib import Path
from libs.sandbox.clouds import guard_secrets
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Spec

async def main(home, verbs, *argv):
    for verb in verbs.split():
        await guard_secrets(opened=verb == "open")
    sandbox, heard = await Sandbox.open(Path(home)), []

    async def hear(stream, chunk):
        heard.append(chunk)

    spec = Spec(argv=argv, env={"PATH": "/usr/bin:/bin"}, cwd="/", mounts=(), owner="test")
    await sandbox.run(spec, output=hear, timeout=20)
    print(b"".join(heard).decode())

asyncio.run(main(*sys.argv[1:]))
"""
DIAL = """
import json, socket, sys
found = {}
for place, port in json.loads(sys.argv[1]):
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    for kind, name in ((socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")):
        with socket.socket(family, kind) as one:
            one.settimeout(0)
            found[f"{place} {port} {name}"] = one.connect_ex((place, port))
print(json.dumps(found), flush=True)
"""
SECRET = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")


def dial(home: Path, verbs: str, *places: tuple[str, int]) -> set[str]:
    """Which of these a program in a sandbox may not connect to, after the rules were set so."""
    inside = ["/usr/bin/python3", "-c", DIAL, json.dumps(places)]
    argv = ["unshare", "--net", "sh", "-ec", f'{LAY}; exec "$@"', "sh", sys.executable, "-c", SCRIPT, str(home), verbs]
    said = subprocess.run([*argv, *inside], capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert len(found) == 2 * len(places)
    return {place for place, code in found.items() if code == errno.EACCES}


def test_programs_get_nowhere_where_clouds_keep_secrets(tmp_path: Path) -> None:
    closed = dial(tmp_path, "close", *((place, 80) for place in SECRET))
    assert closed == {f"{place} 80 {kind}" for place in SECRET for kind in ("udp", "tcp")}


def test_names_of_hosts_and_the_rest_of_the_world_are_asked_for_as_before(tmp_path: Path) -> None:
    places = [*((place, 53) for place in SECRET), ("192.0.2.1", 80), ("127.0.0.1", 80), ("2001:db8::1", 443)]
    assert dial(tmp_path, "close", *places) == set()


def test_rules_may_be_set_twice_and_taken_away_twice(tmp_path: Path) -> None:
    assert len(dial(tmp_path, "open close close", (SECRET[0], 80))) == 2
    assert dial(tmp_path, "close open open", *((place, 80) for place in SECRET)) == set()


def test_what_cannot_be_closed_is_told() -> None:
    words = "import asyncio; from libs.sandbox.clouds import guard_secrets; asyncio.run(guard_secrets(opened=False))"
    keep = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--reuid=0", "--")
    said = subprocess.run([*keep, sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "metadata.reachable" in said.stdout + said.stderr
    assert "Operation not permitted" in said.stdout + said.stderr
