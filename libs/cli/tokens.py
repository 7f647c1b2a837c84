"""`lr tokens create|list|revoke`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from libs.cli import screen, session, target
from libs.cli.session import Json
from libs.kernel.errors import Invalid

app = App(name="tokens", help="Make, list and revoke API tokens.")
_DAY = 86_400


@app.command
async def create(
    name: str,
    *,
    project: Annotated[bool, Parameter(negative="")] = False,
    role: Literal["viewer", "developer", "admin", "owner"] | None = None,
    days: int | None = None,
    as_json: Json = False,
) -> int:
    """Make a token. It is shown this once.

    Parameters
    ----------
    name
        What it is for.
    project
        Only for the linked project and environment: what a pipeline needs.
    role
        What it may do at most; your own role unless given.
    days
        How long it works; for ever unless given.
    """
    if days is not None and days < 1:
        raise Invalid("A token works for a day at least.", field="days")
    async with session.connect() as client:
        scope = await target.find(client) if project else None
        workspace = (await client.project(scope.project_id)).workspace_id if scope else None
        made = await client.create_token(
            name,
            workspace_id=workspace,
            project_id=scope.project_id if scope else None,
            environment_id=scope.environment_id if scope else None,
            role=role,
            lifetime_seconds=days * _DAY if days else None,
        )
    if as_json:
        screen.emit(made)
        return 0
    screen.note(f"Made {made.token.id}. Keep it now; it is not shown again. Use it as LIGHTRAIL_TOKEN.")
    screen.say(made.secret)
    return 0


@app.command(name="list")
async def list_tokens(*, as_json: Json = False) -> int:
    """List your tokens, without their secrets."""
    async with session.connect() as client:
        rows = await client.tokens()
    if as_json:
        screen.emit(rows)
    elif not rows:
        screen.say("No tokens. Make one with: lr tokens create NAME")
    else:
        screen.table(
            ("ID", "NAME", "BEGINS WITH", "FOR", "EXPIRES", "LAST USED"),
            [
                (
                    row.id,
                    row.name,
                    row.prefix,
                    row.project_id or row.workspace_id or "account",
                    screen.moment(row.expires_at) or "never",
                    screen.moment(row.last_used_at) or "never",
                )
                for row in rows
            ],
        )
    return 0


@app.command
async def revoke(token: str, *, as_json: Json = False) -> int:
    """Revoke a token.

    Parameters
    ----------
    token
        Its id, or its name.
    """
    async with session.connect() as client:
        chosen = target.pick(await client.tokens(), token, "token")
        await client.revoke_token(chosen.id)
    if as_json:
        screen.emit({"revoked": chosen.id})
    else:
        screen.say(f"Revoked “{chosen.name}” ({chosen.id}).")
    return 0
