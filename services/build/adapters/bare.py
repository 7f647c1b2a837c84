"""The repositories that people push to: bare, one for each service and environment, git's own programs in a sandbox."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from libs.git import pkt
from libs.git.refs import HEADS
from libs.kernel.clock import Clock
from libs.kernel.errors import Exhausted, Invalid, Unavailable
from libs.kernel.ids import new_id
from libs.kernel.units import KIB, MIB, show_bytes
from libs.sandbox.spec import Mount
from services.build.adapters.git import PLACE, Git, Room, Runner
from services.build.adapters.workdir import WorkDirs, remove
from services.build.app.pushes import Place
from services.build.domain.push import INCOMING

REPOSITORY: Final = f"{PLACE}/pushed"
_BODY, _HEAD, _REQUEST, _MOVES = f"{PLACE}/body", f"{PLACE}/head", f"{PLACE}/request", f"{PLACE}/moves"
# Objects of a repository, as a multiple of the largest push.
QUOTA: Final = 4
# How old objects are, at least, that are cleared away because no branch leads to them.
UNUSED: Final = "1.hour.ago"
# Bytes in which a push says what it wants.
_COMMANDS: Final = MIB
_RECEIVE: Final = '{ cat "$1"; tail -c "+$2" "$3"; } | git receive-pack --stateless-rpc "$4"'
_MOVE: Final = 'exec git --git-dir="$2" update-ref -z --stdin < "$1"'
_FORGET: Final = (
    'git --git-dir="$2" for-each-ref --format="delete %(refname)" "$1" | git --git-dir="$2" update-ref --stdin'
)
_UPLOAD: Final = 'exec git upload-pack --strict --stateless-rpc "$2" < "$1"'
_WORK: Final = f"--git-dir={REPOSITORY}"
_PROTOCOL: Final = re.compile(r"^version=[012]$")
_PUSHES: Final = {
    "receive.fsckObjects": "true",
    # Found in old and harmless history.
    "receive.fsck.zeroPaddedFilemode": "warn",
    "receive.fsck.missingSpaceBeforeDate": "warn",
    "receive.fsck.badTimezone": "warn",
    "receive.autogc": "false",
    "receive.denyCurrentBranch": "ignore",
    "receive.advertisePushOptions": "false",
}
_HIDDEN: Final = {"transfer.hideRefs": INCOMING.rstrip("/")}


@dataclass(slots=True)
class SpooledPush:
    """A push in a file."""

    repositories: BareRepositories
    place: Place
    folder: Path
    room: Room
    commands: pkt.Commands

    async def unpack(self, push_id: str, wishes: Sequence[pkt.Command]) -> dict[str, str]:
        """Stores the objects; gives what is wrong, by ref. Invalid when the pack as a whole is."""
        names = {f"{INCOMING}{push_id}/{number}": wish for number, wish in enumerate(wishes)}
        head = b"".join(pkt.line(f"shallow {commit}") for commit in self.commands.shallow)
        for number, (name, wish) in enumerate(names.items()):
            head += pkt.line(f"{pkt.ZERO} {wish.new} {name}" + ("\0 report-status" if number == 0 else ""))
        await asyncio.to_thread((self.folder / "head").write_bytes, head + pkt.FLUSH)
        await asyncio.to_thread(self.repositories.sandbox.adopt_owner, self.folder / "head", self.room.owner)
        said = bytearray()
        errors = bytearray()

        async def heard(stream: str, data: bytes) -> None:
            kept = said if stream == "stdout" else errors
            if len(kept) < MIB:
                kept.extend(data)

        begin = str(self.commands.size + 1)
        room = replace(self.room, settings={**_PUSHES, "receive.maxInputSize": str(self.repositories.limit)})
        argv = ["sh", "-c", _RECEIVE, "sh", _HEAD, begin, _BODY, REPOSITORY]
        await self.repositories.git.pipe(room, argv, heard)
        return _told(bytes(said), errors.decode("utf-8", "replace"), names)


@dataclass(frozen=True, slots=True)
class BareRepositories:
    """Keeps repositories in `root`; `limit` is the largest push in bytes."""

    git: Git
    sandbox: Runner
    work: WorkDirs
    root: Path
    limit: int
    clock: Clock
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Where it was looked for what an earlier process had left.
    _looked: set[Path] = field(default_factory=set)

    async def advertise(self, place: Place, *, push: bool, protocol: str) -> bytes:
        """What a client reads first."""
        program = "receive-pack" if push else "upload-pack"
        async with self._room(place) as (room, _):
            told = replace(room, settings=_HIDDEN, environment=_spoken("" if push else protocol))
            ran = await self.git.run(told, program, "--stateless-rpc", "--advertise-refs", REPOSITORY)
        if not ran.good or ran.cut:
            raise Unavailable(f"The repository cannot be read: {ran.complaint}")
        return pkt.line(f"# service=git-{program}\n") + pkt.FLUSH + ran.out

    @asynccontextmanager
    async def receive(
        self, place: Place, chunks: AsyncIterator[bytes], kept: Collection[str]
    ) -> AsyncIterator[SpooledPush]:
        """Spools a push; nothing of it is left when the context ends. Exhausted when it is too large.

        `kept` are the pushes whose own refs are still needed.
        """
        async with self._room(place, writable=True) as (room, folder):
            if self._path(place) not in self._looked:
                await self._forget_strays(room, kept)
                self._looked.add(self._path(place))
            used = await asyncio.to_thread(_size, self._path(place))
            if used > QUOTA * self.limit // 2:
                await self._clear(room, kept)
                used = await asyncio.to_thread(_size, self._path(place))
            if used > QUOTA * self.limit:
                raise Exhausted(
                    f"The repository holds {show_bytes(used)} already, which is all it may.",
                    hint="Push a smaller history, or raise LIGHTRAIL_SNAPSHOT_LIMIT.",
                )
            body = folder / "body"
            await self._spool(body, chunks)
            await asyncio.to_thread(self.sandbox.adopt_owner, body, room.owner)
            begin = await asyncio.to_thread(_begin, body)
            commands = pkt.Commands((), frozenset(), 0) if begin in (b"", pkt.FLUSH) else pkt.commands(begin)
            if commands.wishes and "side-band-64k" not in commands.capabilities:
                raise Invalid("This git is too old: it cannot be told how a push goes.", hint="Use git 1.7 or newer.")
            yield SpooledPush(self, place, folder, room, commands)

    async def upload(self, place: Place, content: bytes, protocol: str) -> AsyncGenerator[bytes, None]:
        """What a fetch asks for."""
        async with self._room(place) as (room, folder):
            request = folder / "request"
            await asyncio.to_thread(request.write_bytes, content)
            await asyncio.to_thread(self.sandbox.adopt_owner, request, room.owner)
            queue: asyncio.Queue[bytes | None] = asyncio.Queue(8)

            async def heard(stream: str, data: bytes) -> None:
                if stream == "stdout":
                    await queue.put(data)

            async def run() -> None:
                told = replace(room, settings=_HIDDEN, environment=_spoken(protocol))
                try:
                    await self.git.pipe(told, ["sh", "-c", _UPLOAD, "sh", _REQUEST, REPOSITORY], heard)
                finally:
                    await queue.put(None)

            async with asyncio.TaskGroup() as group:
                work = group.create_task(run(), name=f"upload-pack:{place.service_id}")
                try:
                    while (data := await queue.get()) is not None:
                        yield data
                finally:
                    work.cancel()

    async def move(self, place: Place, wishes: Sequence[pkt.Command], *, deployed: bool) -> frozenset[str]:
        """Lets refs lead elsewhere; gives those that led nowhere near `old`. Harmless when repeated.

        What is `deployed` is what a clone begins with.
        """
        async with self._room(place, writable=True) as (room, folder):
            lost = await self._moved(room, folder, wishes)
            kept = [wish.ref for wish in wishes if wish.ref.startswith(HEADS) and wish.new != pkt.ZERO]
            kept = [ref for ref in kept if ref not in lost]
            if kept and (deployed or await self._leads_to(room, "HEAD") == pkt.ZERO):
                await self.git.run(room, _WORK, "symbolic-ref", "HEAD", kept[0])
            return lost

    async def at(self, place: Place, ref: str) -> str:
        """Where a ref leads; forty zeros when there is none."""
        async with self._room(place) as (room, _):
            return await self._leads_to(room, ref)

    async def _leads_to(self, room: Room, ref: str) -> str:
        ran = await self.git.run(room, _WORK, "rev-parse", "--verify", "--quiet", ref)
        return ran.out.decode().strip() if ran.good else pkt.ZERO

    async def _moved(self, room: Room, folder: Path, wishes: Sequence[pkt.Command]) -> frozenset[str]:
        """Moves all at once; in halves when one of them cannot be moved."""
        lines = "".join(f"update {wish.ref}\0{wish.new}\0{wish.old}\0" for wish in wishes)
        await asyncio.to_thread((folder / "moves").write_text, lines, encoding="utf-8")
        await asyncio.to_thread(self.sandbox.adopt_owner, folder / "moves", room.owner)
        ended = await self.git.pipe(room, ["sh", "-c", _MOVE, "sh", _MOVES, REPOSITORY], _unheard)
        if ended.code == 0:
            return frozenset()
        if half := len(wishes) // 2:
            return await self._moved(room, folder, wishes[:half]) | await self._moved(room, folder, wishes[half:])
        (wish,) = wishes
        return frozenset() if await self._leads_to(room, wish.ref) == wish.new else frozenset({wish.ref})

    async def forget(self, place: Place, push_id: str) -> None:
        """Drops a push's own refs; harmless when there are none."""
        if not await asyncio.to_thread(self._path(place).exists):
            return
        async with self._room(place, writable=True) as (room, _):
            await self.git.pipe(room, ["sh", "-c", _FORGET, "sh", f"{INCOMING}{push_id}/", REPOSITORY], _unheard)

    async def _clear(self, room: Room, kept: Collection[str]) -> None:
        """Drops all that no branch, no tag and no push leads to."""
        await self._forget_strays(room, kept)
        # Younger objects may belong to a push under way.
        await self.git.run(room, _WORK, "gc", "--quiet", f"--prune={UNUSED}")

    async def _forget_strays(self, room: Room, kept: Collection[str]) -> None:
        """Drops the refs of pushes that ended without saying so."""
        ran = await self.git.run(room, _WORK, "for-each-ref", "--format=%(refname:lstrip=2)", INCOMING)
        for push_id in {line.partition("/")[0] for line in ran.out.decode().split()}.difference(kept):
            await self.git.pipe(room, ["sh", "-c", _FORGET, "sh", f"{INCOMING}{push_id}/", REPOSITORY], _unheard)

    async def drop(self, service_id: str) -> None:
        """Removes a service's repositories; harmless when there are none."""
        await asyncio.to_thread(remove, self.root / service_id)

    def _path(self, place: Place) -> Path:
        return self.root / place.service_id / f"{place.environment_id}.git"

    @asynccontextmanager
    async def _room(self, place: Place, *, writable: bool = False) -> AsyncIterator[tuple[Room, Path]]:
        """Where git sees the repository, which is made when there is none, and a folder that goes afterwards."""
        owner = f"git:{place.workspace_id}"
        name = f"{new_id('push', self.clock)}-git"
        folder = await asyncio.to_thread(self.work.fresh, name)
        try:
            await asyncio.to_thread(self.sandbox.adopt_owner, folder, owner)
            path = await self._made(place, owner, folder)
            yield Room(owner, [Mount(folder, PLACE, writable=True), Mount(path, REPOSITORY, writable=writable)]), folder
        finally:
            await asyncio.to_thread(self.work.clean, name)

    async def _made(self, place: Place, owner: str, folder: Path) -> Path:
        path = self._path(place)
        async with self._making:
            if await asyncio.to_thread(path.exists):
                return path
            room = Room(owner, [Mount(folder, PLACE, writable=True)])
            await self.git.check(room)
            ran = await self.git.run(
                room, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--", f"{PLACE}/new"
            )
            if not ran.good:
                raise Unavailable(f"The repository cannot be made: {ran.complaint}")
            await asyncio.to_thread(path.parent.mkdir, mode=0o711, parents=True, exist_ok=True)
            await asyncio.to_thread(shutil.move, folder / "new", path)
        return path

    async def _spool(self, body: Path, chunks: AsyncIterator[bytes]) -> None:
        size = 0
        with await asyncio.to_thread(body.open, "wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > self.limit:
                    raise Exhausted(
                        f"The push is larger than {show_bytes(self.limit)}, the limit of this platform.",
                        hint="Leave data and media out of the repository, or raise LIGHTRAIL_SNAPSHOT_LIMIT.",
                    )
                await asyncio.to_thread(file.write, chunk)


async def _unheard(stream: str, data: bytes) -> None:
    """What git says is of no use: how it ended is."""


def _told(said: bytes, errors: str, names: dict[str, pkt.Command]) -> dict[str, str]:
    """Reads how git fared with each ref."""
    lines = [(content or b"").decode("utf-8", "replace").strip() for content, _ in pkt.lines(said)]
    if not lines or lines[0] != "unpack ok":
        why = lines[0].removeprefix("unpack ") if lines else "git gave no answer"
        fatal = next((line for line in errors.splitlines() if "fatal:" in line or "error:" in line), "")
        raise Invalid(f"What was pushed cannot be kept: {fatal.partition(': ')[2] or why}"[: 1 * KIB])
    good = {line.removeprefix("ok ") for line in lines if line.startswith("ok ")}
    reasons = dict(line.removeprefix("ng ").split(" ", 1) for line in lines if line.startswith("ng "))
    return {wish.ref: reasons.get(name, "not stored") for name, wish in names.items() if name not in good}


def _spoken(protocol: str) -> dict[str, str]:
    return {"GIT_PROTOCOL": protocol} if _PROTOCOL.match(protocol) else {}


def _begin(body: Path) -> bytes:
    with body.open("rb") as file:
        return file.read(_COMMANDS)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
