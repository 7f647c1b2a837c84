"""Workspaces and who is in them."""

from __future__ import annotations

import pytest

from libs.kernel.context import Ctx, Role
from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound
from libs.kernel.ids import new_id
from services.auth.app.workspaces import create_workspace, list_workspaces, set_member
from services.auth.domain.membership import check_change
from services.auth.domain.model import WORKSPACES_PER_USER, Scope
from tests.unit.auth.world import GATEWAY, Person, World


async def add(world: World, by: Person, to: Person, email: str, role: Role) -> None:
    ctx = await world.ctx(by, required=Role.ADMIN)
    await set_member(ctx, world.parts, to.workspace.id, email, role)


async def roles(world: World, who: Person) -> dict[str, Role]:
    return {workspace.id: role for workspace, role in await list_workspaces(await world.ctx(who), world.parts)}


async def test_whoever_makes_a_workspace_owns_it(world: World) -> None:
    ada = await world.person("ada")
    made = await create_workspace(await world.ctx(ada), world.parts, "  Team  ")
    assert made.name == "Team"
    assert await roles(world, ada) == {ada.workspace.id: Role.OWNER, made.id: Role.OWNER}
    assert (await world.stores.told())[-1] == "lightrail.auth.workspace.created.v1"


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b", "a\nb", "a\u202eb", "a\x7fb"])
async def test_bad_names_are_refused(world: World, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await create_workspace(await world.ctx(await world.person("ada")), world.parts, name)
    assert caught.value.field == "name"


async def test_a_limited_token_makes_no_workspace(world: World) -> None:
    ada = await world.person("ada")
    for scope in (Scope(ada.workspace.id), Scope(role=Role.ADMIN)):
        with pytest.raises(Denied):
            await create_workspace(await world.ctx(await world.token(ada, scope)), world.parts, "x")
    await create_workspace(await world.ctx(await world.token(ada)), world.parts, "x")


async def test_there_is_a_most(world: World) -> None:
    ada = await world.person("ada")
    ctx = await world.ctx(ada)
    for number in range(WORKSPACES_PER_USER - 1):
        await create_workspace(ctx, world.parts, f"team {number}")
    with pytest.raises(Exhausted):
        await create_workspace(ctx, world.parts, "one more")


async def test_members_come_change_and_go(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    for role in (Role.VIEWER, Role.ADMIN, Role.ADMIN, Role.OWNER, Role.DEVELOPER):
        await add(world, ada, ada, " BOB@example.com", role)
        assert (await roles(world, bob))[ada.workspace.id] is role
    for _ in range(2):
        await add(world, ada, ada, "bob@example.com", Role.NONE)
    assert await roles(world, bob) == {bob.workspace.id: Role.OWNER}


async def test_strangers_learn_nothing(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    ctx = await world.ctx(bob, required=Role.ADMIN)
    for workspace in (ada.workspace.id, new_id("workspace", world.clock)):
        with pytest.raises(NotFound, match=r"does not exist, or is not yours to see"):
            await set_member(ctx, world.parts, workspace, "bob@example.com", Role.OWNER)


async def test_developers_change_nobody(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    await add(world, ada, ada, "bob@example.com", Role.DEVELOPER)
    for email in ("bob@example.com", "ada@example.com"):
        with pytest.raises(Denied):
            await add(world, bob, ada, email, Role.VIEWER)


async def test_admins_do_not_reach_above_themselves(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    await world.person("cid")
    await add(world, ada, ada, "bob@example.com", Role.ADMIN)
    await add(world, bob, ada, "cid@example.com", Role.ADMIN)
    for email, role in [
        ("cid@example.com", Role.OWNER),
        ("bob@example.com", Role.OWNER),
        ("ada@example.com", Role.ADMIN),
        ("ada@example.com", Role.NONE),
    ]:
        with pytest.raises(Denied):
            await add(world, bob, ada, email, role)
    await add(world, bob, ada, "bob@example.com", Role.NONE)


async def test_the_last_owner_stays(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    for role in (Role.NONE, Role.ADMIN, Role.VIEWER):
        with pytest.raises(Conflict, match=r"last owner"):
            await add(world, ada, ada, "ada@example.com", role)
    await add(world, ada, ada, "ada@example.com", Role.OWNER)
    await add(world, ada, ada, "bob@example.com", Role.OWNER)
    await add(world, ada, ada, "ada@example.com", Role.NONE)
    assert (await roles(world, bob))[ada.workspace.id] is Role.OWNER


async def test_a_role_taken_away_counts_at_once(world: World) -> None:
    """The identity made a moment ago still says admin; the change of members looks again."""
    ada, bob = await world.person("ada"), await world.person("bob")
    await add(world, ada, ada, "bob@example.com", Role.ADMIN)
    stale = await world.ctx(bob, required=Role.ADMIN)
    await add(world, ada, ada, "bob@example.com", Role.VIEWER)
    with pytest.raises(Denied):
        await set_member(stale, world.parts, ada.workspace.id, "bob@example.com", Role.ADMIN)


async def test_tokens_bound_to_a_project_change_no_members(world: World) -> None:
    ada = await world.person("ada")
    await world.person("bob")
    made = await world.token(ada, Scope(ada.workspace.id, new_id("project", world.clock), role=Role.NONE))
    with pytest.raises(Denied, match=r"bound to a project"):
        await set_member(await world.ctx(made), world.parts, ada.workspace.id, "bob@example.com", Role.VIEWER)


async def test_only_people_with_an_account_become_members(world: World) -> None:
    ada = await world.person("ada")
    with pytest.raises(NotFound, match=r"Nobody has an account with eve@example\.com"):
        await add(world, ada, ada, "eve@example.com", Role.VIEWER)


async def test_the_platform_itself_may_add_members(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    await set_member(GATEWAY, world.parts, ada.workspace.id, "bob@example.com", Role.OWNER)
    assert (await roles(world, bob))[ada.workspace.id] is Role.OWNER


def test_no_change_ever_leaves_a_workspace_without_an_owner() -> None:
    for mine in Role:
        for theirs in Role:
            for wanted in Role:
                for others in ({}, {"usr_3": Role.OWNER}):
                    members = {"usr_1": mine, "usr_2": theirs} | others
                    members = {user: role for user, role in members.items() if role is not Role.NONE}
                    if Role.OWNER not in members.values() or "usr_1" not in members:
                        continue
                    try:
                        check_change(members, user_id="usr_2", mine=mine, wanted=wanted)
                    except Failure:
                        continue
                    assert Role.OWNER in (members | {"usr_2": wanted}).values()
                    assert wanted <= mine


async def test_workspaces_are_narrowed_by_the_token(world: World) -> None:
    ada = await world.person("ada")
    await create_workspace(await world.ctx(ada), world.parts, "Team")
    made = await world.token(ada, Scope(ada.workspace.id, role=Role.VIEWER))
    ctx: Ctx = await world.ctx(made)
    assert await list_workspaces(ctx, world.parts) == [(ada.workspace, Role.VIEWER)]
