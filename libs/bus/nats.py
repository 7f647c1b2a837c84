"""The bus on NATS JetStream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, Error, NoServersError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from libs.bus.message import Delivery, Message
from libs.kernel.errors import Unavailable
from libs.kernel.secret import Secret
from libs.telemetry import get_logger

STREAM: Final = "LIGHTRAIL"
DEAD_STREAM: Final = "LIGHTRAIL_DEAD"
SUBJECTS: Final = {STREAM: "lightrail.>", DEAD_STREAM: "dead.>"}
KEEP_SECONDS: Final = 7 * 86_400
KEEP_BYTES: Final = 512 * 1024 * 1024
DEDUPE_SECONDS: Final = 120
ACK_WAIT_SECONDS: Final = 30
FETCH: Final = 32
# Silence after which a consumer makes sure that it still exists.
QUIET_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.25
_log = get_logger("bus/nats")


class _NatsDelivery:
    def __init__(self, raw: Msg) -> None:
        self._raw = raw
        self.message = _message(raw)
        self.attempts = raw.metadata.num_delivered

    async def ack(self) -> None:
        await self._raw.ack()

    async def nak(self, delay: float) -> None:
        await self._raw.nak(delay=delay)


class NatsBus:
    """Publishes with acknowledgement; consumers pull. A stream that vanished is made again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=5)

    async def ensure(self) -> None:
        """Makes the streams when they are missing."""
        for name, subject in SUBJECTS.items():
            try:
                await self._js.stream_info(name)
            except NotFoundError:
                await self._js.add_stream(
                    StreamConfig(
                        name=name,
                        subjects=[subject],
                        retention=RetentionPolicy.LIMITS,
                        storage=StorageType.FILE,
                        max_age=KEEP_SECONDS,
                        max_bytes=KEEP_BYTES,
                        duplicate_window=DEDUPE_SECONDS,
                    )
                )

    async def publish(self, message: Message, *, message_id: str) -> None:
        """Returns when JetStream has it; Unavailable when it is away."""
        headers = {**message.headers, "Nats-Msg-Id": message_id}
        try:
            await self._js.publish(message.subject, message.data, headers=headers, timeout=5)
        except (Error, APIError, OSError) as error:
            await self._mend()
            raise Unavailable("The bus is away.", hint="The relay sends it again.") from error

    @asynccontextmanager
    async def consume(self, pattern: str, durable: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Messages for `durable`; the consumer is made again when the stream was lost."""
        yield self._pull(pattern, durable)

    @asynccontextmanager
    async def listen(self, pattern: str) -> AsyncIterator[AsyncIterator[Message]]:
        """Messages from now on, straight from the subject."""
        subscription = await self._client.subscribe(pattern)
        try:
            yield (_message(raw) async for raw in subscription.messages)
        finally:
            if not self._client.is_closed:
                await subscription.unsubscribe()

    async def close(self) -> None:
        """Leaves the bus."""
        await self._client.close()

    async def _pull(self, pattern: str, durable: str) -> AsyncIterator[Delivery]:
        while True:
            try:
                subscription = await self._js.pull_subscribe(
                    pattern,
                    durable=durable,
                    stream=STREAM,
                    config=ConsumerConfig(
                        deliver_policy=DeliverPolicy.ALL,
                        ack_policy=AckPolicy.EXPLICIT,
                        ack_wait=ACK_WAIT_SECONDS,
                        max_ack_pending=FETCH * 4,
                    ),
                )
                async for delivery in _batches(subscription):
                    yield delivery
            except (Error, APIError, OSError) as error:
                _log.info("consumer.lost", durable=durable, error=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
                await self._mend()

    async def _mend(self) -> None:
        try:
            await self.ensure()
        except (Error, APIError, OSError) as error:
            _log.info("bus.away", error=str(error) or type(error).__name__)


async def _batches(subscription: JetStreamContext.PullSubscription) -> AsyncIterator[Delivery]:
    while True:
        try:
            raws = await subscription.fetch(FETCH, timeout=QUIET_SECONDS)
        except TimeoutError:  # the client's own is one of these
            await subscription.consumer_info()  # raises when the stream is gone: then everything is made again
            continue
        for raw in raws:
            yield _NatsDelivery(raw)


async def connect(url: Secret[str], *, name: str, patience: float = 10.0) -> NatsBus:
    """Joins the bus, waiting up to `patience` seconds for it; makes the streams. Unavailable after that."""
    parts = urlsplit(url.reveal())
    await _reachable(parts.hostname or "127.0.0.1", parts.port or 4222, patience)
    try:
        client = await nats.connect(
            url.reveal(),
            name=name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,
            ping_interval=20,
            error_cb=_on_error,
            allow_reconnect=True,
        )
    except (NoServersError, ConnectionClosedError, OSError) as error:
        raise Unavailable("The bus does not answer.", hint="Look at `lightrail platform logs nats`.") from error
    bus = NatsBus(client)
    await bus.ensure()
    return bus


async def _on_error(error: Exception) -> None:
    _log.info("bus.error", error=str(error) or type(error).__name__)


async def _reachable(host: str, port: int, patience: float) -> None:
    """Probes first: the client's own first try on a closed port waits two seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            if loop.time() > deadline:
                raise Unavailable(f"The bus at {host}:{port} does not answer.") from error
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def _message(raw: Msg) -> Message:
    return Message(raw.subject, raw.data, dict(raw.headers or {}))
