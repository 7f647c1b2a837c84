"""Signing in and out."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.kernel.errors import Denied, Exhausted, Invalid
from services.auth.adapters.passwords import Argon2Passwords
from services.auth.app.attempts import PER_PERSON, PER_PLACE, PER_STRANGERS, REMEMBERED, WINDOW_SECONDS, Attempts
from services.auth.app.sessions import forget_sessions, login, logout
from services.auth.domain.credentials import digest
from services.auth.domain.model import SESSION_LIFETIME, SESSION_MEMORY
from tests.unit.auth.world import GATEWAY, NOBODY, PASSWORD, World

WRONG = "not the password"


async def test_wrong_address_and_wrong_password_get_the_same_answer(world: World) -> None:
    await world.person("ada")
    answers = set()
    for email, password in [("ada@example.com", WRONG), ("eve@example.com", PASSWORD), ("ada@example.com", "x" * 2000)]:
        with pytest.raises(Denied) as caught:
            await login(GATEWAY, world.parts, email, password, "10.0.0.1")
        assert caught.value.unauthenticated
        answers.add(str(caught.value))
    assert len(answers) == 1


async def test_an_unknown_address_costs_the_same_work(world: World) -> None:
    """Counted, not timed: with and without an account there is one verification."""
    await world.person("ada")
    verified: list[str | None] = []
    honest = world.passwords.matches

    async def counting(password_hash: str | None, password: str) -> bool:
        verified.append(password_hash)
        return await honest(password_hash, password)

    world.passwords.matches = counting  # type: ignore[method-assign]
    for email in ("ada@example.com", "eve@example.com"):
        with pytest.raises(Denied):
            await login(GATEWAY, world.parts, email, WRONG, "")
    assert len(verified) == 2
    assert verified[0] is not None
    assert verified[1] is None


async def test_a_broken_address_is_told_as_such(world: World) -> None:
    with pytest.raises(Invalid):
        await login(GATEWAY, world.parts, "nobody", PASSWORD, "")


async def test_too_many_wrong_passwords_make_one_wait(world: World) -> None:
    await world.person("ada")
    for _ in range(PER_PERSON):
        with pytest.raises(Denied):
            await login(GATEWAY, world.parts, "ada@example.com", WRONG, "10.0.0.9")
    with pytest.raises(Exhausted, match=r"Too many attempts") as caught:
        await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "10.0.0.9")
    assert caught.value.hint == "Wait 10 minutes, then try again."
    # Others, and the same person elsewhere, are not locked out.
    await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "10.0.0.8")
    world.clock.advance(WINDOW_SECONDS)
    await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "10.0.0.9")


async def test_a_stranger_who_names_a_new_place_each_time_is_stopped_too(world: World) -> None:
    await world.person("ada")
    for number in range(PER_STRANGERS):
        with pytest.raises(Denied):
            await login(NOBODY, world.parts, "ada@example.com", WRONG, f"10.1.0.{number}")
    with pytest.raises(Exhausted):
        await login(NOBODY, world.parts, "ada@example.com", PASSWORD, "10.2.0.1")
    # Where the platform itself says where somebody is, they are not locked out by strangers.
    await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "10.2.0.1")


async def test_knowing_the_password_clears_the_count(world: World) -> None:
    await world.person("ada")
    for _ in range(3):
        for _ in range(PER_PERSON - 1):
            with pytest.raises(Denied):
                await login(GATEWAY, world.parts, "ada@example.com", WRONG, "10.0.0.9")
        await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "10.0.0.9")


async def test_one_place_cannot_try_everyone(world: World) -> None:
    attempts = world.parts.attempts
    for number in range(PER_PLACE):
        attempts.begin(f"user{number}@example.com", "10.0.0.9", vouched=True)
    with pytest.raises(Exhausted):
        attempts.begin("another@example.com", "10.0.0.9", vouched=True)
    attempts.begin("another@example.com", "10.0.0.8", vouched=True)
    attempts.begin("another@example.com", "", vouched=False)


def test_those_who_succeed_use_no_limit_up(world: World) -> None:
    attempts = world.parts.attempts
    for vouched in (True, False):
        for _ in range(PER_PLACE * 2):
            attempts.begin("ada@example.com", "10.0.0.9", vouched=vouched)
            attempts.succeeded("ada@example.com", "10.0.0.9", vouched=vouched)


def test_attempts_do_not_fill_the_memory(world: World) -> None:
    attempts = Attempts(world.clock)
    for number in range(REMEMBERED):
        attempts.begin(f"user{number}@example.com", "", vouched=False)
    assert len(attempts._tried) == REMEMBERED


async def test_a_session_slides_for_thirty_days(world: World) -> None:
    ada = await world.person("ada")
    for _ in range(4):
        world.clock.advance(timedelta(days=29).total_seconds())
        await world.actor(ada.credential)
    world.clock.advance(SESSION_LIFETIME.total_seconds())
    with pytest.raises(Denied, match=r"session expired: it was not used for 30 days") as caught:
        await world.actor(ada.credential)
    assert caught.value.unauthenticated


async def test_signing_out_ends_the_session_and_no_other(world: World) -> None:
    ada = await world.person("ada")
    other = await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "")
    for _ in range(2):
        await logout(NOBODY, world.parts, ada.credential)
    with pytest.raises(Denied, match=r"was signed out"):
        await world.actor(ada.credential)
    await world.actor(other.secret.reveal())
    await logout(NOBODY, world.parts, "ls_unknown")
    await logout(NOBODY, world.parts, "")


async def test_a_token_cannot_be_signed_out(world: World) -> None:
    made = await world.token(await world.person("ada"))
    with pytest.raises(Invalid, match=r"revoked, not signed out"):
        await logout(NOBODY, world.parts, made.secret.reveal())
    await world.actor(made.secret.reveal())


async def test_weak_old_hashes_are_renewed_when_the_password_is_known(world: World) -> None:
    await world.person("ada")
    weak = Argon2Passwords(passes=1, memory_kib=16)
    found = await world.stores.users.by_email("ada@example.com")
    assert found is not None
    await world.stores.users.set_password_hash(found[0].id, await weak.hash(PASSWORD))
    weak.close()
    await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "")
    renewed = await world.stores.users.by_email("ada@example.com")
    assert renewed is not None
    assert "m=8," in renewed[1]
    await login(GATEWAY, world.parts, "ada@example.com", PASSWORD, "")


async def test_ended_sessions_are_remembered_a_while_and_then_forgotten(world: World) -> None:
    ada = await world.person("ada")
    bob = await world.person("bob")
    await logout(NOBODY, world.parts, ada.credential)
    await forget_sessions(GATEWAY, world.parts)
    assert await world.stores.sessions.holder(digest(ada.credential)) is not None
    world.clock.advance(SESSION_MEMORY.total_seconds() + 1)
    assert not await forget_sessions(GATEWAY, world.parts)
    with pytest.raises(Denied, match=r"knows no such session"):
        await world.actor(ada.credential)
    await world.actor(bob.credential)
