"""Auth on its stores in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.rpc import Identity
from libs.testing.clock import VirtualClock
from services.auth.events.codec import encode
from services.auth.store.memory import (
    Memory,
    MemoryFacts,
    MemorySessions,
    MemoryTokens,
    MemoryUsers,
    MemoryWorkspaces,
)
from tests.unit.auth.world import Stores, World


def stores_in_memory() -> Stores:
    memory = Memory()

    async def told() -> list[str]:
        return [encode(fact).subject for fact in memory.facts]

    return Stores(
        work=memory.work,
        users=MemoryUsers(memory),
        workspaces=MemoryWorkspaces(memory),
        tokens=MemoryTokens(memory),
        sessions=MemorySessions(memory),
        facts=MemoryFacts(memory),
        told=told,
    )


@pytest.fixture
def world(tmp_path: Path, clock: VirtualClock, identity: Identity) -> Iterator[World]:
    made = World(stores_in_memory(), tmp_path, clock, identity)
    yield made
    made.passwords.close()
