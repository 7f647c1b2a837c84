"""The network of image builds: a bridge from which the outside is reached, but not the metadata of a cloud."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.kernel.errors import Unavailable
from libs.sandbox.clouds import SECRETS
from services.build.adapters.images.programs import ask

# Networks to choose from: what no other interface or route of the machine overlaps is taken.
_POOL: Final = ipaddress.IPv4Network("10.213.0.0/16")
_PREFIX: Final = 24
_ETHERNET: Final = 1500
_NAMES: Final = "lrb-"
_CHAINS: Final = "LIGHTRAIL-"
_FORWARDING: Final = ("filter", "FORWARD")
_HOOKS: Final = (_FORWARDING, ("filter", "INPUT"), ("filter", "OUTPUT"), ("nat", "POSTROUTING"))
# No hook of the kernel's: what is not passed on. Who has such a chain found a machine that passed nothing on.
_CLOSED: Final = ("filter", "CLOSED")
_FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge of one platform; `key` tells it from other platforms'. Needs `ip` and `iptables`, and root."""

    key: str
    environment: Mapping[str, str]

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
        closed = not await asyncio.to_thread(_forwards) or await self._closed()
        rules_of = self._rules(network, list(ways))
        if closed:
            rules_of = self._closing(await self._others()) | rules_of
            rules_of[_FORWARDING].append(("-j", self._chain(_CLOSED)))
        # Not every kernel tells the packets of one group.
        match = ("-m", "cgroup", "--path", engine)
        if engine and await self._knows(match):
            rules_of["filter", "OUTPUT"] = _secret(match)
        for (table, hook), rules in rules_of.items():
            chain = self._chain((table, hook))
            await self._try("iptables", "-w", "-t", table, "-N", chain)
            await self._do("iptables", "-w", "-t", table, "-F", chain)
            for rule in rules:
                await self._do("iptables", "-w", "-t", table, "-A", chain, *rule)
            # First of all: another engine on the machine may drop what it does not know.
            hooked = (table, hook) == _CLOSED or (
                await self._try("iptables", "-w", "-t", table, "-C", hook, "-j", chain) == 0
            )
            if not hooked:
                await self._do("iptables", "-w", "-t", table, "-I", hook, "-j", chain)
        await asyncio.to_thread(_forward, on=True)
        return largest

    async def lift(self) -> None:
        """Takes the bridge and its rules away; harmless when they are gone. Unavailable without `ip` or `iptables`."""
        await self._try("ip", "link", "delete", self.name)
        # Another's bridge is there because something else passes packets on by now.
        if await self._closed() and not json.loads(await self._do("ip", "-json", "link", "show", "type", "bridge")):
            await asyncio.to_thread(_forward, on=False)
        for table, hook in (*_HOOKS, _CLOSED):
            chain = self._chain((table, hook))
            await self._try("iptables", "-w", "-t", table, "-D", hook, "-j", chain)
            await self._try("iptables", "-w", "-t", table, "-F", chain)
            await self._try("iptables", "-w", "-t", table, "-X", chain)

    def _chain(self, place: tuple[str, str]) -> str:
        return f"{self.chain}-{place[1][0]}"

    def _rules(self, network: ipaddress.IPv4Network, ways: list[str]) -> dict[tuple[str, str], list[tuple[str, ...]]]:
        """Builds reach the outside, which only answers. What else they may reach is the machine's own rules' to say."""
        inwards = ("-i", self.name)
        # Nobody sends in another's name.
        honest: list[tuple[str, ...]] = [(*inwards, "!", "-s", str(network), "-j", "DROP")]
        secret = _secret(inwards)
        answers = ("-o", self.name, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
        passing: list[tuple[str, ...]] = [(*inwards, "-o", way, "-j", "ACCEPT") for way in ways]
        passing += [answers, ("-o", self.name, "-j", "DROP")]
        return {
            _FORWARDING: [*honest, *secret, *passing],
            ("filter", "INPUT"): [*honest, *secret],
            ("nat", "POSTROUTING"): [("-s", str(network), "!", "-o", self.name, "-j", "MASQUERADE")],
        }

    async def _knows(self, match: tuple[str, ...]) -> bool:
        """Whether rules may have this condition."""
        chain = f"{self.chain}-?"
        await self._try("iptables", "-w", "-N", chain)
        known = await self._try("iptables", "-w", "-A", chain, *match, "-j", "RETURN") == 0
        await self._try("iptables", "-w", "-F", chain)
        await self._try("iptables", "-w", "-X", chain)
        return known

    def _closing(self, others: list[str]) -> dict[tuple[str, str], list[tuple[str, ...]]]:
        """What the machine did not pass on before, it does not now; what comes later is for those who bring it."""
        return {_CLOSED: [("-i", one, "-o", other, "-j", "DROP") for one in others for other in others]}

    async def _others(self) -> list[str]:
        """The machine's interfaces but for the bridges of builds, and what is connected to them."""
        links = json.loads(await self._do("ip", "-json", "link"))
        plain = [
            one for one in links if "LOOPBACK" not in one["flags"] and not one.get("master", "").startswith(_NAMES)
        ]
        return [one["ifname"] for one in plain if not one["ifname"].startswith(_NAMES)]

    async def _closed(self) -> bool:
        """Whether the machine passed on no packets before there was a bridge of this or of another platform."""
        said = await self._do("iptables", "-w", "-S")
        return any(re.fullmatch(rf"-N {_CHAINS}\w+-C", line) for line in said.splitlines())

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


def _secret(whose: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Where secrets are only names of hosts are asked for."""
    asking = [
        (*whose, "-d", place, "-p", protocol, "--dport", "53", "-j", "ACCEPT")
        for place in SECRETS
        for protocol in ("udp", "tcp")
    ]
    return [*asking, *((*whose, "-d", place, "-j", "REJECT") for place in SECRETS)]


def _forwards() -> bool:
    return _FORWARD.read_text(encoding="ascii").strip() != "0"


def _forward(*, on: bool) -> None:
    """Lets the machine pass packets on, or not."""
    if _forwards() != on:
        _FORWARD.write_text("1" if on else "0", encoding="ascii")
