"""The network of image builds: a bridge from which the outside is reached, but not the metadata of a cloud."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.kernel.errors import Unavailable
from services.build.adapters.images.programs import ask

# Networks to choose from: what no other interface or route of the machine overlaps is taken.
_POOL: Final = ipaddress.IPv4Network("10.213.0.0/16")
_PREFIX: Final = 24
_ETHERNET: Final = 1500
# Where clouds tell a machine its secrets: nearly all of them in the first network; Alibaba, Azure, Oracle.
_SECRETS: Final = ("169.254.0.0/16", "100.100.100.200", "168.63.129.16", "192.0.0.192")
_NAMES: Final = "lrb-"
_HOOKS: Final = (("filter", "FORWARD"), ("filter", "INPUT"), ("filter", "OUTPUT"), ("nat", "POSTROUTING"))
# What is neither from a bridge of builds nor to one is not passed on.
_OTHERS: Final = ("!", "-i", f"{_NAMES}+", "!", "-o", f"{_NAMES}+", "-j", "DROP")
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
        return f"LIGHTRAIL-{self.key[:8]}"

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
        closed = not await asyncio.to_thread(_forwards) or await self._shuts()
        rules_of = self._rules(network, list(ways), closed=closed)
        # Not every kernel tells the packets of one group.
        match = ("-m", "cgroup", "--path", engine)
        if engine and await self._knows(match):
            rules_of["filter", "OUTPUT"] = _secret(match)
        for (table, hook), rules in rules_of.items():
            chain = f"{self.chain}-{hook[0]}"
            await self._try("iptables", "-w", "-t", table, "-N", chain)
            await self._do("iptables", "-w", "-t", table, "-F", chain)
            for rule in rules:
                await self._do("iptables", "-w", "-t", table, "-A", chain, *rule)
            # First of all: another engine on the machine may drop what it does not know.
            if await self._try("iptables", "-w", "-t", table, "-C", hook, "-j", chain) != 0:
                await self._do("iptables", "-w", "-t", table, "-I", hook, "-j", chain)
        await asyncio.to_thread(_forward, on=True)
        return largest

    async def lift(self) -> None:
        """Takes the bridge and its rules away; harmless when they are gone. Unavailable without `ip` or `iptables`."""
        await self._try("ip", "link", "delete", self.name)
        others = [one["ifname"] for one in json.loads(await self._do("ip", "-json", "link"))]
        if await self._shuts() and not any(name.startswith(_NAMES) for name in others):
            await asyncio.to_thread(_forward, on=False)
        for table, hook in _HOOKS:
            chain = f"{self.chain}-{hook[0]}"
            await self._try("iptables", "-w", "-t", table, "-D", hook, "-j", chain)
            await self._try("iptables", "-w", "-t", table, "-F", chain)
            await self._try("iptables", "-w", "-t", table, "-X", chain)

    def _rules(
        self, network: ipaddress.IPv4Network, ways: list[str], *, closed: bool
    ) -> dict[tuple[str, str], list[tuple[str, ...]]]:
        """Builds reach the outside, which only answers. What else they may reach is the machine's own rules' to say."""
        inwards = ("-i", self.name)
        # Nobody sends in another's name.
        honest: list[tuple[str, ...]] = [(*inwards, "!", "-s", str(network), "-j", "DROP")]
        secret = _secret(inwards)
        answers = ("-o", self.name, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
        passing: list[tuple[str, ...]] = [(*inwards, "-o", way, "-j", "ACCEPT") for way in ways]
        passing += [answers, ("-o", self.name, "-j", "DROP")]
        return {
            ("filter", "FORWARD"): [*honest, *secret, *passing, *([_OTHERS] if closed else [])],
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

    async def _shuts(self) -> bool:
        """Whether the machine passed on no packets before there was a bridge: then it is for builds' alone."""
        return await self._try("iptables", "-w", "-C", f"{self.chain}-F", *_OTHERS) == 0

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
        for place in _SECRETS
        for protocol in ("udp", "tcp")
    ]
    return [*asking, *((*whose, "-d", place, "-j", "REJECT") for place in _SECRETS)]


def _forwards() -> bool:
    return _FORWARD.read_text(encoding="ascii").strip() != "0"


def _forward(*, on: bool) -> None:
    """Lets the machine pass packets on, or not."""
    if _forwards() != on:
        _FORWARD.write_text("1" if on else "0", encoding="ascii")
