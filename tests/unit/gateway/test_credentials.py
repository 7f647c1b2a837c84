"""Credentials are asked about once in five seconds, and never remembered in the clear."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.kernel.context import Actor
from libs.kernel.errors import Denied
from libs.kernel.secret import Secret
from libs.testing.clock import VirtualClock
from services.gateway.app.attempts import Attempts
from services.gateway.app.credentials import CAPACITY, LIFETIME, Credentials
from services.gateway.app.ports import Admission

TOKEN = Secret("ls_token")
READ, WRITE = "lightrail.x.v1.X/Read", "lightrail.x.v1.X/Write"


class Keeper:
    """Knows one token."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.known = True
        self.asked: list[str] = []
        self.good_for = 60.0

    async def admit(self, credential: Secret[str], method: str) -> Admission:
        self.asked.append(method)
        if not self.known:
            raise Denied("unknown", unauthenticated=True)
        return Admission(Actor(kind="user", id="usr_1"), self.clock.now() + timedelta(seconds=self.good_for))


@pytest.fixture
def keeper(clock: VirtualClock) -> Keeper:
    return Keeper(clock)


@pytest.fixture
def credentials(keeper: Keeper, clock: VirtualClock) -> Credentials:
    return Credentials(keeper, clock)


async def test_an_answer_is_used_again_for_its_lifetime_and_not_longer(
    credentials: Credentials, keeper: Keeper, clock: VirtualClock
) -> None:
    for _ in range(3):
        await credentials.admit(TOKEN, READ)
    clock.advance(LIFETIME - 0.01)
    await credentials.admit(TOKEN, READ)
    assert len(keeper.asked) == 1
    clock.advance(0.02)
    await credentials.admit(TOKEN, READ)
    assert len(keeper.asked) == 2


def test_the_lifetime_is_five_seconds_at_most() -> None:
    assert LIFETIME <= 5


async def test_each_method_is_asked_about_by_itself(credentials: Credentials, keeper: Keeper) -> None:
    await credentials.admit(TOKEN, READ)
    await credentials.admit(TOKEN, WRITE)
    assert keeper.asked == [READ, WRITE]


async def test_a_revoked_credential_is_refused_when_the_memory_ends(
    credentials: Credentials, keeper: Keeper, clock: VirtualClock
) -> None:
    await credentials.admit(TOKEN, READ)
    keeper.known = False
    clock.advance(LIFETIME)
    with pytest.raises(Denied):
        await credentials.admit(TOKEN, READ)


async def test_a_refusal_is_not_remembered(credentials: Credentials, keeper: Keeper) -> None:
    keeper.known = False
    with pytest.raises(Denied):
        await credentials.admit(TOKEN, READ)
    keeper.known = True
    assert (await credentials.admit(TOKEN, READ)).actor.id == "usr_1"


async def test_an_identity_that_expires_sooner_is_not_used_longer(
    credentials: Credentials, keeper: Keeper, clock: VirtualClock
) -> None:
    keeper.good_for = 1
    await credentials.admit(TOKEN, READ)
    clock.advance(1)
    await credentials.admit(TOKEN, READ)
    assert len(keeper.asked) == 2


async def test_logging_out_forgets_at_once(credentials: Credentials, keeper: Keeper) -> None:
    await credentials.admit(TOKEN, READ)
    await credentials.admit(Secret("other"), READ)
    credentials.forget(TOKEN)
    await credentials.admit(Secret("other"), READ)
    await credentials.admit(TOKEN, READ)
    assert len(keeper.asked) == 3
    credentials.forget_all()
    await credentials.admit(TOKEN, READ)
    assert len(keeper.asked) == 4


async def test_the_memory_is_bounded_and_holds_no_credential(credentials: Credentials) -> None:
    for number in range(CAPACITY + 10):
        await credentials.admit(Secret(f"token {number}"), READ)
    assert len(credentials._kept) == CAPACITY
    assert not any(b"token" in key for key, _ in credentials._kept)


def test_failures_are_counted_by_address_and_given_back_after_a_minute(clock: VirtualClock) -> None:
    attempts = Attempts(clock, limit=2)
    assert attempts.left("a").remaining == 2
    attempts.failed("a")
    clock.advance(30)
    attempts.failed("a")
    assert (attempts.left("a").remaining, attempts.left("a").reset_seconds) == (0, 30)
    assert attempts.left("b").remaining == 2
    clock.advance(30)
    assert attempts.left("a").remaining == 2
