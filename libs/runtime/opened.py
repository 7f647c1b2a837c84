"""What a service gives the runtime once it is open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from libs.facts import Handler

Loop = Callable[[], Awaitable[None]]
Servicer = tuple[Callable[[Any, grpc.aio.Server], None], object]


@dataclass(frozen=True, slots=True)
class Follow:
    """Reactions to one source's facts, by subject."""

    source: str
    reactions: Mapping[str, Handler]


@dataclass(frozen=True, slots=True)
class Opened:
    """A service that is ready to serve."""

    # Each servicer behind the generated function that adds it to a server.
    servicers: Sequence[Servicer] = ()
    # Each runs until cancelled; one that returns is a fault.
    loops: Sequence[Loop] = ()
    follows: Sequence[Follow] = ()
