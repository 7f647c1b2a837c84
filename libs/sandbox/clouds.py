"""Where clouds tell a machine its secrets, and the firewall's rules that keep programs in sandboxes from there."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Final

from libs.kernel.clock import Clock
from libs.sandbox import spawn
from libs.sandbox.bwrap import CLEAN_ENV
from libs.sandbox.owners import span
from libs.telemetry import get_logger

# Nearly all clouds in the first network; Alibaba, Azure, Oracle.
_SECRETS: Final = ("169.254.0.0/16", "100.100.100.200", "168.63.129.16", "192.0.0.192")
# Amazon, Google, Oracle, Scaleway; OpenStack.
_SECRETS_6: Final = ("fd00:ec2::/32", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fe80::a9fe:a9fe")
_CHAIN: Final = "LIGHTRAIL-SECRETS"
_SECONDS: Final = 20.0
_EVERY: Final = 60.0


def firewalls() -> dict[str, tuple[str, ...]]:
    """The programs that say which packets may leave this machine, each with the places where clouds keep secrets."""
    has_six = Path("/proc/sys/net/ipv6").exists()
    return {"iptables": _SECRETS} | ({"ip6tables": _SECRETS_6} if has_six else {})


def no_secrets(places: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Rules that let nothing through to these places but questions for names: some clouds have their server there."""
    where = ("-d", ",".join(places))
    return [*(("-p", one, "--dport", "53", *where, "-j", "RETURN") for one in ("udp", "tcp")), (*where, "-j", "REJECT")]


async def guard_secrets(*, opened: bool, told: str = "") -> str:
    """No program that runs for an owner gets there any more, but to ask for names of hosts; `opened`: all do again.

    Rules, and with them `opened`, are for all platforms of the machine, and concern nobody but uids of owners. They
    stay until the machine starts again. Only root may make them, and only root's sandboxes have owners' uids; where
    they cannot be made, the log says so, unless it is what was `told` before. Gives what it says. Harmless twice.
    """
    root = os.geteuid() == 0
    said = await _change(opened=opened) if root else "only root may close it"
    if said and said != told:
        log = get_logger("sandbox")
        (log.warning if root else log.info)("metadata.reachable", reason=said)
    return said


async def keep_secrets(clock: Clock) -> None:
    """Closes these places again and again: who reloads a firewall opens them. Returns only when cancelled."""
    told = await guard_secrets(opened=False)
    while True:
        await clock.sleep(_EVERY)
        told = await guard_secrets(opened=False, told=told)


async def _change(*, opened: bool) -> str:
    """What went wrong; empty: nothing."""
    first, count = span()
    hook = ("OUTPUT", "-m", "owner", "--uid-owner", f"{first}-{first + count - 1}", "-j", _CHAIN)
    wrong = []
    for program, places in firewalls().items():
        try:
            said = await (_open(program, hook) if opened else _close(program, places, hook))
        except (OSError, TimeoutError) as error:
            said = str(error) or "it did not answer"
        wrong += [f"{program}: {said}"] if said else []
    return "; ".join(wrong)


async def _close(program: str, places: tuple[str, ...], hook: tuple[str, ...]) -> str:
    code, _ = await _run(program, "-w", "-C", *hook)
    if code == 0:
        return ""
    rules = "".join(f"-A {_CHAIN} {' '.join(rule)}\n" for rule in no_secrets(places))
    # All of them at once: there is never half a chain.
    code, said = await _run(
        f"{program}-restore", "-w", "--noflush", heard=f"*filter\n:{_CHAIN} - [0:0]\n{rules}COMMIT\n"
    )
    if code == 0:
        # First of all: what the machine lets through otherwise comes behind.
        code, said = await _run(program, "-w", "-I", *hook)
    return said if code else ""


async def _open(program: str, hook: tuple[str, ...]) -> str:
    while (await _run(program, "-w", "-D", *hook))[0] == 0:
        pass
    await _run(program, "-w", "-F", _CHAIN)
    await _run(program, "-w", "-X", _CHAIN)
    return ""


async def _run(program: str, *words: str, heard: str = "") -> tuple[int, str]:
    """Its exit code and the last line of its complaint."""
    found = shutil.which(program, path=CLEAN_ENV["PATH"])
    if found is None:
        raise FileNotFoundError(f"the program {program} is missing")
    text = spawn.text_file(heard.encode())
    try:
        process = await asyncio.create_subprocess_exec(
            *(found, *words),
            env=CLEAN_ENV,
            stdin=text,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    finally:
        os.close(text)
    try:
        async with asyncio.timeout(_SECONDS):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = said.decode(errors="replace").strip().splitlines()
    return process.returncode or 0, lines[-1] if lines else f"it ended with {process.returncode}"
