"""The three kinds of tokens: JWTs for access and refresh, plain random bytes for invites."""

import hashlib
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID, uuid4

import jwt
import msgspec
from jwt.types import Options

from saas.application.actor import Claims
from saas.application.ports import Clock
from saas.domain.errors import NotAuthenticated, NotFound
from saas.domain.values import OrganisationId, Role, SessionId, UserId

_ALGORITHM = "HS256"
_MAX_LENGTH = 2_048
_BAD_ACCESS = "The access token is not valid. Log in again."
_EXPIRED_ACCESS = "The access token has expired. Refresh it or log in again."
_BAD_REFRESH = "The refresh token is not valid. Log in again."

# 16 bytes of organisation id and 32 of secret are exactly 64 characters of base64url, without padding or
# spare bits: no two such texts decode to the same bytes.
_INVITE = re.compile(r"[A-Za-z0-9_-]{64}")

Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]  # up to the end of the year 9999


class _AccessClaims(msgspec.Struct):
    iss: str
    aud: str
    sub: UUID
    org: UUID
    role: Role
    sid: UUID
    iat: Seconds
    exp: Seconds
    jti: str


class _RefreshClaims(msgspec.Struct, forbid_unknown_fields=True):
    sid: UUID
    gen: Annotated[int, msgspec.Meta(ge=0)]


_Claims = TypeVar("_Claims", _AccessClaims, _RefreshClaims)


class JwtTokens:
    """HS256, with one secret for access and one for refresh. Access tokens follow RFC 9068; `clock` gives the time."""

    def __init__(
        self,
        access_secret: str,
        refresh_secret: str,
        access_lifetime: timedelta,
        clock: Clock,
        *,
        issuer: str = "saas",
        audience: str = "saas",
    ) -> None:
        self._access_secret = access_secret
        self._refresh_secret = refresh_secret
        self._access_lifetime = access_lifetime
        self._clock = clock
        self._issuer = issuer
        self._audience = audience

    def access(self, user_id: UserId, organisation_id: OrganisationId, role: Role, session_id: SessionId) -> str:
        """Returns a short-lived token for a person in one organisation; no two are equal."""
        now = self._clock()
        claims = _AccessClaims(
            iss=self._issuer,
            aud=self._audience,
            sub=user_id,
            org=organisation_id,
            role=role,
            sid=session_id,
            iat=int(now.timestamp()),
            exp=int((now + self._access_lifetime).timestamp()),
            jti=uuid4().hex,
        )
        return _signed(claims, self._access_secret, "at+jwt")

    def read_access(self, token: str) -> Claims:
        """Returns the token's claims after checking its signature and expiry. Raises `NotAuthenticated`."""
        claims = _read(token, self._access_secret, "at+jwt", _AccessClaims)
        if claims is None or (claims.iss, claims.aud) != (self._issuer, self._audience):
            raise NotAuthenticated(_BAD_ACCESS)
        expires_at = datetime.fromtimestamp(claims.exp, UTC)
        if self._clock() >= expires_at:
            raise NotAuthenticated(_EXPIRED_ACCESS)
        return Claims(UserId(claims.sub), OrganisationId(claims.org), SessionId(claims.sid), expires_at)

    def refresh(self, session_id: SessionId, generation: int) -> str:
        """Returns the refresh token of one generation: always the same text, so it need not be stored."""
        return _signed(_RefreshClaims(sid=session_id, gen=generation), self._refresh_secret, "rt+jwt")

    def read_refresh(self, token: str) -> tuple[SessionId, int]:
        """Returns session and generation; the session decides whether they are valid. Raises `NotAuthenticated`."""
        claims = _read(token, self._refresh_secret, "rt+jwt", _RefreshClaims)
        if claims is None:
            raise NotAuthenticated(_BAD_REFRESH)
        return SessionId(claims.sid), claims.gen

    def new_invite(self, organisation_id: OrganisationId) -> tuple[str, bytes]:
        """Returns a new token, of the organisation's id and a secret, and the digest of the secret, which is stored."""
        secret = secrets.token_bytes(32)
        return urlsafe_b64encode(organisation_id.bytes + secret).decode(), _digest(secret)

    def read_invite(self, token: str) -> tuple[OrganisationId, bytes]:
        """Returns the organisation in the token and the digest to look up there. Raises `NotFound`."""
        if not _INVITE.fullmatch(token):
            raise NotFound("invite")
        content = urlsafe_b64decode(token)
        return OrganisationId(UUID(bytes=content[:16])), _digest(content[16:])


def _digest(secret: bytes) -> bytes:
    # 32 random bytes cannot be guessed from a fast hash, so no slow one is needed.
    return hashlib.sha256(secret).digest()


def _signed(claims: _AccessClaims | _RefreshClaims, secret: str, kind: str) -> str:
    return jwt.encode(msgspec.to_builtins(claims), secret, _ALGORITHM, headers={"typ": kind})


def _read(token: str, secret: str, kind: str, claims: type[_Claims]) -> _Claims | None:
    """Returns the claims of a token that we signed as this kind, or None; the caller checks their values."""
    if len(token) > _MAX_LENGTH or not token.isascii():
        return None
    # PyJWT would compare times with its own clock and accept a missing claim; the claims' types refuse that.
    unchecked: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    try:
        decoded = jwt.decode_complete(token, secret, [_ALGORITHM], options=unchecked)
        return msgspec.convert(decoded["payload"], claims) if decoded["header"].get("typ") == kind else None
    except (jwt.PyJWTError, msgspec.ValidationError):
        return None
