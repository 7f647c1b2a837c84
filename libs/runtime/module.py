"""What a service gives the runtime: its name, what it needs, and how it opens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from libs.facts import Handler

if TYPE_CHECKING:
    from libs.runtime.host import Host

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


@dataclass(frozen=True, slots=True)
class Module:
    """A service. It starts after what it needs and stops before it."""

    name: str
    open: Callable[[Host], AbstractAsyncContextManager[Opened]]
    needs: tuple[str, ...] = field(default=())


def in_order(modules: Mapping[str, Module]) -> list[Module]:
    """The modules, each after what it needs; needs outside of the mapping run elsewhere."""
    done: list[Module] = []
    names: set[str] = set()

    def add(module: Module, path: tuple[str, ...]) -> None:
        if module.name in path:
            raise ValueError(f"modules need each other in a circle: {' → '.join((*path, module.name))}")
        if module.name in names:
            return
        for need in module.needs:
            if need in modules:
                add(modules[need], (*path, module.name))
        names.add(module.name)
        done.append(module)

    for module in modules.values():
        add(module, ())
    return done
