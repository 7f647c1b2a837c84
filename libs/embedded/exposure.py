"""What is reachable from outside this machine: the listening sockets of given processes that are not on loopback."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_LISTEN = "0A"


def open_ports(pids: Iterable[int]) -> list[str]:
    """Returns address:port of each listening TCP socket of these processes that others than this machine can reach.

    Processes that ended, or that this user may not look into, count as having none.
    """
    found = set()
    for address, port in listening(pids):
        # A server on IPv6 may listen on an IPv4 address in IPv6's clothes.
        plain = getattr(address, "ipv4_mapped", None) or address
        if not plain.is_loopback:
            shown = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
            found.add(f"{shown}:{port}")
    return sorted(found)


def listening(pids: Iterable[int]) -> list[tuple[Address, int]]:
    """Returns address and port of every listening TCP socket of these processes."""
    held = {inode for pid in pids for inode in _sockets(pid)}
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):  # a kernel without IPv6 has no tcp6
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and fields[9] in held:
                    host, _, port = fields[1].partition(":")
                    found.append((parse_address(host), int(port, 16)))
    return found


def parse_address(text: str) -> Address:
    """Reads an address as /proc/net writes it: hexadecimal, each four bytes in the machine's order."""
    raw = bytes.fromhex(text)
    words = [raw[place : place + 4][::-1] for place in range(0, len(raw), 4)]
    return ipaddress.ip_address(b"".join(words))


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):  # it ended, or is another user's
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                target = str(entry.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found
