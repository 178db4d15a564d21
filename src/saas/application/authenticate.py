"""Prove who is asking."""

from dataclasses import dataclass

from saas.application.actor import Actor, Claims
from saas.application.ports import Clock, Reads, Tokens
from saas.domain.errors import SessionEnded


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Turn an access token into a proven actor.

    The token tells whom it was issued to; session, membership and role are read from the database each time,
    so that logout, removal and demotion take effect on the next request.
    """

    tokens: Tokens
    reads: Reads
    clock: Clock

    async def __call__(self, token: str) -> Actor:
        """Raises `NotAuthenticated` for a bad token, `SessionEnded` for one that no longer counts."""
        return await self.prove(self.claims(token))

    def claims(self, token: str) -> Claims:
        """What a good token says, not yet proven. Raises `NotAuthenticated`."""
        return self.tokens.read_access(token)

    async def prove(self, claims: Claims) -> Actor:
        """Raises `SessionEnded`."""
        actor = await self.reads.actor(claims, self.clock())
        if actor is None:
            raise SessionEnded
        return actor
