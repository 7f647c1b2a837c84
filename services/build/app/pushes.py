"""Takes pushes in: stores them, deploys the branch that is deployed, and tells the pusher how it goes.

The branch moves when the build has succeeded, whether or not the pusher is still there; the loop of pushes sees to it
when this process dies.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from libs.git import pkt
from libs.git.refs import branch_of
from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.kernel.errors import Failure
from libs.kernel.ids import new_id
from services.build.app.ports import Builds, Log
from services.build.domain.model import BuildState
from services.build.domain.push import Push, PushState, deploys, refusal, verdict

# Seconds between two looks at a deployment, and after which a silent line is told that it is alive.
LOOK: Final = 0.3
SILENCE: Final = 20.0
PAGE: Final = 500
MOVED: Final = "it moved meanwhile, or another name is in its way: fetch first"
# Names of branches in one sentence.
SHOWN: Final = 5
# Seconds after which a push that never got a deployment is given up.
FORGOTTEN: Final = 120.0
SETTLED: Final = frozenset({"active", "sleeping", "failed", "crashed", "skipped", "removed", "unknown"})


@dataclass(frozen=True, slots=True)
class Place:
    """A service in an environment, and the branch that is deployed; empty: the usual ones."""

    workspace_id: str
    service_id: str
    environment_id: str
    branch: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a deployment stands."""

    state: str
    reason: str
    url: str


class Places(Protocol):
    """What project knows of where is pushed to."""

    async def place(self, ctx: Ctx, service_id: str, environment_id: str) -> Place:
        """The service as the caller sees it; NotFound when it is not the caller's."""
        ...


class PushDeployments(Protocol):
    """What deploy does with pushes."""

    async def deploy(self, ctx: Ctx, push: Push) -> str:
        """Asks for a deployment on the caller's behalf and gives its id; the same push has one."""
        ...

    async def standing(self, deployment_id: str) -> Standing:
        """How it stands; the state “unknown” when there is none."""
        ...


class PushLedger(Protocol):
    """All pushes that deploy."""

    async def add(self, push: Push) -> bool:
        """Keeps one; False when another one to the same service and environment is pending."""
        ...

    async def get(self, push_id: str) -> Push | None:
        """One by its id."""
        ...

    async def pending(self) -> list[Push]:
        """Those of which it is not known what becomes of them, oldest first."""
        ...

    async def deployed(self, push_id: str, deployment_id: str) -> None:
        """Notes the deployment of a pending one."""
        ...

    async def deployment(self, push: Push) -> str:
        """The deployment that a build knows it by, whether or not it was noted; empty: none."""
        ...

    async def give_up(self, push_id: str) -> None:
        """Refuses one that has no deployment; harmless when it has one, or has ended."""
        ...

    async def end(self, push_id: str, state: PushState) -> None:
        """Ends a pending one; harmless when it has ended."""
        ...


class Incoming(Protocol):
    """A push on its way in, spooled."""

    commands: pkt.Commands

    async def unpack(self, push_id: str, wishes: Sequence[pkt.Command]) -> dict[str, str]:
        """Stores the objects, each wish's below the push's own refs; gives what is wrong, by ref. Invalid: all is."""
        ...


