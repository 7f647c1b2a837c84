"""Chooses the start command: the person's word before the Procfile's, before what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from libs.plans.faults import BuildFault
from libs.plans.plan import PlanSettings
from libs.plans.procfile import read_procfile
from libs.plans.tree import Tree

Kind = Literal["web", "worker"]


@dataclass(frozen=True, slots=True)
class Start:
    """A start command, who said so, and whether the result is a web service or a worker."""

    command: str
    source: str
    kind: Kind
    framework: str = ""
    # Nobody said so: the source shows it.
    detected: bool = True


def choose_start(tree: Tree, settings: PlanSettings, found: Callable[[], Start | None], *, looked_for: str) -> Start:
    """The start command that counts. BuildFault saying what to add when there is none."""
    processes = read_procfile(tree)
    kind = _kind(settings, processes)
    if settings.start_command:
        return Start(settings.start_command, settings.said_by("start_command"), kind, detected=False)
    if kind in processes:
        return Start(processes[kind], f"Procfile ({kind})", kind, detected=False)
    others = [name for name in processes if name not in {"web", "worker", "release"}]
    if len(others) == 1 and len(processes) == len({"release", others[0]} & processes.keys()):
        return Start(processes[others[0]], f"Procfile ({others[0]})", kind, detected=False)
    detected = found()
    if detected is None:
        raise BuildFault(
            "There is no start command. "
            f"Looked for: the setting start_command, a Procfile with “{kind}: …”, {looked_for}.",
            hint=f"Add a Procfile with the line “{kind}: <your command>”, or set start_command.",
        )
    return Start(detected.command, detected.source, kind, detected.framework)


def _kind(settings: PlanSettings, processes: dict[str, str]) -> Kind:
    if settings.kind == "worker":
        return "worker"
    if settings.kind == "web":
        return "web"
    if settings.kind:
        raise BuildFault(f"“{settings.kind}” is no kind of service.", field="kind", hint="Use web or worker.")
    return "worker" if "worker" in processes and "web" not in processes and not settings.start_command else "web"
