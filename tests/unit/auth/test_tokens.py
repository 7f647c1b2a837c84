"""Tokens never exceed who made them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.context import Role
from libs.kernel.errors import Denied, Exhausted, Failure, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.testing.clock import VirtualClock
from services.auth.app.tokens import LONGEST_LIFETIME, create_token, list_tokens, revoke_token
from services.auth.domain.model import EVERYTHING, TOKENS_PER_USER, Scope
from services.auth.domain.scope import covers, granted
from tests.unit.auth.world import ANY_TOKEN, GATEWAY, World

CLOCK = VirtualClock()
WORKSPACES = ["", *(new_id("workspace", CLOCK) for _ in range(2))]
PROJECTS = ["", *(new_id("project", CLOCK) for _ in range(2))]
ENVIRONMENTS = ["", *(new_id("environment", CLOCK) for _ in range(2))]
PROJECT, ENVIRONMENT = PROJECTS[1], ENVIRONMENTS[1]


def scopes(*roles: Role) -> st.SearchStrategy[Scope]:
    return st.builds(
        Scope,
        st.sampled_from(WORKSPACES),
        st.sampled_from(PROJECTS),
        st.sampled_from(ENVIRONMENTS),
        st.sampled_from(roles),
    )


REAL = [role for role in Role if role is not Role.NONE]


@given(
    asked=scopes(*Role),
    maker=scopes(*REAL),
    mine=st.dictionaries(st.sampled_from(WORKSPACES[1:]), st.sampled_from(REAL)),
)
def test_whatever_is_asked_nothing_beyond_the_maker_is_granted(
    asked: Scope,
    maker: Scope,
    mine: dict[str, Role],
) -> None:
    roles = {
        workspace: min(role, maker.role) for workspace, role in mine.items() if maker.workspace_id in ("", workspace)
    }
    try:
        scope = granted(asked, maker=maker, roles=roles)
    except Failure:
        return
    assert covers(maker, scope)
    assert scope.role is not Role.NONE
    if scope.workspace_id:
        assert scope.role <= roles[scope.workspace_id]


@given(scopes(*REAL), scopes(*REAL), scopes(*REAL))
def test_covering_is_an_order(one: Scope, two: Scope, three: Scope) -> None:
    assert covers(one, one)
    assert covers(EVERYTHING, one)
    if covers(one, two) and covers(two, three):
        assert covers(one, three)
    if covers(one, two) and covers(two, one):
        assert one == two


async def test_a_token_shows_its_secret_once_and_is_listed_without(world: World) -> None:
    ada = await world.person("ada")
    made = await world.token(ada, Scope(ada.workspace.id, role=Role.NONE), lifetime=3_600, name="  ci ")
    assert made.token.name == "ci"
    assert made.token.scope == Scope(ada.workspace.id, role=Role.OWNER)
    assert await list_tokens(await world.ctx(ada), world.parts) == [made.token]
    assert "lightrail.auth.token.created.v1" in await world.stores.told()


async def test_a_project_token_cannot_mint_anything_wider(world: World) -> None:
    ada = await world.person("ada")
    narrow = Scope(ada.workspace.id, PROJECT, role=Role.DEVELOPER)
    made = await world.token(ada, narrow)
    ctx = await world.ctx(made)
    for scope in (
        ANY_TOKEN,
        Scope(ada.workspace.id, role=Role.NONE),
        Scope(ada.workspace.id, PROJECTS[2], role=Role.NONE),
        Scope(ada.workspace.id, PROJECT, role=Role.ADMIN),
    ):
        with pytest.raises(Denied):
            await create_token(ctx, world.parts, "wider", scope, 0)
    child = await create_token(ctx, world.parts, "ok", Scope(ada.workspace.id, PROJECT, ENVIRONMENT, Role.NONE), 0)
    assert child.token.scope == Scope(ada.workspace.id, PROJECT, ENVIRONMENT, Role.DEVELOPER)


async def test_a_capped_account_token_cannot_mint_above_its_cap(world: World) -> None:
    ada = await world.person("ada")
    capped = await world.token(ada, Scope(role=Role.VIEWER))
    for scope in (Scope(role=Role.OWNER), Scope(ada.workspace.id, role=Role.DEVELOPER)):
        with pytest.raises(Denied):
            await world.token(capped, scope)
    assert (await world.token(capped)).token.scope == Scope(role=Role.VIEWER)


async def test_nobody_makes_tokens_for_projects_or_environments_of_others(world: World) -> None:
    ada = await world.person("ada")
    world.projects.strange = {PROJECTS[2], ENVIRONMENTS[2]}
    for scope in (
        Scope(ada.workspace.id, PROJECTS[2], role=Role.NONE),
        Scope(ada.workspace.id, PROJECT, ENVIRONMENTS[2], role=Role.NONE),
    ):
        with pytest.raises(NotFound):
            await world.token(ada, scope)
    assert await list_tokens(await world.ctx(ada), world.parts) == []


async def test_nobody_makes_tokens_for_workspaces_of_others(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    for workspace in (bob.workspace.id, WORKSPACES[1]):
        with pytest.raises(NotFound):
            await world.token(ada, Scope(workspace, role=Role.NONE))


async def test_a_token_cannot_outlive_the_one_that_made_it(world: World) -> None:
    ada = await world.person("ada")
    parent = await world.token(ada, lifetime=3_600)
    for lifetime in (0, 3_601):
        with pytest.raises(Denied, match=r"cannot outlive"):
            await world.token(parent, lifetime=lifetime)
    await world.token(parent, lifetime=3_600)


async def test_tokens_are_revoked_with_all_that_they_made(world: World) -> None:
    ada = await world.person("ada")
    parent = await world.token(ada)
    child = await world.token(parent)
    grandchild = await world.token(child)
    other = await world.token(ada)
    await revoke_token(await world.ctx(ada), world.parts, parent.token.id)
    for made in (parent, child, grandchild):
        with pytest.raises(Denied, match=r"was revoked"):
            await world.ctx(made)
    await world.ctx(other)
    assert (await world.stores.told()).count("lightrail.auth.token.revoked.v1") == 3
    assert [token.id for token in await list_tokens(await world.ctx(ada), world.parts)] == [other.token.id]


async def test_revoking_twice_is_harmless_and_told_once(world: World) -> None:
    ada = await world.person("ada")
    made = await world.token(ada)
    for _ in range(3):
        await revoke_token(await world.ctx(ada), world.parts, made.token.id)
    assert (await world.stores.told()).count("lightrail.auth.token.revoked.v1") == 1


async def test_a_revoked_token_cannot_use_the_minute_its_identity_has_left(world: World) -> None:
    ada = await world.person("ada")
    made = await world.token(ada)
    ctx = await world.ctx(made)
    await revoke_token(await world.ctx(ada), world.parts, made.token.id)
    with pytest.raises(Denied, match=r"was revoked"):
        await create_token(ctx, world.parts, "more", ANY_TOKEN, 0)


async def test_tokens_of_others_do_not_exist(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    made = await world.token(bob)
    assert await list_tokens(await world.ctx(ada), world.parts) == []
    for token_id in (made.token.id, "tok_nonsense", ""):
        with pytest.raises(NotFound):
            await revoke_token(await world.ctx(ada), world.parts, token_id)
    await world.ctx(made)


async def test_a_narrow_token_neither_sees_nor_revokes_a_wider_one(world: World) -> None:
    ada = await world.person("ada")
    wide = await world.token(ada)
    narrow = await world.token(ada, Scope(ada.workspace.id, PROJECT, role=Role.NONE))
    ctx = await world.ctx(narrow)
    assert [token.id for token in await list_tokens(ctx, world.parts)] == [narrow.token.id]
    with pytest.raises(NotFound):
        await revoke_token(ctx, world.parts, wide.token.id)
    await revoke_token(ctx, world.parts, narrow.token.id)


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        (Scope(project_id=PROJECT, role=Role.NONE), "workspace_id"),
        (Scope(WORKSPACES[1], environment_id=ENVIRONMENT, role=Role.NONE), "project_id"),
        (Scope("everything", role=Role.NONE), "workspace_id"),
        (Scope(WORKSPACES[1], ENVIRONMENT, role=Role.NONE), "project_id"),
        (Scope(WORKSPACES[1], PROJECT, "x'; drop table", Role.NONE), "environment_id"),
    ],
)
async def test_contradictions_are_named(world: World, scope: Scope, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        await world.token(await world.person("ada"), scope)
    assert caught.value.field == field


@pytest.mark.parametrize("lifetime", [-1, 1, 59, int(LONGEST_LIFETIME.total_seconds()) + 1, 2**62, -(2**62)])
async def test_impossible_lifetimes_are_refused(world: World, lifetime: int) -> None:
    with pytest.raises(Invalid) as caught:
        await world.token(await world.person("ada"), lifetime=lifetime)
    assert caught.value.field == "lifetime_seconds"


async def test_there_is_a_most(world: World) -> None:
    ada = await world.person("ada")
    made = [await world.token(ada) for _ in range(TOKENS_PER_USER)]
    with pytest.raises(Exhausted):
        await world.token(ada)
    await revoke_token(await world.ctx(ada), world.parts, made[0].token.id)
    await world.token(ada)


async def test_services_hold_no_tokens(world: World) -> None:
    with pytest.raises(Denied):
        await create_token(GATEWAY, world.parts, "x", ANY_TOKEN, 0)
