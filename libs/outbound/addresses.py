"""Which addresses may be connected to on a person's word. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from libs.kernel.errors import Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# Prefixes of IPv6 addresses that stand for an IPv4 address: its last 32 bits (NAT64, compatible), or those after the
# first 16 (6to4).
_LAST: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"), ip_network("::/96"))
_SIX_TO_FOUR: Final = ip_network("2002::/16")
# Addresses of cloud providers' own services, and of protocols, that look public.
_SPECIAL: Final = (ip_network("168.63.129.16/32"), ip_network("192.0.0.0/24"), ip_network("fd00:ec2::/32"))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an operator lets people reach although it is not public: hosts by name, with a leading dot all below one."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def names(self, host: str) -> bool:
        """Whether the host itself is allowed, wherever it leads."""
        host = host.lower().rstrip(".")
        return host in self.hosts or any(host.endswith(one) for one in self.hosts if one.startswith("."))


NOTHING: Final = Allowance()


def parse_allowance(text: str) -> Allowance:
    """Reads “git.corp.example, .lab.example, 10.1.0.0/16”. Invalid names the word that is neither."""
    hosts, networks = set(), []
    for word in text.replace(",", " ").split():
        try:
            networks.append(ip_network(word, strict=False))
        except ValueError:
            plain = word.lower().rstrip(".")
            if not plain.strip(".") or not all(c.isalnum() or c in ".-_" for c in plain) or "/" in word:
                raise Invalid(
                    f"“{word[:80]}” is neither a host nor a network.", hint="Write 10.0.0.0/8 or a name."
                ) from None
            hosts.add(plain)
    return Allowance(frozenset(hosts), tuple(networks))


def permitted(address: Address, host: str = "", allowance: Allowance = NOTHING) -> bool:
    """Whether the platform may connect there: it is public, or the operator allows it."""
    if allowance.names(host):
        return True
    meant = [address, *_meant(address)]
    if any(one in network for one in meant for network in allowance.networks if one.version == network.version):
        return True
    return all(_public(one) for one in meant)


def literal(host: str) -> Address | None:
    """The address that a host is written as; None when it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _public(address: Address) -> bool:
    special = address.is_multicast or address.is_unspecified or address.is_reserved or address.is_link_local
    return (
        address.is_global
        and not special
        and not any(address in network for network in _SPECIAL if network.version == address.version)
    )


def _meant(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address leads to in the end."""
    if isinstance(address, IPv4Address):
        return []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    found: list[Address] = []
    if address in _SIX_TO_FOUR:
        found.append(IPv4Address(int(address) >> 80 & 0xFFFFFFFF))
    if address.teredo is not None:
        found += address.teredo
    if any(address in network for network in _LAST):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found
