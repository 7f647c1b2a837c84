"""The network of image builds: a bridge from which the outside is reached, but not the metadata of a cloud."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from libs.kernel.errors import Unavailable
from libs.sandbox.clouds import firewalls, no_secrets
from libs.telemetry import get_logger
from services.build.adapters.images.programs import ask

# Networks to choose from: what no other interface or route of the machine overlaps is taken.
_POOL: Final = ipaddress.IPv4Network("10.213.0.0/16")
_PREFIX: Final = 24
_ETHERNET: Final = 1500
_NAMES: Final = "lrb-"
_CHAINS: Final = "LIGHTRAIL-"
_OUTPUT: Final = ("filter", "OUTPUT")
_HOOKS: Final = (("filter", "FORWARD"), ("filter", "INPUT"), _OUTPUT, ("nat", "POSTROUTING"))
# No hook of the kernel's: others go there.
_SECRETS: Final = ("filter", "SECRETS")
# Of what begins outside, and is not sent on to a program by an engine, none passes to networks of others.
_STRANGERS: Final = ("-m", "conntrack", "!", "--ctstate", "ESTABLISHED,RELATED,DNAT", "-j", "DROP")
_OPENED: Final = re.compile(rf"-A ({_CHAINS}\w+)-F -i (\S+) ! -o {_NAMES}\+ .*-j DROP")
_SETTINGS: Final = Path("/proc/sys/net/ipv4/conf")

Rule = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge of one platform; `key` tells it from other platforms'. Needs `ip` and `iptables`, and root.

    The machine as a whole passes on what it did before, and its own settings stay: its interfaces are
    switched to pass packets on, each with a rule beside it that nothing passes but builds' own.
    """

    key: str
    environment: Mapping[str, str]
    _log: Any = field(default_factory=lambda: get_logger("engine"))

    @property
    def name(self) -> str:
        """The interface; the kernel allows 15 characters."""
        return f"{_NAMES}{self.key[:8]}"

    @property
    def chain(self) -> str:
        """What names of chains of rules begin with, one for each hook; iptables allows 28 characters."""
        return f"{_CHAINS}{self.key[:8]}"

    async def lay(self, engine: str) -> int:
        """Makes the bridge and its rules, or leaves them, and gives the largest packet that gets out, in bytes.

        `engine` is the control group of what fetches for builds on the machine's own network; empty: none is known.
        Unavailable when that is not possible.
        """
        networks, ways = await self._networks(), await self._ways()
        own = networks.pop(self.name, [])
        taken = (one for others in networks.values() for one in others)
        network = own[0] if own else free_network(taken, start=int(self.key[:2], 16))
        largest = min(ways.values(), default=_ETHERNET)
        if not own:
            await self._try("ip", "link", "delete", self.name)
            await self._do("ip", "link", "add", self.name, "type", "bridge")
            await self._do("ip", "address", "add", f"{network[1]}/{network.prefixlen}", "dev", self.name)
        await asyncio.to_thread(_one_protocol, self.name)
        await self._do("ip", "link", "set", self.name, "mtu", str(largest), "up")
        shut = await self._shut(list(ways))
        await self._close(engine)
        for place, rules in self._rules(network, list(ways), shut).items():
            await self._set("iptables", place, rules)
        for name in (self.name, *shut):
            await asyncio.to_thread(_pass_on, name, on=True)
        return largest

    async def lift(self) -> None:
        """Takes the bridge and its rules away; harmless when they are gone. Unavailable without `ip` or `iptables`."""
        await self._try("ip", "link", "delete", self.name)
        opened = await self._opened()
        own = {way for chain, way in opened if chain == self.chain}
        others = {way for chain, way in opened if chain != self.chain}
        # Who had the whole machine pass packets on meanwhile wants this one to do so as well.
        if not _passes_on("all"):
            for way in sorted(own - others):
                await asyncio.to_thread(_pass_on, way, on=False)
        for program in firewalls():
            for table, hook in (*_HOOKS, _SECRETS):
                chain = self._chain(hook)
                await self._try(program, "-w", "-t", table, "-D", hook, "-j", chain)
                await self._try(program, "-w", "-t", table, "-F", chain)
                await self._try(program, "-w", "-t", table, "-X", chain)

    def _chain(self, hook: str) -> str:
        return f"{self.chain}-{hook[0]}"

    def _rules(
        self, network: ipaddress.IPv4Network, ways: list[str], shut: list[str]
    ) -> dict[tuple[str, str], list[Rule]]:
        """Builds reach the outside, which only answers. What else they may reach is the machine's own rules' to say."""
        inwards = ("-i", self.name)
        # Nobody sends in another's name.
        honest: list[Rule] = [(*inwards, "!", "-s", str(network), "-j", "DROP")]
        honest += [(*inwards, "-j", self._chain(_SECRETS[1]))]
        answers = ("-o", self.name, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
        passing: list[Rule] = [(*inwards, "-o", way, "-j", "ACCEPT") for way in ways]
        passing += [answers, ("-o", self.name, "-j", "DROP")]
        passing += [("-i", way, "!", "-o", f"{_NAMES}+", *_STRANGERS) for way in shut]
        return {
            ("filter", "FORWARD"): [*honest, *passing],
            ("filter", "INPUT"): honest,
            ("nat", "POSTROUTING"): [("-s", str(network), "!", "-o", self.name, "-j", "MASQUERADE")],
        }

    async def _close(self, engine: str) -> None:
        """Neither builds nor what fetches for them gets where clouds keep secrets, as far as the kernel can tell."""
        secrets, output = self._chain(_SECRETS[1]), self._chain(_OUTPUT[1])
        for program, places in firewalls().items():
            reason = "" if engine else "control groups of version 2 are not mounted"
            try:
                await self._set(program, _SECRETS, no_secrets(places))
                await self._set(program, _OUTPUT, [])
                # Not every kernel tells the packets of one group.
                if engine:
                    await self._do(program, "-w", "-A", output, "-m", "cgroup", "--path", engine, "-j", secrets)
            except Unavailable as error:
                reason = str(error)
            if reason:
                self._log.warning("metadata.reachable", by="container engine", program=program, reason=reason)

    async def _set(self, program: str, place: tuple[str, str], rules: list[Rule]) -> None:
        """Makes a chain with these rules, and has the kernel ask it first."""
        (table, hook), chain = place, self._chain(place[1])
        await self._try(program, "-w", "-t", table, "-N", chain)
        await self._do(program, "-w", "-t", table, "-F", chain)
        for rule in rules:
            await self._do(program, "-w", "-t", table, "-A", chain, *rule)
        # First of all: another engine on the machine may drop what it does not know.
        hooked = place == _SECRETS or await self._try(program, "-w", "-t", table, "-C", hook, "-j", chain) == 0
        if not hooked:
            await self._do(program, "-w", "-t", table, "-I", hook, "-j", chain)

    async def _shut(self, ways: list[str]) -> list[str]:
        """The machine's interfaces that pass on nothing but for bridges of builds, and lead builds to what is there."""
        links = json.loads(await self._do("ip", "-json", "link"))
        names = [one["ifname"] for one in links if "LOOPBACK" not in one["flags"] and "master" not in one]
        plain = [name for name in names if not name.startswith(_NAMES)]
        shut = [name for name in plain if not _passes_on(name)]
        if _passes_on("all"):
            # Those that do not are so by somebody's wish.
            for way in sorted({*ways} & {*shut}):
                raise Unavailable(
                    f"The network of image builds could not be made: this machine passes packets on, not from {way}.",
                    hint=f"Let it ({_SETTINGS / way / 'forwarding'}), or have LIGHTRAIL_IMAGE_BUILD_NETWORK=host set.",
                )
            return []
        opened = {name for _, name in await self._opened()}
        return [name for name in plain if name in shut or name in opened]

    async def _opened(self) -> set[tuple[str, str]]:
        """The interfaces that were switched to pass packets on, with the names of those who did."""
        said = await self._do("iptables", "-w", "-S")
        return {(found[1], found[2]) for found in map(_OPENED.match, said.splitlines()) if found}

    async def _networks(self) -> dict[str, list[ipaddress.IPv4Network]]:
        """What each interface of the machine is connected to, and where it leads."""
        found: dict[str, list[ipaddress.IPv4Network]] = {}
        for one in json.loads(await self._do("ip", "-json", "-4", "address")):
            for address in one.get("addr_info", []):
                network = ipaddress.IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
                found.setdefault(one["ifname"], []).append(network)
        for route in json.loads(await self._do("ip", "-json", "-4", "route")):
            network = ipaddress.IPv4Network(route["dst"] if route["dst"] != "default" else "0.0.0.0/0", strict=False)
            # What leads to half the world is not in use as a whole.
            if network.prefixlen >= _POOL.prefixlen:
                found.setdefault(route.get("dev", ""), []).append(network)
        return found

    async def _ways(self) -> dict[str, int]:
        """The interfaces that lead outside, with the largest packet of each."""
        ways = json.loads(await self._do("ip", "-json", "-4", "route", "show", "default"))
        names = {hop["dev"] for one in ways for hop in (one, *one.get("nexthops", [])) if "dev" in hop}
        links = {one["ifname"]: int(one["mtu"]) for one in json.loads(await self._do("ip", "-json", "link"))}
        return {name: links[name] for name in sorted(names) if name in links}

    async def _do(self, *argv: str) -> str:
        said = await ask(argv, self.environment)
        if said.code != 0:
            raise Unavailable(
                f"The network of image builds could not be made: {shlex.join(argv)}: {said.err.strip()[-300:]}",
                hint="Have LIGHTRAIL_IMAGE_BUILD_NETWORK=host set to build on the machine's own network instead.",
            )
        return said.out

    async def _try(self, *argv: str) -> int:
        return (await ask(argv, self.environment)).code


def free_network(taken: Iterable[ipaddress.IPv4Network], *, start: int = 0) -> ipaddress.IPv4Network:
    """A network of the pool that overlaps none of these, looked for from the start-th on. Unavailable without one."""
    others, pool = list(taken), list(_POOL.subnets(new_prefix=_PREFIX))
    for network in pool[start:] + pool[:start]:
        if not any(network.overlaps(one) for one in others):
            return network
    raise Unavailable(
        f"The network of image builds could not be made: all of {_POOL} is in use on this machine.",
        hint="Have LIGHTRAIL_IMAGE_BUILD_NETWORK=host set to build on the machine's own network instead.",
    )


def _one_protocol(name: str) -> None:
    """Turns IPv6 off on the bridge: the machine would be reached beside the rules, by addresses that need no route."""
    switch = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
    if switch.exists():
        switch.write_text("1", encoding="ascii")


def _passes_on(name: str) -> bool:
    """Whether packets that come in by this interface are passed on; all: whether those of any."""
    switch = _SETTINGS / name / "forwarding"
    return switch.exists() and switch.read_text(encoding="ascii").strip() != "0"


def _pass_on(name: str, *, on: bool) -> None:
    switch = _SETTINGS / name / "forwarding"
    if switch.exists() and _passes_on(name) != on:
        switch.write_text("1" if on else "0", encoding="ascii")
