"""Three kinds of tokens, each of which is refused where another is asked for."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import pytest

from saas.adapters.system import new_id
from saas.adapters.tokens import JwtTokens
from saas.domain.errors import NotAuthenticated, NotFound
from saas.domain.values import OrganisationId, Role, SessionId, UserId
from tests.scene import NOW, MovableClock

ACCESS, REFRESH = "an access secret for these tests only", "a refresh secret for these tests only"
USER, ACME, SESSION = UserId(new_id()), OrganisationId(new_id()), SessionId(new_id())
CLAIMS: dict[str, object] = {
    "iss": "saas",
    "aud": "saas",
    "sub": str(USER),
    "org": str(ACME),
    "role": "ADMIN",
    "sid": str(SESSION),
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 900,
    "jti": "1",
}


@pytest.fixture
def tokens(clock: MovableClock) -> JwtTokens:
    return JwtTokens(ACCESS, REFRESH, timedelta(minutes=15), clock)


def signed(
    claims: Mapping[str, object] = CLAIMS, *, key: str = ACCESS, typ: str | None = "at+jwt", alg: str = "HS256"
) -> str:
    return jwt.encode(dict(claims), key, alg, headers={"typ": typ})


def segment(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def test_an_access_token_says_whom_it_speaks_for(tokens: JwtTokens) -> None:
    claims = tokens.read_access(tokens.access(USER, ACME, Role.ADMIN, SESSION))

    assert (claims.user_id, claims.organisation_id, claims.session_id) == (USER, ACME, SESSION)
    assert claims.expires_at == (NOW + timedelta(minutes=15)).replace(microsecond=0)
    assert claims.expires_at.tzinfo is UTC


def test_an_access_token_has_the_claims_of_rfc_9068_and_ours(tokens: JwtTokens) -> None:
    token = tokens.access(USER, ACME, Role.MEMBER, SESSION)

    content = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token) == {"typ": "at+jwt", "alg": "HS256"}
    assert content == {**CLAIMS, "role": "MEMBER", "jti": content["jti"]}
    assert len(content["jti"]) == 32


def test_two_access_tokens_of_the_same_moment_differ(tokens: JwtTokens) -> None:
    assert tokens.access(USER, ACME, Role.ADMIN, SESSION) != tokens.access(USER, ACME, Role.ADMIN, SESSION)


def test_the_access_tokens_made_by_hand_here_would_be_good(tokens: JwtTokens) -> None:
    assert tokens.read_access(signed()) == tokens.read_access(tokens.access(USER, ACME, Role.ADMIN, SESSION))


def test_an_access_token_is_good_until_it_expires_by_the_given_clock(tokens: JwtTokens, clock: MovableClock) -> None:
    token = tokens.access(USER, ACME, Role.ADMIN, SESSION)
    expires_at = tokens.read_access(token).expires_at
    clock.now = expires_at - timedelta(microseconds=1)
    tokens.read_access(token)
    clock.now = expires_at

    with pytest.raises(NotAuthenticated, match=r"expired\. Refresh it or log in again\."):
        tokens.read_access(token)


@pytest.mark.parametrize("moment", [datetime(1999, 12, 31, tzinfo=UTC), datetime(2999, 12, 31, tzinfo=UTC)])
def test_no_other_clock_is_asked(tokens: JwtTokens, clock: MovableClock, moment: datetime) -> None:
    clock.now = moment

    tokens.read_access(tokens.access(USER, ACME, Role.ADMIN, SESSION))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(key="another secret of at least 32 bytes"), id="another secret"),
        pytest.param(signed(key=REFRESH), id="the refresh secret"),
        pytest.param(signed(key="x" * 64, alg="HS512"), id="another algorithm and secret"),
        pytest.param(signed(key=ACCESS * 2, alg="HS384"), id="another algorithm"),
        pytest.param(signed(key="", alg="none"), id="no algorithm"),
        pytest.param(f"{segment({'typ': 'at+jwt'})}.{segment(CLAIMS)}.", id="unsigned"),
        pytest.param(signed(typ="JWT"), id="another type"),
        pytest.param(signed(typ="rt+jwt"), id="the type of refresh tokens"),
        pytest.param(signed(typ=None), id="no type"),
        pytest.param(signed({**CLAIMS, "iss": "somebody"}), id="another issuer"),
        pytest.param(signed({**CLAIMS, "aud": "another service"}), id="another audience"),
        pytest.param(signed({**CLAIMS, "aud": ["saas"]}), id="audiences"),
        pytest.param(signed({**CLAIMS, "sub": "ada"}), id="no UUID"),
        pytest.param(signed({**CLAIMS, "org": ""}), id="empty UUID"),
        pytest.param(signed({**CLAIMS, "sid": 7}), id="a number for a UUID"),
        pytest.param(signed({**CLAIMS, "role": "OWNER"}), id="unknown role"),
        pytest.param(signed({**CLAIMS, "exp": "tomorrow"}), id="no number"),
        pytest.param(signed({**CLAIMS, "exp": 10**20}), id="a time after time"),
        pytest.param(signed({**CLAIMS, "exp": -1}), id="a time before time"),
        pytest.param(signed({**CLAIMS, "exp": True}), id="a truth for a time"),
        pytest.param(signed()[:-1], id="cut"),
        pytest.param(signed() + "A", id="extended"),
        pytest.param(signed() + ".A", id="four parts"),
        pytest.param("", id="empty"),
        pytest.param("nonsense", id="nonsense"),
        pytest.param("..", id="dots"),
        pytest.param("a.b.c", id="short parts"),
        pytest.param("é.é.é", id="not ASCII"),
        pytest.param("\ud800", id="not even text"),
        pytest.param("\0", id="NUL"),
        pytest.param("a" * 1_000_000, id="huge"),
        pytest.param(signed({**CLAIMS, "padding": "a" * 100_000}), id="huge but signed"),
        pytest.param(f"{segment([])}.{segment(CLAIMS)}.AAAA", id="a list for a header"),
        pytest.param(f"{segment({'alg': ['HS256']})}.{segment(CLAIMS)}.AAAA", id="a list for an algorithm"),
        pytest.param(f"{segment({'alg': 'HS256', 'crit': [[]]})}.{segment(CLAIMS)}.AAAA", id="strange crit"),
        pytest.param(f"{segment({'alg': 'HS256', 'b64': False})}.{segment(CLAIMS)}.AAAA", id="detached"),
        pytest.param(base64.urlsafe_b64encode(b"[" * 1_200).decode() + ".e30.AAAA", id="deep header"),
        *(
            pytest.param(signed({key: value for key, value in CLAIMS.items() if key != missing}), id=f"no {missing}")
            for missing in CLAIMS
        ),
    ],
)
def test_anything_else_is_no_access_token(tokens: JwtTokens, token: str) -> None:
    with pytest.raises(NotAuthenticated, match="access token is not valid"):
        tokens.read_access(token)


def test_issuer_and_audience_are_those_that_were_set(clock: MovableClock) -> None:
    ours = JwtTokens(ACCESS, REFRESH, timedelta(minutes=15), clock, issuer="us", audience="our clients")
    theirs = JwtTokens(ACCESS, REFRESH, timedelta(minutes=15), clock)
    token = ours.access(USER, ACME, Role.ADMIN, SESSION)

    assert ours.read_access(token).user_id == USER
    with pytest.raises(NotAuthenticated):
        theirs.read_access(token)


def test_kinds_are_told_apart_even_if_the_secrets_are_equal(clock: MovableClock) -> None:
    careless = JwtTokens(ACCESS, ACCESS, timedelta(minutes=15), clock)

    with pytest.raises(NotAuthenticated):
        careless.read_access(careless.refresh(SESSION, 0))
    with pytest.raises(NotAuthenticated):
        careless.read_refresh(careless.access(USER, ACME, Role.ADMIN, SESSION))


def test_a_refresh_token_is_always_the_same_text_for_a_generation(tokens: JwtTokens, clock: MovableClock) -> None:
    token = tokens.refresh(SESSION, 3)
    clock.advance(timedelta(days=20))

    assert tokens.refresh(SESSION, 3) == token
    assert tokens.read_refresh(token) == (SESSION, 3)


def test_a_refresh_token_of_another_generation_or_session_is_another_text(tokens: JwtTokens) -> None:
    texts = {tokens.refresh(SESSION, 0), tokens.refresh(SESSION, 1), tokens.refresh(SessionId(new_id()), 0)}

    assert len(texts) == 3


def test_a_refresh_token_says_nothing_but_session_and_generation(tokens: JwtTokens) -> None:
    token = tokens.refresh(SESSION, 3)

    assert jwt.decode(token, options={"verify_signature": False}) == {"sid": str(SESSION), "gen": 3}
    assert jwt.get_unverified_header(token) == {"typ": "rt+jwt", "alg": "HS256"}


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed({"sid": str(SESSION), "gen": 0}, typ="rt+jwt"), id="the access secret"),
        pytest.param(signed({"sid": str(SESSION), "gen": 0}, key=REFRESH), id="the type of access tokens"),
        pytest.param(signed({"sid": str(SESSION), "gen": 0}, key="", typ="rt+jwt", alg="none"), id="no algorithm"),
        pytest.param(signed({"sid": str(SESSION)}, key=REFRESH, typ="rt+jwt"), id="no generation"),
        pytest.param(signed({"gen": 0}, key=REFRESH, typ="rt+jwt"), id="no session"),
        pytest.param(signed({"sid": "x", "gen": 0}, key=REFRESH, typ="rt+jwt"), id="no UUID"),
        pytest.param(signed({"sid": str(SESSION), "gen": -1}, key=REFRESH, typ="rt+jwt"), id="before the first"),
        pytest.param(signed({"sid": str(SESSION), "gen": 1.5}, key=REFRESH, typ="rt+jwt"), id="between generations"),
        pytest.param(signed({"sid": str(SESSION), "gen": 0, "x": 1}, key=REFRESH, typ="rt+jwt"), id="more than that"),
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="nonsense"),
        pytest.param("é", id="not ASCII"),
        pytest.param("a" * 1_000_000, id="huge"),
    ],
)
def test_anything_else_is_no_refresh_token(tokens: JwtTokens, token: str) -> None:
    with pytest.raises(NotAuthenticated, match="refresh token is not valid"):
        tokens.read_refresh(token)


def test_an_invite_token_leads_to_its_organisation_and_digest(tokens: JwtTokens) -> None:
    token, digest = tokens.new_invite(ACME)

    assert tokens.read_invite(token) == (ACME, digest)
    assert len(digest) == 32


def test_an_invite_token_can_be_put_into_a_link(tokens: JwtTokens) -> None:
    token, _ = tokens.new_invite(OrganisationId(UUID(int=2**128 - 1)))

    assert len(token) == 64
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_no_two_invite_tokens_share_anything_but_the_organisation(tokens: JwtTokens) -> None:
    (first, first_digest), (second, second_digest) = tokens.new_invite(ACME), tokens.new_invite(ACME)

    assert first != second
    assert first_digest != second_digest


def test_the_digest_does_not_give_the_secret_away(tokens: JwtTokens) -> None:
    token, digest = tokens.new_invite(ACME)

    assert digest not in base64.urlsafe_b64decode(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "A" * 63,
        "A" * 65,
        "A" * 64 + "=",
        "A" * 63 + "=",
        "A" * 62 + "==",
        "A" * 63 + "+",
        "A" * 63 + "/",
        "A" * 63 + "\n",
        "A" * 64 + "\n",
        " " + "A" * 64,
        "A" * 32 + "!" + "A" * 32,
        "é" * 64,
        "A" * 1_000_000,
    ],
)
def test_anything_else_is_no_invite_token(tokens: JwtTokens, token: str) -> None:
    with pytest.raises(NotFound, match="This invite does not exist or was already used"):
        tokens.read_invite(token)
