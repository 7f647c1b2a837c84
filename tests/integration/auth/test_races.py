"""Several at once: one wins, nothing is doubled, no rule is passed by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from libs.db import Database
from libs.kernel.context import Role
from libs.kernel.errors import Conflict, Failure
from libs.testing.faults import Faulty, Plan, repeats_harmlessly, survives_failure_at_every_step
from services.auth.app.accounts import NewAccount, complete_setup, create_user
from services.auth.app.ports import Sessions
from services.auth.app.sessions import login, logout
from services.auth.app.tokens import revoke_token
from services.auth.app.workspaces import set_member
from services.auth.domain.credentials import digest
from services.auth.domain.model import SESSION_MEMORY
from services.auth.loops.sessions import KEY, ForgetSessions
from tests.unit.auth.world import GATEWAY, NOBODY, PASSWORD, SETUP_TOKEN, World

pytestmark = pytest.mark.wheels


async def outcomes(*work: Awaitable[object]) -> list[object]:
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        assert not isinstance(result, BaseException) or isinstance(result, Failure), repr(result)
    return [type(result) if isinstance(result, Failure) else "ok" for result in results]


async def test_of_many_set_ups_at_once_one_succeeds(world: World, db: Database) -> None:
    wanted = [NewAccount(f"root{number}@localhost", PASSWORD, "") for number in range(6)]
    done = await outcomes(*(complete_setup(NOBODY, world.parts, SETUP_TOKEN, each) for each in wanted))
    assert sorted(map(str, done)) == sorted(map(str, ["ok", *[Conflict] * 5]))
    for table in ("users", "workspaces", "memberships", "sessions", "setup"):
        assert await db.fetchval(f"select count(*) from {table}") == 1, table  # noqa: S608 - the five above
    assert await world.stores.told() == ["lightrail.auth.user.created.v1", "lightrail.auth.workspace.created.v1"]


async def test_an_address_gets_one_account_however_many_ask(world: World, db: Database) -> None:
    wanted = NewAccount("ada@example.com", PASSWORD, "")
    done = await outcomes(*(create_user(GATEWAY, world.parts, wanted) for _ in range(5)))
    assert done.count("ok") == 1
    assert await db.fetchval("select count(*) from workspaces") == 1


async def test_two_owners_cannot_both_leave(world: World) -> None:
    ada, bob = await world.person("ada"), await world.person("bob")
    workspace = ada.workspace.id
    await set_member(await world.ctx(ada), world.parts, workspace, "bob@example.com", Role.OWNER)
    left = await outcomes(
        set_member(await world.ctx(ada), world.parts, workspace, "ada@example.com", Role.NONE),
        set_member(await world.ctx(bob), world.parts, workspace, "bob@example.com", Role.NONE),
    )
    assert sorted(map(str, left)) == sorted(map(str, ["ok", Conflict]))
    assert list((await world.stores.workspaces.members(workspace)).values()) == [Role.OWNER]


async def test_a_token_revoked_twice_at_once_is_told_once(world: World) -> None:
    ada = await world.person("ada")
    made = await world.token(ada)
    ctx = await world.ctx(ada)
    await outcomes(*(revoke_token(ctx, world.parts, made.token.id) for _ in range(5)))
    assert (await world.stores.told()).count("lightrail.auth.token.revoked.v1") == 1


async def test_late_uses_never_take_time_back(world: World) -> None:
    ada = await world.person("ada")
    found = await world.stores.sessions.holder(digest(ada.credential))
    assert found is not None
    session, now = found[0], world.clock.now()
    await world.stores.sessions.used(session.id, now + timedelta(hours=2), now + timedelta(days=31))
    await world.stores.sessions.used(session.id, now + timedelta(hours=1), now + timedelta(days=30))
    found = await world.stores.sessions.holder(digest(ada.credential))
    assert found is not None
    assert found[0].last_used_at == now + timedelta(hours=2)
    assert found[0].expires_at == now + timedelta(days=31)


Act = Callable[[], Awaitable[object]]
State = Callable[[], Awaitable[object]]


async def test_forgetting_sessions_may_repeat_and_fail_anywhere(world: World, db: Database) -> None:
    ada = await world.person("ada")

    async def build(plan: Plan) -> tuple[Act, State]:
        await db.execute("delete from sessions")
        signed_in = [await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "") for _ in range(4)]
        for each in signed_in[:3]:
            await logout(NOBODY, world.parts, each.secret.reveal())
        world.clock.advance(SESSION_MEMORY.total_seconds() + 1)
        loop = ForgetSessions(replace(world.parts, sessions=cast("Sessions", Faulty(world.parts.sessions, plan))))

        async def act() -> object:
            return await loop.step(KEY)

        async def state() -> object:
            return await db.fetch("select user_id, ended_at from sessions")

        return act, state

    await repeats_harmlessly(build)
    assert await survives_failure_at_every_step(build) > 0
    assert await db.fetchval("select count(*) from sessions where user_id = $1", ada.user.id) == 1
