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
# Where clouds tell a machine its secrets; nothing else that a build needs is there.
_LINK_LOCAL: Final = "169.254.0.0/16"


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge of one platform; `key` tells it from other platforms'. Needs `ip` and `iptables`, and root."""

    key: str
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """The interface; the kernel allows 15 characters."""
        return f"lrb-{self.key[:8]}"

    @property
    def chain(self) -> str:
        """The chain of rules about packets from and to the bridge."""
        return f"LIGHTRAIL-{self.key[:8]}"

    async def lay(self) -> int:
        """Makes the bridge and its rules, or leaves them, and gives the largest packet that gets out, in bytes.

        Unavailable when that is not possible.
        """
        networks, largest = await self._networks(), await self._largest_packet()
        own = networks.pop(self.name, [])
        taken = (one for others in networks.values() for one in others)
        network = own[0] if own else free_network(taken, start=int(self.key[:2], 16))
        if not own:
            await self._try("ip", "link", "delete", self.name)
            await self._do("ip", "link", "add", self.name, "type", "bridge")
            await self._do("ip", "address", "add", f"{network[1]}/{network.prefixlen}", "dev", self.name)
        await asyncio.to_thread(_one_protocol, self.name)
        await self._do("ip", "link", "set", self.name, "mtu", str(largest), "up")
        await self._try("iptables", "-w", "-N", self.chain)
        await self._do("iptables", "-w", "-F", self.chain)
        for rule in self._passing():
            await self._do("iptables", "-w", "-A", self.chain, *rule)
        for table, chain, rule in self._hooks(network):
            # First of all: another engine on the machine may drop what it does not know.
            if await self._try("iptables", "-w", "-t", table, "-C", chain, *rule) != 0:
                await self._do("iptables", "-w", "-t", table, "-I", chain, *rule)
        return largest

    async def lift(self) -> None:
        """Takes the bridge and its rules away; harmless when they are gone."""
        for network in (await self._networks()).get(self.name, []):
            for table, chain, rule in self._hooks(network):
                await self._try("iptables", "-w", "-t", table, "-D", chain, *rule)
        await self._try("iptables", "-w", "-F", self.chain)
        await self._try("iptables", "-w", "-X", self.chain)
        await self._try("ip", "link", "delete", self.name)

    def _passing(self) -> list[tuple[str, ...]]:
        """Builds reach the outside, the outside only answers."""
        return [
            ("-i", self.name, "-d", _LINK_LOCAL, "-j", "REJECT"),
            ("-i", self.name, "-j", "ACCEPT"),
            ("-o", self.name, "-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT"),
            ("-o", self.name, "-j", "DROP"),
        ]

    def _hooks(self, network: ipaddress.IPv4Network) -> list[tuple[str, str, tuple[str, ...]]]:
        return [
            ("filter", "FORWARD", ("-j", self.chain)),
            # Some clouds answer on an interface of the machine itself.
            ("filter", "INPUT", ("-i", self.name, "-d", _LINK_LOCAL, "-j", "REJECT")),
            ("nat", "POSTROUTING", ("-s", str(network), "!", "-o", self.name, "-j", "MASQUERADE")),
        ]

    async def _networks(self) -> dict[str, list[ipaddress.IPv4Network]]:
        """What each interface of the machine is connected to, and where it leads."""
        found: dict[str, list[ipaddress.IPv4Network]] = {}
        for one in json.loads(await self._do("ip", "-json", "-4", "address")):
            for address in one.get("addr_info", []):
                network = ipaddress.IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
                found.setdefault(one["ifname"], []).append(network)
        for route in json.loads(await self._do("ip", "-json", "-4", "route")):
            if route["dst"] != "default":
                found.setdefault(route.get("dev", ""), []).append(ipaddress.IPv4Network(route["dst"], strict=False))
        return found

    async def _largest_packet(self) -> int:
        """That of the interface that leads outside."""
        ways = [one["dev"] for one in json.loads(await self._do("ip", "-json", "-4", "route", "show", "default"))]
        links = {one["ifname"]: int(one["mtu"]) for one in json.loads(await self._do("ip", "-json", "link"))}
        return min((links[way] for way in ways if way in links), default=_ETHERNET)

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
