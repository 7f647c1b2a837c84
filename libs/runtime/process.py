"""One process of the platform: opens modules in order, runs them, stops them in reverse."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final

from libs.bus import connect
from libs.kernel.clock import Clock
from libs.kernel.errors import Denied
from libs.kernel.secret import Secret
from libs.rpc import Identity, Server
from libs.runtime.host import Host
from libs.runtime.module import Module, in_order
from libs.runtime.opened import Loop, Opened
from libs.runtime.vitals import vitals
from libs.telemetry import get_logger

GRACE_SECONDS: Final = 3.0
# From the first thing that ends, or the wish to stop, to the end of the process; what hangs is cut off then.
LEAVE_SECONDS: Final = 30.0


class Process:
    """Runs the given modules until it is told to stop."""

    def __init__(self, modules: Sequence[Module], environ: Mapping[str, str], clock: Clock) -> None:
        self._modules = in_order({module.name: module for module in modules})
        self._environ = environ
        self._clock = clock
        self._log = get_logger("runtime")
        self._ready = False
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Opens everything, serves until `stopping` is set, then leaves in reverse order.

        A module or loop that fails ends the process with its error: the supervisor starts it again. Leaving takes
        LEAVE_SECONDS at most: half gone, a process serves nobody, and nobody would start it again.
        """
        try:
            await self._run()
        finally:
            faulthandler.cancel_dump_traceback_later()

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            try:
                await self._open(stack)
            finally:
                _hurry()

    async def _open(self, stack: AsyncExitStack) -> None:
        identity = Identity.load(Path(self._environ["LIGHTRAIL_IDENTITY_KEY_FILE"]))
        address = self._environ.get("LIGHTRAIL_METRICS_ADDRESS", "127.0.0.1:0")
        await stack.enter_async_context(vitals(address, lambda: self._ready, partial(self._is_service, identity)))
        bus = await connect(Secret(self._environ["LIGHTRAIL_NATS_URL"]), name="+".join(m.name for m in self._modules))
        stack.push_async_callback(bus.close)
        loops: list[tuple[str, Loop]] = []
        for module in self._modules:
            host = Host(module.name, self._environ, self._clock, identity, bus)
            stack.push_async_callback(host.close)
            opened = await stack.enter_async_context(module.open(host))
            loops += await self._serve(module, host, opened, identity, stack)
            self._log.info("module.opened", module=module.name)
        await self._work(loops)

    def _is_service(self, identity: Identity, credential: str) -> bool:
        try:
            return identity.verify(credential, now=self._clock.now()).kind == "service"
        except Denied:
            return False

    async def _serve(
        self, module: Module, host: Host, opened: Opened, identity: Identity, stack: AsyncExitStack
    ) -> list[tuple[str, Loop]]:
        more_servicers, more_loops = host.facts(opened)
        server = Server(
            host.address(module.name),
            [*opened.servicers, *more_servicers],
            identity=identity,
            exchange=host.exchange,
            clock=self._clock,
        )
        await server.start()
        stack.push_async_callback(server.stop, GRACE_SECONDS)
        return [(module.name, loop) for loop in [*opened.loops, *more_loops]]

    async def _work(self, loops: Sequence[tuple[str, Loop]]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_endless(name, loop), name=f"{name}:{loop}") for name, loop in loops]
            self._ready = True
            self._log.info("process.ready", modules=[module.name for module in self._modules])
            await self.stopping.wait()
            _hurry()
            self._ready = False
            self._log.info("process.stopping")
            for task in tasks:
                task.cancel()


async def _endless(name: str, loop: Loop) -> None:
    try:
        await loop()
    except Exception:
        # Told now: while the others end, and should they not, nobody would know why they have to.
        get_logger("runtime").exception("loop.failed", module=name)
        raise
    finally:
        # Before the others are asked to end: one of them may not be able to.
        _hurry()
    raise RuntimeError(f"a loop of {name} returned: {loop}")


def _hurry() -> None:
    """Ends this process LEAVE_SECONDS from now, with what its threads do on stderr, unless it has ended by then."""
    faulthandler.dump_traceback_later(LEAVE_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr)


def stop_on_signals(process: Process) -> None:
    """Makes SIGTERM and SIGINT an orderly stop."""
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, process.stopping.set)
