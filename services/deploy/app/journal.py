"""What instances print, and what the platform has to say about them, in the service's log."""

from __future__ import annotations

import asyncio
import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from libs.kernel.clock import Clock
from libs.kernel.context import platform
from libs.kernel.errors import NotFound
from services.deploy.app.ports import Keyring, LogRecord, Logs, Store
from services.deploy.app.runtime import Runtime
from services.deploy.domain.model import Deployment, Instance

CHUNK: Final = 256 * 1024
LONGEST_LINE: Final = 16 * 1024
# Bytes of unread output that are kept on the disk; beyond, the oldest are dropped.
MOST_BACKLOG: Final = 16 * 1024 * 1024
# Lines a second that are kept of one replica (behaviour.md), counted over the time since the last look.
LINES_PER_SECOND: Final = 500
SHORTEST_SECRET: Final = 6
OUTPUT: Final = "output"
PLATFORM: Final = "platform"
_SECRET_NAME: Final = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|KEY|CREDENTIAL|PRIVATE|DSN", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Voice:
    """Whose output it is, and what must not be seen in it."""

    deployment: Deployment
    secrets: tuple[str, ...]


class Journal:
    """Moves what instances print into the log, once, in order, secrets masked."""

    def __init__(self, store: Store, logs: Logs, runtime: Runtime, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._logs = logs
        self._runtime = runtime
        self._keyring = keyring
        self._clock = clock
        self._voices: dict[str, _Voice] = {}
        self._offsets: dict[str, int] = {}
        self._allowance: dict[str, tuple[float, float]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def collect(self, instance: Instance, *, ended: bool) -> bool:
        """Stores an instance's new lines; when it has ended, also one without an end. True: there is more.

        Never inside a transaction: what is remembered of a line that was stored is not taken back with it.
        """
        # Several loops collect; two that read from one place would store its lines twice.
        async with self._turns.setdefault(instance.id, asyncio.Lock()):
            return await self._collect(instance, ended=ended)

    async def hear_out(self, instances: Iterable[Instance]) -> None:
        """Stores what these have printed by now, so that what is said about them comes after it."""
        running = {seen.instance_id for seen in await self._runtime.observe() if seen.alive}
        for instance in instances:
            # One that prints without end is not waited for.
            for _ in range(MOST_BACKLOG // CHUNK):
                if not await self.collect(instance, ended=instance.id not in running):
                    break

    async def _collect(self, instance: Instance, *, ended: bool) -> bool:
        offset = max(instance.log_offset, self._offsets.get(instance.id, 0))
        try:
            chunk = await self._runtime.read_output(instance.id, offset, CHUNK)
        except NotFound:
            return False
        behind = await self._runtime.output_size(instance.id) - offset if len(chunk) == CHUNK else 0
        if behind > MOST_BACKLOG:
            return await self._skip(instance, offset, behind - CHUNK)
        lines, used = split(chunk, ended=ended and len(chunk) < CHUNK)
        if not used:
            return False
        voice = await self._voice(instance.deployment_id)
        kept = self._limit(instance.id, lines)
        now = self._clock.now()
        records = [_record(voice.deployment, mask(text, voice.secrets), now, OUTPUT, instance) for text in kept]
        await self._logs.append(records, instance.id, offset + used)
        self._offsets[instance.id] = offset + used
        await self._runtime.trim_output(instance.id, offset + used)
        return len(chunk) == CHUNK

    async def _skip(self, instance: Instance, offset: int, amount: int) -> bool:
        """Leaves out what nobody could read any more, says so, and frees its room on the disk."""
        voice = await self._voice(instance.deployment_id)
        text = f"[lightrail] {amount // 2**20} MiB of output were dropped: it prints faster than a log can be kept."
        record = _record(voice.deployment, text, self._clock.now(), PLATFORM, instance)
        await self._logs.append([record], instance.id, offset + amount)
        self._offsets[instance.id] = offset + amount
        await self._runtime.trim_output(instance.id, offset + amount)
        return True

    def forget(self, instance_id: str, deployment_id: str = "") -> None:
        """Drops what is remembered of an instance that is gone, and the secrets of its deployment."""
        self._offsets.pop(instance_id, None)
        self._allowance.pop(instance_id, None)
        self._turns.pop(instance_id, None)
        self._voices.pop(deployment_id, None)

    def _limit(self, instance_id: str, lines: Sequence[str]) -> list[str]:
        """Keeps at most 500 lines a second, and says how many were dropped."""
        now = self._clock.monotonic()
        left, since = self._allowance.get(instance_id, (float(LINES_PER_SECOND), now))
        left = min(2.0 * LINES_PER_SECOND, left + (now - since) * LINES_PER_SECOND)
        fits = min(len(lines), int(left))
        self._allowance[instance_id] = (left - fits, now)
        dropped = len(lines) - fits
        kept = list(lines[:fits])
        if dropped:
            kept.append(
                f"[lightrail] {dropped} lines were dropped: this replica prints more than {LINES_PER_SECOND} a second."
            )
        return kept

    async def _voice(self, deployment_id: str) -> _Voice:
        if deployment_id not in self._voices:
            release = await self._store.release(deployment_id)
            values = msgspec.json.decode(
                await self._keyring.open(release.sealed_variables, deployment_id), type=dict[str, str]
            )
            deployment = await self._store.get(platform("deploy"), deployment_id)
            self._voices[deployment_id] = _Voice(
                deployment, hidden(values.get(name, "") for name in release.secret_names)
            )
        return self._voices[deployment_id]


def split(chunk: bytes, *, ended: bool) -> tuple[list[str], int]:
    """Whole lines of a chunk, without their ends, and how many bytes they take. Endless lines are cut."""
    lines: list[str] = []
    used = 0
    while used < len(chunk):
        end = chunk.find(b"\n", used, used + LONGEST_LINE)
        if end >= 0:
            piece, after = chunk[used:end], end + 1
        elif len(chunk) - used >= LONGEST_LINE:
            piece = _whole_characters(chunk[used : used + LONGEST_LINE])
            after = used + len(piece)
        elif ended:
            piece, after = chunk[used:], len(chunk)
        else:
            break
        lines.append(piece.decode("utf-8", "replace").rstrip("\r").replace("\0", "\N{REPLACEMENT CHARACTER}"))
        used = after
    return lines, used


def hidden(values: Iterable[str]) -> tuple[str, ...]:
    """What must not be seen of these values: each whole, and each line of it; longest first."""
    parts = {part for value in values for part in (value, *value.splitlines()) if len(part.strip()) >= SHORTEST_SECRET}
    return tuple(sorted(parts, key=len, reverse=True))


def secret_looking(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Names of variables that hold secrets, by the look of them."""
    return tuple(name for name in variables if _SECRET_NAME.search(name))


def mask(text: str, secrets: Sequence[str]) -> str:
    """The text with every secret value in it hidden."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "••••••")
    return text


async def note(logs: Logs, deployment: Deployment, text: str, now: datetime) -> None:
    """Writes a line of the platform's own into the service's log."""
    record = _record(deployment, f"[lightrail] {text}", now, PLATFORM, None)
    await logs.append([record], "", 0)


def _record(deployment: Deployment, text: str, now: datetime, stream: str, instance: Instance | None) -> LogRecord:
    return LogRecord(
        deployment_id=deployment.id,
        service_id=deployment.service_id,
        environment_id=deployment.environment_id,
        instance_id=instance.id if instance else "",
        replica=instance.replica if instance else 0,
        stream=stream,
        text=text,
        time=now,
    )


def _whole_characters(piece: bytes) -> bytes:
    """The piece without a UTF-8 character that was cut in the middle."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(piece)
    rest, _ = decoder.getstate()
    return piece[: len(piece) - len(rest)] or piece
