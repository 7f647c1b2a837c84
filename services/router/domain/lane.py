"""One kind of resource on one stream: what the edge holds, what is under way, what it refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from services.router.domain.resources import Resource

# Resources in one response: a first load of ten thousand apps comes in a few bites.
BITE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Batch:
    """One response: these are new or changed, those are gone."""

    news: Mapping[str, Resource]
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An edge did not take this version, and why."""

    version: str
    reason: str


@dataclass(slots=True)
class Lane:
    """Brings an edge from what it holds to a target, one answered batch at a time.

    A refused batch is halved until the culprits are alone; a culprit is set aside until its version changes, and the
    edge keeps its last good one. So one bad resource never holds up another.
    """

    limit: int = BITE
    held: dict[str, Resource] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    flying: Batch | None = None
    _pieces: list[list[str]] = field(default_factory=list)
    _forgotten: set[str] = field(default_factory=set)
    # Asked for, and told that there is no such thing.
    _absent: set[str] = field(default_factory=set)

    def propose(
        self,
        target: Mapping[str, Resource],
        *,
        keep: Collection[str] = (),
        asked: Collection[str] = (),
        owed: bool = False,
    ) -> Batch | None:
        """Returns the next batch and counts it as under way; None: nothing to say, or an answer is awaited.

        `keep` are not removed yet though they left the target. What is `asked` for and does not exist is told as gone,
        once. `owed`: say something even if nothing changed.
        """
        if self.flying is not None:
            return None
        for name in [name for name in self.refused if name not in target]:
            del self.refused[name]
        news = {name: wanted for name, wanted in target.items() if self._wants(name, wanted)}
        gone = tuple(name for name in self.held if name not in target and name not in keep)
        gone += tuple(name for name in asked if not (name in target or name in self.held or name in self._absent))
        piece = self._piece(news)
        if piece:
            news, gone = piece, ()
        if not news and not gone and not owed:
            return None
        if len(news) > self.limit:
            news = dict(islice(news.items(), self.limit))
        self.flying = Batch(news, gone)
        self._forgotten.clear()
        return self.flying

    def accept(self) -> Batch:
        """Takes the edge's yes to what is under way."""
        batch = self._land()
        for name, resource in batch.news.items():
            self.refused.pop(name, None)
            self._absent.discard(name)
            if name not in self._forgotten:
                self.held[name] = resource
        for name in batch.gone:
            if self.held.pop(name, None) is None and name not in self._forgotten:
                self._absent.add(name)
        return batch

    def refuse(self, reason: str) -> Batch:
        """Takes the edge's no. Some of the batch may have been taken all the same: it is told again, in pieces."""
        batch = self._land()
        names = list(batch.news)
        if len(names) > 1:
            middle = len(names) // 2
            self._pieces += [names[middle:], names[:middle]]
        elif names:
            self.refused[names[0]] = Refusal(batch.news[names[0]].version, reason)
        for name in batch.gone:
            self.held.pop(name, None)
        return batch

    def forget(self, name: str) -> None:
        """Takes note that the edge has it no more, or asks for it again."""
        self.held.pop(name, None)
        self.refused.pop(name, None)
        self._absent.discard(name)
        if self.flying is not None:
            self._forgotten.add(name)

    def holding(self, name: str) -> Resource | None:
        """What the edge holds under this name and is not just being told to drop."""
        leaving = self.flying is not None and name in self.flying.gone
        return None if leaving else self.held.get(name)

    def settled(self, name: str) -> bool:
        """Whether the edge has said yes or no to some version of it."""
        return name in self.held or name in self.refused

    def _land(self) -> Batch:
        batch = self.flying
        if batch is None:
            raise ValueError("nothing is under way on this lane")
        self.flying = None
        return batch

    def _wants(self, name: str, wanted: Resource) -> bool:
        held, refusal = self.held.get(name), self.refused.get(name)
        if refusal is not None and refusal.version == wanted.version:
            return False
        return held is None or held.version != wanted.version

    def _piece(self, news: Mapping[str, Resource]) -> dict[str, Resource]:
        while self._pieces:
            piece = self._pieces.pop()
            chosen = {name: news[name] for name in piece if name in news}
            if chosen:
                return chosen
        return {}
