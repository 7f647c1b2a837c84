"""From a host's name to addresses that may be connected to."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from libs.kernel.errors import Invalid
from libs.outbound.addresses import Allowance, literal, permitted

SECONDS: Final = 10.0


async def resolve(host: str, port: int, allowance: Allowance, *, field: str = "url") -> list[str]:
    """The host's addresses that may be connected to, as literals. Connect to these and to nothing else.

    Invalid when the host is unknown, or leads only to where people may not send the platform.
    """
    given = literal(host)
    if given is not None:
        found = [given]
    else:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SECONDS):
                answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Invalid(
                f"The host {host} was not found.", field=field, hint="Check the address; the platform asks its own DNS."
            ) from error
        addresses = (literal(str(answer[4][0]).partition("%")[0]) for answer in answers)
        found = list(dict.fromkeys(one for one in addresses if one is not None))
    # IPv4 first: a machine without IPv6 has no use for the others.
    good = sorted((one for one in found if permitted(one, host, allowance)), key=lambda one: one.version)
    if not good:
        raise Invalid(
            f"{host} leads into a private network or to the machine itself, where this platform does not connect to.",
            field=field,
            hint="Its operator can allow hosts and networks with LIGHTRAIL_OUTBOUND_ALLOW.",
        )
    return [str(one) for one in good]
