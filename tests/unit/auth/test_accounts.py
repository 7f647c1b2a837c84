"""The first account, and the ones after it."""

from __future__ import annotations

import pytest

from libs.kernel.context import Role
from libs.kernel.errors import Conflict, Denied, Invalid, Unavailable
from services.auth.app.accounts import NewAccount, complete_setup, create_user, get_me, setup_claimed
from services.auth.app.sessions import login
from tests.unit.auth.world import GATEWAY, NOBODY, PASSWORD, SETUP_TOKEN, World

WANTED = NewAccount(" Root@LocalHost ", PASSWORD, "  Root  ")


async def test_setup_makes_an_operator_who_owns_a_workspace_and_is_signed_in(world: World) -> None:
    assert not await setup_claimed(NOBODY, world.parts)
    account, secret = await complete_setup(NOBODY, world.parts, f" {SETUP_TOKEN}\n", WANTED)
    assert await setup_claimed(NOBODY, world.parts)
    assert account.user.email == "root@localhost"
    assert account.user.name == "Root"
    assert account.user.operator
    actor = await world.actor(secret.reveal(), "lightrail.auth.v1.AuthService/CreateUser")
    assert actor.operator
    assert actor.roles == {account.workspace.id: Role.OWNER}
    assert await world.stores.told() == ["lightrail.auth.user.created.v1", "lightrail.auth.workspace.created.v1"]


async def test_setup_works_once(world: World) -> None:
    await world.operator()
    for token in (SETUP_TOKEN, "a wrong one"):
        with pytest.raises(Conflict, match=r"already set up"):
            await complete_setup(NOBODY, world.parts, token, NewAccount("eve@example.com", PASSWORD, ""))
    assert await world.stores.users.by_email("eve@example.com") is None


@pytest.mark.parametrize("token", ["", "wrong", SETUP_TOKEN[:-1], SETUP_TOKEN + "x", "é" * 40])
async def test_setup_needs_its_token(world: World, token: str) -> None:
    with pytest.raises(Denied, match=r"set-up token is wrong") as caught:
        await complete_setup(NOBODY, world.parts, token, WANTED)
    assert caught.value.unauthenticated
    assert not await setup_claimed(NOBODY, world.parts)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (NewAccount("nobody", PASSWORD, ""), "email"),
        (NewAccount("root@localhost", "short", ""), "password"),
        (NewAccount("root@localhost", PASSWORD, "x" * 101), "name"),
    ],
)
async def test_a_mistake_does_not_use_the_setup_token_up(world: World, wanted: NewAccount, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        await complete_setup(NOBODY, world.parts, SETUP_TOKEN, wanted)
    assert caught.value.field == field
    await world.operator()


async def test_a_setup_token_that_is_missing_open_or_a_placeholder_is_not_used(world: World) -> None:
    world.token_file.chmod(0o644)
    with pytest.raises(Unavailable, match=r"can be read by others"):
        await complete_setup(NOBODY, world.parts, SETUP_TOKEN, WANTED)
    world.token_file.chmod(0o600)
    for placeholder in ("", "changeme"):
        world.token_file.write_text(placeholder)
        with pytest.raises(Unavailable, match=r"placeholder"):
            await complete_setup(NOBODY, world.parts, placeholder, WANTED)
    world.token_file.unlink()
    with pytest.raises(Unavailable, match=r"cannot be read"):
        await complete_setup(NOBODY, world.parts, "", WANTED)


async def test_accounts_made_later_are_no_operators(world: World) -> None:
    ada = await world.person("ada")
    assert not ada.user.operator
    assert (await world.actor(ada.credential)).roles == {ada.workspace.id: Role.OWNER}


async def test_an_address_has_one_account_however_it_is_written(world: World) -> None:
    ada = await world.person("ada")
    with pytest.raises(Conflict, match=r"already an account for ada@example\.com"):
        await create_user(GATEWAY, world.parts, NewAccount("ADA@Example.com", PASSWORD, ""))
    me = await get_me(await world.ctx(ada), world.parts)
    assert [workspace.id for workspace, _ in me.workspaces] == [ada.workspace.id]


async def test_without_a_name_the_address_names_the_account(world: World) -> None:
    account = await create_user(GATEWAY, world.parts, NewAccount("grace.hopper@example.com", PASSWORD, "  "))
    assert account.user.name == "grace.hopper"
    assert account.workspace.name == "grace.hopper"


async def test_me_tells_the_token_and_only_what_it_reaches(world: World) -> None:
    ada = await world.person("ada")
    me = await get_me(await world.ctx(ada), world.parts)
    assert (me.user, me.token) == (ada.user, None)
    assert me.workspaces == [(ada.workspace, Role.OWNER)]
    made = await world.token(ada)
    me = await get_me(await world.ctx(made), world.parts)
    assert me.token is not None
    assert me.token.id == made.token.id


async def test_a_platform_service_is_nobody_in_particular(world: World) -> None:
    with pytest.raises(Denied, match=r"people with an account"):
        await get_me(GATEWAY, world.parts)


async def test_the_password_is_stored_only_as_argon2id(world: World) -> None:
    await world.person("ada")
    found = await world.stores.users.by_email("ada@example.com")
    assert found is not None
    assert found[1].startswith("$argon2id$")
    assert PASSWORD not in found[1]


async def test_keyboards_that_compose_letters_differently_spell_the_same_password(world: World) -> None:
    await create_user(GATEWAY, world.parts, NewAccount("zoe@example.com", "cafe\u0301 au lait", "Zoe"))
    await login(GATEWAY, world.parts, "zoe@example.com", "caf\u00e9 au lait", "")
