"""`lr build cache`: what builds keep for the next one."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from cyclopts import App, Parameter

from libs.cli import screen, session, target
from libs.cli.session import Json, ServiceName
from libs.kernel.units import show_bytes
from libs.sdk.client import Client

app = App(name="cache", help="Show and clear what builds keep for the next one.")
Tool: TypeAlias = Annotated[str | None, Parameter(name=["--tool", "-t"], help="Only this tool's downloads: uv, npm, …")]
_KINDS: Final = {"tool": "downloads of", "dependencies": "installed to"}


@app.command(name="list")
async def list_caches(*, service: ServiceName = None, tool: Tool = None, as_json: Json = False) -> int:
    """List them: downloads of tools, which the workspace shares, and installed dependencies."""
    async with session.connect() as client:
        workspace_id, service_id, names = await _meant(client, service)
        found = await client.build_caches(workspace_id=workspace_id, service_id=service_id)
    if tool:
        found = [one for one in found if one.kind == "tool" and one.name == tool]
    if as_json:
        screen.emit(found)
        return 0
    if not found:
        screen.say("Nothing is kept.")
        return 0
    screen.table(
        ("WHAT", "SIZE", "USED", "SERVICE"),
        [
            (
                f"{_KINDS.get(one.kind, one.kind)} {one.name}",
                show_bytes(one.size_bytes),
                screen.moment(one.used_at),
                names.get(one.service_id or "", one.service_id or ""),
            )
            for one in found
        ],
    )
    screen.say(f"{show_bytes(sum(one.size_bytes for one in found))} in all")
    return 0


@app.command
async def clear(*, service: ServiceName = None, tool: Tool = None, as_json: Json = False) -> int:
    """Forget them: the next build installs anew. Builds under way lose nothing."""
    async with session.connect() as client:
        workspace_id, service_id, _ = await _meant(client, service)
        done = await client.clear_build_caches(workspace_id=workspace_id, service_id=service_id, tool=tool or "")
    if as_json:
        screen.emit(done)
    else:
        screen.say(f"Cleared {done.count}, {show_bytes(done.bytes)}.")
        if done.busy:
            screen.say(f"Left alone, because a build is using them: {', '.join(done.busy)}.")
    return 0


async def _meant(client: Client, service: str | None) -> tuple[str, str, dict[str, str]]:
    """The workspace, the service when one is named, and names of services by their ids."""
    found = await target.find(client, service=service)
    with target.may_be_gone():
        project = await client.project(found.project_id)
    names = {one.id: one.name for one in await client.services(found.project_id)}
    return project.workspace_id, found.service_id if service else "", names
