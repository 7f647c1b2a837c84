"""The loop that brings the world to the file and to the edges."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.router.domain.world import Key, World
from services.router.loops.edge import WORLD, TellEdges
from services.router.store.memory import Memory
from tests.unit.router.conftest import stores_in_memory
from tests.unit.router.world import KeptWorld, ObedientEdges, Router

A = Key("svc_a", "env_a")


@dataclass
class WatchingFile(KeptWorld):
    """Takes note of what edges had been told when it was written; a full disk while `full`."""

    edges: ObedientEdges = field(default_factory=ObedientEdges)
    told_before: list[int] = field(default_factory=list)
    full: bool = False

    async def remember(self, world: World) -> bool:
        self.told_before.append(self.edges.revision)
        if self.full:
            self.world = None
            return False
        return await super().remember(world)


async def test_what_an_edge_confirms_is_on_disk_already() -> None:
    edges = ObedientEdges()
    file = WatchingFile(edges=edges)
    router = Router(stores_in_memory(Memory()), edges=edges, file=file)
    await router.claim(A)
    version = await router.publish(A, 4001)
    assert file.world is not None
    assert file.world.revision == version == edges.revision
    assert file.told_before == [-1], "written before the edge was told of it"


async def test_a_disk_that_is_full_for_a_while_gets_the_world_when_it_has_room() -> None:
    edges = ObedientEdges()
    file = WatchingFile(edges=edges, full=True)
    router = Router(stores_in_memory(Memory()), edges=edges, file=file)
    await router.claim(A)
    version = await router.publish(A, 4001)
    assert edges.revision == version, "the edge is told all the same"
    telling: TellEdges = router.telling
    for full, kept in ((True, None), (False, version), (True, version)):
        file.full = full
        await telling.step(WORLD)
        assert (file.world and file.world.revision) == kept
    assert len(file.told_before) == 3, "what is kept is not written again"