class Bare(Protocol):
    """The repositories that are pushed to."""

    async def advertise(self, place: Place, *, push: bool, protocol: str) -> bytes:
        """What a client reads first."""
        ...

    def receive(
        self, place: Place, chunks: AsyncIterator[bytes], kept: Collection[str]
    ) -> AbstractAsyncContextManager[Incoming]:
        """Spools a push; nothing of it is left when the context ends. Exhausted when it is too large.

        `kept` are the pushes whose own refs are still needed.
        """
        ...

    def upload(self, place: Place, content: bytes, protocol: str) -> AsyncGenerator[bytes, None]:
        """What a fetch asks for."""
        ...

    async def move(self, place: Place, wishes: Sequence[pkt.Command], *, deployed: bool) -> frozenset[str]:
        """Lets refs lead elsewhere; gives those that led nowhere near `old`. Harmless when repeated.

        What is `deployed` is what a clone begins with.
        """
        ...

    async def at(self, place: Place, ref: str) -> str:
        """Where a ref leads; forty zeros when there is none."""
        ...

    async def forget(self, place: Place, push_id: str) -> None:
        """Drops a push's own refs; harmless when there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Pushes:
    """Use cases around pushes."""

    places: Places
    bare: Bare
    ledger: PushLedger
    deployments: PushDeployments
    builds: Builds
    log: Log
    clock: Clock
    # Pushes whose pushers are listened to by this very process.
    _here: set[str] = field(default_factory=set)

    async def advertise(self, ctx: Ctx, service_id: str, environment_id: str, *, push: bool, protocol: str) -> bytes:
        """What a client reads before it fetches or pushes."""
        place = await self.places.place(ctx, service_id, environment_id)
        return await self.bare.advertise(place, push=push, protocol=protocol)

    async def upload(
        self, ctx: Ctx, service_id: str, environment_id: str, content: bytes, protocol: str
    ) -> AsyncIterator[bytes]:
        """What a fetch or a clone asks for."""
        place = await self.places.place(ctx, service_id, environment_id)
        async for chunk in self.bare.upload(place, content, protocol):
            yield chunk

    async def receive(
        self, ctx: Ctx, service_id: str, environment_id: str, chunks: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """Takes a push in and tells how it goes. The caller may leave at any time: the deployment goes on."""
        place = await self.places.place(ctx, service_id, environment_id)
        push_id = new_id("push", self.clock)
        self._here.add(push_id)
        try:
            async with aclosing(self._received(ctx, place, push_id, chunks)) as story:
                async for said in story:
                    yield said
        finally:
            self._here.discard(push_id)

    async def _received(
        self, ctx: Ctx, place: Place, push_id: str, chunks: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        kept = self._here | {one.id for one in await self.ledger.pending()}
        async with self.bare.receive(place, chunks, kept) as incoming:
            wishes = incoming.commands.wishes
            if not wishes:
                return
            wrong = {wish.ref: why for wish in wishes if (why := refusal(wish, place.branch))}
            stored = [wish for wish in wishes if wish.ref not in wrong and wish.new != pkt.ZERO]
            if stored:
                wrong |= await incoming.unpack(push_id, stored)
        if incoming.commands.shallow and "shallow update not allowed" in wrong.values():
            yield _say("Your clone is shallow, and what it lacks is not here. Get it first: git fetch --unshallow")
        good = [wish for wish in wishes if wish.ref not in wrong]
        chosen = next((wish for wish in good if deploys(wish, place.branch)), None)
        if others := [wish for wish in good if wish is not chosen]:
            lost = await self.bare.move(place, others, deployed=False)
            wrong |= dict.fromkeys(lost, MOVED)
            yield _kept(place, [wish for wish in others if wish.ref not in lost])
        if chosen is None:
            await self.bare.forget(place, push_id)
        else:
            async for said in self._deploy(ctx, place, push_id, chosen, wrong):
                yield said
        yield _report(wishes, wrong)

    async def settle(self, push: Push) -> PushState:
        """Moves the branch, or drops the push, once its build has ended. Harmless when repeated."""
        place = Place(push.workspace_id, push.service_id, push.environment_id, "")
        if not push.deployment_id and (deployment_id := await self.ledger.deployment(push)):
            # It was asked for by somebody who died before noting it.
            await self.ledger.deployed(push.id, deployment_id)
            push = replace(push, deployment_id=deployment_id)
        state = await self._verdict(push)
        wish = pkt.Command(push.old_commit, push.new_commit, push.ref)
        if state is PushState.ACCEPTED and await self.bare.move(place, [wish], deployed=True):
            state = PushState.REFUSED
        if state is not PushState.PENDING:
            await self.bare.forget(place, push.id)
            await self.ledger.end(push.id, state)
        return state

    async def _verdict(self, push: Push) -> PushState:
        if not push.deployment_id:
            age = (self.clock.now() - push.created_at).total_seconds()
            return PushState.REFUSED if age > FORGOTTEN and push.id not in self._here else PushState.PENDING
        build = await self.builds.of_deployment(push.deployment_id, None)
        return verdict(build, (await self.deployments.standing(push.deployment_id)).state)

    async def _deploy(
        self, ctx: Ctx, place: Place, push_id: str, wish: pkt.Command, wrong: dict[str, str]
    ) -> AsyncIterator[bytes]:
        push = Push(
            push_id, place.workspace_id, place.service_id, place.environment_id, wish.ref, wish.old, wish.new,
            PushState.PENDING, self.clock.now(),
        )  # fmt: skip
        if (other := await self._enter(push)) is not None:
            await self.bare.forget(place, push_id)
            wrong[wish.ref] = "another push is being built"
            yield _say(_busy(other))
            return
        # Asked when nobody else's push can move it any more.
        if await self.bare.at(place, wish.ref) != wish.old:
            await self._refuse(place, push_id)
            wrong[wish.ref] = MOVED
            return
        try:
            deployment_id = await self.deployments.deploy(ctx, push)
        except Failure as failure:
            await self._refuse(place, push_id)
            wrong[wish.ref] = "not deployed"
            yield _say(str(failure))
            return
        await self.ledger.deployed(push_id, deployment_id)
        yield _say(f"Deploying {wish.new[:12]} as {deployment_id}. Ctrl-C leaves it to go on by itself.")
        async for said in self._story(deployment_id):
            yield said
        if await self._ended(push_id) is not PushState.ACCEPTED:
            build = await self.builds.of_deployment(deployment_id, None)
            wrong[wish.ref] = "the build failed" if build and build.state is BuildState.FAILED else "it was not built"

    async def _enter(self, push: Push) -> Push | None:
        """Keeps a push; gives the one that is in its way instead.

        One that was cut off before it was deployed is not: it is given up.
        """
        if await self.ledger.add(push):
            return None
        other = await self._other(push)
        if other is not None and await self.settle(other) is PushState.PENDING and other.id not in self._here:
            await self.ledger.give_up(other.id)
            await self.bare.forget(Place(other.workspace_id, other.service_id, other.environment_id, ""), other.id)
        if await self.ledger.add(push):
            return None
        return await self._other(push) or push

    async def _refuse(self, place: Place, push_id: str) -> None:
        await self.bare.forget(place, push_id)
        await self.ledger.end(push_id, PushState.REFUSED)

    async def _other(self, push: Push) -> Push | None:
        where = (push.service_id, push.environment_id)
        return next((one for one in await self.ledger.pending() if (one.service_id, one.environment_id) == where), None)

    async def _ended(self, push_id: str) -> PushState:
        """What became of the push; asked until it is known, for deploy hears of a build's end a moment later."""
        while True:
            push = await self.ledger.get(push_id)
            if push is None or push.state is not PushState.PENDING:
                return push.state if push else PushState.REFUSED
            if await self.settle(push) is PushState.PENDING:
                await self.clock.sleep(LOOK)

    async def _story(self, deployment_id: str) -> AsyncIterator[bytes]:
        """The build's log and the deployment's states, until nothing more happens by itself."""
        after, told, spoken = 0, "", self.clock.monotonic()
        while True:
            standing = await self.deployments.standing(deployment_id)
            build = await self.builds.of_deployment(deployment_id, None)
            said = b""
            while build and (lines := await self.log.read(build.id, after, PAGE)):
                after = lines[-1].number
                said += b"".join(_say(f"  {line.text}") for line in lines)
            if standing.state != told and standing.state not in ("queued", "initializing"):
                told = standing.state
                said += _say(_sentence(standing))
            if not said and self.clock.monotonic() - spoken > SILENCE:
                said = pkt.band(pkt.PROGRESS, b"")
            if said:
                spoken = self.clock.monotonic()
                yield said
            if standing.state in SETTLED:
                return
            await self.clock.sleep(LOOK)


