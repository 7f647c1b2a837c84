"""Where clouds tell a machine its secrets, and the kernel's rules that keep programs in sandboxes from there."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from libs.sandbox.bwrap import CLEAN_ENV
from libs.sandbox.owners import span
from libs.telemetry import get_logger

# Nearly all clouds in the first network; Alibaba, Azure, Oracle.
SECRETS: Final = ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
# Amazon, Google, Oracle; OpenStack.
_SECRETS_6: Final = ("fd00:ec2::/32", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "fe80::a9fe:a9fe/128")
# Before all that others route by, but behind the machine's own addresses.
_ASKING, _CLOSED = 510, 511
_SECONDS: Final = 10.0
_HARMLESS: Final = ("File exists", "No such file or directory", "Command failed")


async def guard_secrets(*, opened: bool) -> None:
    """No program that runs for an owner gets there any more, but to ask for names of hosts; `opened`: all do again.

    The rules concern nobody but the uids of owners and stay until the machine starts again. Harmless twice. Only root
    may make them, and only root's sandboxes have owners' uids; where they cannot be made, the log says so.
    """
    log = get_logger("sandbox")
    if os.geteuid() != 0:
        log.info("metadata.reachable", reason="only root may close it")
        return
    said = await _change("delete" if opened else "add")
    if said:
        log.warning("metadata.reachable", reason=said)


async def _change(verb: str) -> str:
    """What went wrong; empty: nothing."""
    program = shutil.which("ip", path=CLEAN_ENV["PATH"])
    if program is None:
        return "the program ip is missing"
    first, count = span()
    owners = f"uidrange {first}-{first + count - 1}"
    said = await _batch(program, "-4", _rules(verb, SECRETS, owners))
    if not said and Path("/proc/sys/net/ipv6").exists():  # noqa: ASYNC240 - no disk
        said = await _batch(program, "-6", _rules(verb, _SECRETS_6, owners))
    return said


def _rules(verb: str, places: tuple[str, ...], owners: str) -> str:
    lines = []
    for place in places:
        # Networks of some clouds have their name server there. Who marks a rule as the kernel's has it left alone by
        # systemd-networkd, which removes those that it does not know.
        ways = [f"ipproto {protocol} dport 53 lookup main priority {_ASKING}" for protocol in ("udp", "tcp")]
        ways.append(f"prohibit priority {_CLOSED}")
        lines += [f"rule {verb} to {place} {owners} {way} protocol kernel\n" for way in ways]
    return "".join(lines)


async def _batch(program: str, family: str, lines: str) -> str:
    """What `ip` complains of, but for rules that are there, or gone, already."""
    process = await asyncio.create_subprocess_exec(
        *(program, family, "-force", "-batch", "-"),
        env=CLEAN_ENV,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_SECONDS):
            _, said = await process.communicate(lines.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        return "ip did not answer"
    complaints = [line for line in said.decode(errors="replace").splitlines() if not _harmless(line)]
    return complaints[0] if complaints else ""


def _harmless(line: str) -> bool:
    return any(words in line for words in _HARMLESS)
