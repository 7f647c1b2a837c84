"""Workspaces and their members."""

from __future__ import annotations

from collections.abc import Sequence

from libs.kernel.context import Ctx, Role
from libs.kernel.errors import Denied, Exhausted, NotFound
from libs.kernel.ids import new_id
from services.auth.app.caller import caller
from services.auth.app.ports import Parts
from services.auth.domain import inputs
from services.auth.domain.facts import WorkspaceCreated
from services.auth.domain.membership import check_change
from services.auth.domain.model import EVERYTHING, WORKSPACES_PER_USER, Workspace


async def list_workspaces(ctx: Ctx, parts: Parts) -> list[tuple[Workspace, Role]]:
    """Returns the workspaces that the caller's credential reaches, oldest first, with the role it has there."""
    who = await caller(ctx, parts)
    return reachable(ctx, await parts.workspaces.of(who.user.id))


async def create_workspace(ctx: Ctx, parts: Parts, name: str) -> Workspace:
    """Makes a workspace that the caller owns. Denied for tokens with a limit: they cannot reach what is new."""
    who = await caller(ctx, parts)
    if who.scope != EVERYTHING:
        raise Denied("This token is limited, so it cannot make a workspace.", hint="Sign in with your password.")
    workspace = Workspace(new_id("workspace", parts.clock), inputs.name(name, of="workspace"), parts.clock.now())
    async with parts.work():
        if len(await parts.workspaces.of(who.user.id)) >= WORKSPACES_PER_USER:
            raise Exhausted(f"You are in {WORKSPACES_PER_USER} workspaces, which is the most.")
        await parts.workspaces.add(workspace, who.user.id)
        await parts.facts.record(WorkspaceCreated(workspace.id, workspace.name))
    return workspace


async def set_member(ctx: Ctx, parts: Parts, workspace_id: str, email: str, role: Role) -> None:
    """Gives somebody with an account this role in the workspace; NONE takes them out.

    NotFound for a workspace that is not the caller's or an address without an account, Denied above the caller's own
    role, Conflict for the last owner.
    """
    ctx.allow(workspace_id, what=f"Workspace {workspace_id[:64]}")
    if ctx.actor.project_id:
        raise Denied("A token bound to a project cannot change the members of its workspace.")
    address = inputs.email(email)
    found = await parts.users.by_email(address)
    if found is None:
        raise NotFound(f"Nobody has an account with {address} here.", hint="The operator makes accounts.")
    async with parts.work():
        members = await parts.workspaces.members(workspace_id)
        check_change(members, user_id=found[0].id, mine=_current_role(ctx, members, workspace_id), wanted=role)
        await parts.workspaces.set_member(workspace_id, found[0].id, role, parts.clock.now())


def reachable(ctx: Ctx, memberships: Sequence[tuple[Workspace, Role]]) -> list[tuple[Workspace, Role]]:
    """Returns those that the credential reaches, with the lesser of the role it has and the role the user has now."""
    return [
        (workspace, min(role, ctx.actor.roles[workspace.id]))
        for workspace, role in memberships
        if workspace.id in ctx.actor.roles
    ]


def _current_role(ctx: Ctx, members: dict[str, Role], workspace_id: str) -> Role:
    """The caller's role as it is now: an identity may be a minute older than a change of members."""
    if ctx.actor.kind == "service":
        return Role.OWNER
    return min(members.get(ctx.actor.id, Role.NONE), ctx.actor.roles.get(workspace_id, Role.NONE))