def _sentence(standing: Standing) -> str:
    if standing.state == "active":
        return f"Live: {standing.url}" if standing.url else "Live."
    what = {"building": "Building", "deploying": "Starting", "failed": "It failed", "skipped": "Skipped"}
    begin = what.get(standing.state, standing.state.capitalize())
    return f"{begin}: {standing.reason}" if standing.reason else f"{begin}."


def _busy(other: Push) -> str:
    what = f"{branch_of(other.ref)} at {other.new_commit[:7]}"
    where = f" as {other.deployment_id}: lr logs --build {other.deployment_id}" if other.deployment_id else "."
    return f"Another push to this service, {what}, is being built{where}\nPush again when that has ended."


def _kept(place: Place, wishes: Sequence[pkt.Command]) -> bytes:
    """What became of branches that are not deployed; tags speak for themselves."""
    names = [name for wish in wishes if wish.new != pkt.ZERO and (name := branch_of(wish.ref))]
    if not names:
        return b""
    some = f"{', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
    return _say(f"Stored. {some} {'is' if len(names) == 1 else 'are'} not deployed: {place.branch or 'main'} is.")


def _say(text: str) -> bytes:
    return pkt.band(pkt.PROGRESS, f"{text}\n".encode())


def _report(wishes: Sequence[pkt.Command], wrong: dict[str, str]) -> bytes:
    """How each ref fared, as git wants it told."""
    rows = b"".join(
        pkt.line(f"ng {wish.ref} {wrong[wish.ref]}\n" if wish.ref in wrong else f"ok {wish.ref}\n") for wish in wishes
    )
    return pkt.band(pkt.PACK, pkt.line("unpack ok\n") + rows + pkt.FLUSH) + pkt.FLUSH
