"""The router on its store in memory."""

from __future__ import annotations

import pytest

from services.router.domain.facts import RouterFact
from services.router.store.memory import Memory, MemoryFacts, MemoryNames, MemoryPublications, MemoryWorlds
from tests.unit.router.world import Router, Stores


def stores_in_memory(memory: Memory | None = None) -> Stores:
    held = memory or Memory()

    async def told() -> list[RouterFact]:
        return list(held.facts)

    return Stores(
        work=held.work,
        names=MemoryNames(held),
        publications=MemoryPublications(held),
        worlds=MemoryWorlds(held),
        facts=MemoryFacts(held),
        told=told,
    )


@pytest.fixture
def router() -> Router:
    return Router(stores_in_memory())
