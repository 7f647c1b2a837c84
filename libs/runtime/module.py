"""A service as the runtime knows it: its name, what it needs, and how it opens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from libs.kernel.clock import Clock
from libs.runtime.host import Host
from libs.runtime.opened import Opened


@dataclass(frozen=True, slots=True)
class Module:
    """A service. It starts after what it needs and stops before it."""

    name: str
    open: Callable[[Host], AbstractAsyncContextManager[Opened]]
    needs: tuple[str, ...] = field(default=())
    # What a process of its own may do for the service while that is away, with its environment; returns when it is
    # back.
    standby: Callable[[Mapping[str, str], Clock], Awaitable[None]] | None = None


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
