"""Hints between processes over Redis or Valkey, for loads that PostgreSQL's NOTIFY cannot carry.

Every organisation has a channel, to which a process subscribes only while it has sockets of that organisation.
"""

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from saas.application.live import Hint
from saas.domain.errors import Unavailable
from saas.domain.values import OrganisationId, SessionId

logger = logging.getLogger(__name__)

LOG_CHANNEL = "saas:log:"
ENDED_CHANNEL = "saas:ended"

CONNECT_SECONDS = 2.0
PING_SECONDS = 1.0
SILENCE_SECONDS = 2.5
"""A connection that receives nothing for so long, not even the answer to a ping, counts as dead."""

RECONNECT_SECONDS = 0.5

INTERRUPTED = "Cannot listen for live events (%s); retrying. Live events may be up to 1.5 s late until this recovers."

_ended_decoder = msgspec.json.Decoder(frozenset[SessionId])


class RedisSignals:
    """Publishes through a pool; listens on a separate connection, and reconnects when that one falls silent."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url.replace("valkey://", "redis://", 1),
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=CONNECT_SECONDS,
            retry=Retry(
                NoBackoff(), 0
            ),  # retrying would sleep for seconds; a hint is not worth that, and `run` reconnects
        )
        self._followed: set[OrganisationId] = set()
        self._changed = asyncio.Event()
        self._is_interrupted = False

    def follow(self, organisation_id: OrganisationId) -> None:
        """Subscribe to this organisation's hints, a moment later."""
        self._followed.add(organisation_id)
        self._changed.set()

    def unfollow(self, organisation_id: OrganisationId) -> None:
        """Unsubscribe from this organisation's hints, a moment later."""
        self._followed.discard(organisation_id)
        self._changed.set()

    async def send(self, hint: Hint) -> None:
        """Publish to every subscribed process. Raises `Unavailable`."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for organisation_id, seq in hint.positions.items():
                    pipeline.publish(f"{LOG_CHANNEL}{organisation_id}", seq)
                if hint.ended:
                    pipeline.publish(ENDED_CHANNEL, msgspec.json.encode(hint.ended))
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise Unavailable from error

    async def run(self, on_hint: Callable[[Hint], None]) -> None:
        """Pass every hint that arrives to `on_hint`, until cancelled."""
        try:
            while True:
                try:
                    await self._listen(on_hint)
                except (RedisError, OSError, TimeoutError) as error:
                    self._interrupted(error)
                await asyncio.sleep(RECONNECT_SECONDS)
        finally:
            await self._redis.aclose()

    async def _listen(self, on_hint: Callable[[Hint], None]) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(ENDED_CHANNEL)
            self._resumed()
            subscribing = asyncio.create_task(self._keep_subscribed(pubsub))
            try:
                while not subscribing.done():
                    async with asyncio.timeout(SILENCE_SECONDS):
                        message = await pubsub.get_message(timeout=None)
                    if message and message["type"] == "message":
                        on_hint(_hint(message["channel"].decode(), message["data"]))
                subscribing.result()
            finally:
                subscribing.cancel()
                await asyncio.gather(subscribing, return_exceptions=True)

    def _interrupted(self, error: Exception) -> None:
        if not self._is_interrupted:
            logger.warning(INTERRUPTED, str(error) or type(error).__name__)
            self._is_interrupted = True

    def _resumed(self) -> None:
        if self._is_interrupted:
            logger.info("Listening for live events again.")
            self._is_interrupted = False

    async def _keep_subscribed(self, pubsub: PubSub) -> None:
        """Keep the subscriptions equal to the followed organisations, and ping in between."""
        subscribed: set[OrganisationId] = set()
        while True:
            self._changed.clear()
            wanted = set(self._followed)
            if new := wanted - subscribed:
                await pubsub.subscribe(*(f"{LOG_CHANNEL}{each}" for each in new))
            if old := subscribed - wanted:
                await pubsub.unsubscribe(*(f"{LOG_CHANNEL}{each}" for each in old))
            subscribed = wanted
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                await pubsub.ping()


def _hint(channel: str, data: bytes) -> Hint:
    if channel == ENDED_CHANNEL:
        return Hint(ended=_ended_decoder.decode(data))
    return Hint({OrganisationId(UUID(channel.removeprefix(LOG_CHANNEL))): int(data)})
