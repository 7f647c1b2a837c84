"""What was used, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound
from libs.kernel.units import MicroUSD
from services.metering.app.ports import Parts, Question
from services.metering.domain.model import Place, Use
from services.metering.domain.pricing import cost, total
from services.metering.domain.window import Window, window


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks: empty ids do not narrow, except that no workspace means their only one."""

    workspace_id: str = ""
    project_id: str = ""
    service_id: str = ""
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The use of one service in one environment, and its cost at today's prices."""

    place: Place
    use: Use
    cost: MicroUSD


@dataclass(frozen=True, slots=True)
class Bill:
    """All lines of a window; the total is their sum as printed."""

    lines: tuple[Line, ...]
    total: MicroUSD
    window: Window


async def query_usage(ctx: Ctx, parts: Parts, asked: Asked) -> Bill:
    """Returns the use in a window. A credential bound to a project or environment sees only that.

    NotFound for a workspace, project or service that is not the caller's to see; Invalid for an impossible window.
    """
    minutes = window(asked.start, asked.end, parts.clock.now())
    project_id, workspace_id = await _narrowed(ctx, parts, asked)
    workspace_id = ctx.only_workspace(workspace_id)
    ctx.allow(workspace_id, project_id, what=f"Project {project_id[:64]}")
    question = Question(
        tenants=ctx.workspaces,
        workspace_id=workspace_id,
        project_id=project_id,
        environment_id=ctx.actor.environment_id,
        service_id=asked.service_id,
        window=minutes,
    )
    prices = await parts.prices.prices()
    lines = tuple(Line(place, use, cost(use, prices)) for place, use in await parts.samples.sums(question))
    return Bill(lines, total(line.cost for line in lines), minutes)


async def _narrowed(ctx: Ctx, parts: Parts, asked: Asked) -> tuple[str, str]:
    """The project and workspace meant, once whoever owns what is asked for has let the caller see it."""
    project_id = asked.project_id or ctx.actor.project_id
    workspace_id = asked.workspace_id
    if asked.service_id:
        place = await parts.owners.of_service(ctx, asked.service_id, ctx.actor.environment_id)
        if project_id not in ("", place.project_id) or workspace_id not in ("", place.workspace_id):
            raise NotFound(f"Service {asked.service_id[:64]} does not exist, or is not yours to see.")
        return place.project_id, place.workspace_id
    if asked.project_id:
        owner = await parts.owners.workspace_of(ctx, asked.project_id)
        if workspace_id not in ("", owner):
            raise NotFound(f"Project {asked.project_id[:64]} does not exist, or is not yours to see.")
        return project_id, owner
    return project_id, workspace_id
