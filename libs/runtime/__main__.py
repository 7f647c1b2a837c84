"""`python -m libs.runtime --target=all`, or one service, or a comma list of them; or `--standby=` one."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from importlib import import_module

import uvloop

from libs.kernel.errors import Failure, Invalid
from libs.runtime.clock import SystemClock
from libs.runtime.host import SERVICES
from libs.runtime.module import Module
from libs.runtime.process import Process, stop_on_signals
from libs.telemetry import configure
from libs.telemetry.traces import start_tracing


def main() -> int:
    """Runs until SIGTERM, a standby until it is relieved; exit code 1 with a sentence when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m libs.runtime", description="Runs services of the platform.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--target", default="all", help=f"all, or a comma list of: {', '.join(SERVICES)}")
    choice.add_argument("--standby", metavar="SERVICE", help="stand in for this service until it is back")
    chosen = parser.parse_args()
    target, standby = chosen.target, chosen.standby
    names = [standby] if standby else list(SERVICES) if target == "all" else target.split(",")
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        parser.error(f"no such service: {', '.join(unknown)}; there are: all, {', '.join(SERVICES)}")
    # Builds and applications run as another account and must reach what is made for them, whoever started this
    # process; what others must not read is given its mode where it is written.
    os.umask(0o022)
    name = f"{standby}-standby" if standby else target
    configure(name)
    start_tracing(name)
    modules = [_module(name) for name in names]
    try:
        uvloop.run(_stand_in(modules[0]) if standby else _run(modules))
    except Failure as failure:
        sys.stderr.write(f"{name} cannot go on: {failure}\n")
        return 1
    return 0


def _module(name: str) -> Module:
    # By name, so that libraries know no service and a process imports only what it runs.
    module = import_module(f"services.{name}.main").MODULE
    if not isinstance(module, Module):
        raise TypeError(f"services.{name}.main.MODULE is no Module")
    return module


async def _run(modules: list[Module]) -> None:
    process = Process(modules, dict(os.environ), SystemClock())
    stop_on_signals(process)
    gc.freeze()
    await process.run()


async def _stand_in(module: Module) -> None:
    if module.standby is None:
        raise Invalid(f"Nothing can stand in for {module.name}.")
    await module.standby(dict(os.environ), SystemClock())


if __name__ == "__main__":
    raise SystemExit(main())
