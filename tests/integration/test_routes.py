"""Every route of the contract, over HTTP as a client would: what it answers, and what it refuses."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import jwt
import pytest

from tests.integration.clients import PASSWORD, Person, accept, fresh_email, join, listening, log_in, person, register
from tests.integration.replies import ID, TIME, granted, listed, refused
from tests.integration.servers import ServerProcess

ORGANISATION = {"id", "name", "slug", "subscriptionPlan", "memberCount", "memberLimit", "createdAt"}
ACTIVITY = {"id", "seq", "type", "message", "metadata", "actor", "target", "createdAt"}
MEMBER = {"id", "email", "name", "role", "organisationId", "createdAt", "updatedAt"}
ADMIN_ROUTES = [
    ("PATCH", "/api/organisations/subscription", {"plan": "PRO"}),
    ("POST", "/api/organisations/broadcast", {"message": "Lunch!"}),
    ("GET", "/api/users", None),
    ("POST", "/api/users/invite", {"email": "cy@example.test"}),
    ("DELETE", "/api/users/00000000-0000-7000-8000-000000000000", None),
    ("DELETE", "/api/users/nobody", None),
    ("PATCH", "/api/users/00000000-0000-7000-8000-000000000000", {"role": "ADMIN"}),
    ("PATCH", "/api/users/nobody", {"role": "ADMIN"}),
]
MEMBER_ROUTES = [("GET", "/api/organisations", None), ("GET", "/api/activities", None)]
LOG_OUT = ("POST", "/api/auth/logout", None)


async def expire(superuser: asyncpg.Connection, invite: dict[str, Any]) -> None:
    changed = await superuser.execute(
        "update invites set expires_at = now() - interval '1 second' where id = $1", invite["id"]
    )
    assert changed == "UPDATE 1"


async def pages(reader: Person, path: str, limit: int) -> list[list[dict[str, Any]]]:
    """All pages of a list, each followed by something new in the organisation."""
    read: list[list[dict[str, Any]]] = []
    cursor: str | None = ""
    while cursor is not None:
        items, cursor = listed(await reader.ask("GET", f"{path}?limit={limit}{cursor and '&cursor='}{cursor}"))
        read.append(items)
        await reader.broadcast("Something new")
    return read


# Signing in and out


async def test_registering_gives_tokens_a_user_and_an_organisation_on_the_free_plan(http: httpx.AsyncClient) -> None:
    email = fresh_email("Ada")
    body = {"name": "Ada", "email": email, "password": PASSWORD, "organisationName": "Byron & Co"}

    data = granted(await http.post("/api/auth/register", json=body), 201)

    assert data.keys() == {"accessToken", "refreshToken", "user", "organisation"}
    assert data["user"] == {"id": data["user"]["id"], "name": "Ada", "email": email, "role": "ADMIN"}
    acme = data["organisation"]
    assert acme == {"id": acme["id"], "name": "Byron & Co", "slug": acme["slug"], "subscriptionPlan": "FREE"}
    assert acme["slug"].startswith("byron-co")
    assert ID.fullmatch(data["user"]["id"])
    assert ID.fullmatch(acme["id"])


async def test_a_registered_person_is_signed_in_as_the_admin_of_their_organisation(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    [member], _ = listed(await ada.ask("GET", "/api/users"))

    assert (member["id"], member["role"], member["organisationId"]) == (ada.id, "ADMIN", ada.organisation["id"])


async def test_request_fields_that_nobody_knows_are_ignored(http: httpx.AsyncClient) -> None:
    body = {"name": "Ada", "email": fresh_email(), "password": PASSWORD, "organisationName": "Acme"}

    granted(await http.post("/api/auth/register", json={**body, "role": "OWNER", "plan": {"is": ["PRO"]}}), 201)


async def test_an_email_in_use_is_refused_in_whatever_letter_case(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    body = {"name": "Eve", "email": ada.email.upper(), "password": PASSWORD, "organisationName": "Evil"}

    refused(await http.post("/api/auth/register", json=body), 409, "email_in_use")
    refused(await http.post("/api/auth/register", json=body | {"email": f" {ada.email} "}), 409, "email_in_use")


async def test_slugs_are_unique_and_never_empty_whatever_the_script_of_the_name(http: httpx.AsyncClient) -> None:
    names = ["Acme", "Acme", "ACME!", "東京", "東京", "Ελλάδα", "🎉", "---", "Ünïcödé Ltd"]

    slugs = [(await register(http, organisation=name)).organisation["slug"] for name in names]

    assert len(set(slugs)) == len(names)
    assert all(slug.replace("-", "").isalnum() and slug.isascii() and slug == slug.lower() for slug in slugs)


@pytest.mark.parametrize("length", [8, 128])
async def test_a_password_may_have_8_to_128_characters(http: httpx.AsyncClient, length: int) -> None:
    body = {"name": "Ada", "email": fresh_email(), "password": "å" * length, "organisationName": "Acme"}

    granted(await http.post("/api/auth/register", json=body), 201)


@pytest.mark.parametrize("length", [0, 7, 129])
async def test_a_password_of_another_length_is_refused(http: httpx.AsyncClient, length: int) -> None:
    body = {"name": "Ada", "email": fresh_email(), "password": "å" * length, "organisationName": "Acme"}

    problem = refused(await http.post("/api/auth/register", json=body), 422, "invalid_value")

    assert [error["field"] for error in problem["errors"]] == ["password"]


async def test_a_password_counts_to_its_last_character(http: httpx.AsyncClient) -> None:
    credentials = {"email": fresh_email(), "password": "å" * 127 + "!"}
    await http.post("/api/auth/register", json={"name": "Ada", "organisationName": "Acme", **credentials})

    granted(await http.post("/api/auth/login", json=credentials))
    almost = {**credentials, "password": "å" * 127 + "?"}
    refused(await http.post("/api/auth/login", json=almost), 401, "wrong_credentials")


async def test_logging_in_gives_the_same_and_a_choice_of_organisations(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    data = granted(await http.post("/api/auth/login", json={"email": ada.email.upper(), "password": PASSWORD}))

    assert data.keys() == {"accessToken", "refreshToken", "user", "organisation", "organisations"}
    assert data["user"] == {"id": ada.id, "name": "Ada", "email": ada.email, "role": "ADMIN"}
    assert data["organisation"] == ada.organisation
    acme = {key: ada.organisation[key] for key in ("id", "name", "slug")}
    assert data["organisations"] == [{**acme, "role": "ADMIN"}]


async def test_an_unknown_email_and_a_wrong_password_are_answered_alike(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    headers = {"X-Request-ID": "the-same"}

    wrong = await http.post("/api/auth/login", json={"email": ada.email, "password": "wrong"}, headers=headers)
    unknown = await http.post("/api/auth/login", json={"email": fresh_email(), "password": PASSWORD}, headers=headers)
    nonsense = await http.post("/api/auth/login", json={"email": "nobody", "password": PASSWORD}, headers=headers)

    refused(wrong, 401, "wrong_credentials")
    assert wrong.content == unknown.content == nonsense.content


async def test_an_access_token_is_a_jwt_with_exactly_the_promised_claims(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    claims = jwt.decode(ada.access_token, options={"verify_signature": False})

    assert jwt.get_unverified_header(ada.access_token) == {"typ": "at+jwt", "alg": "HS256"}
    assert claims.keys() == {"iss", "aud", "sub", "org", "role", "sid", "iat", "exp", "jti"}
    assert (claims["sub"], claims["org"], claims["role"]) == (ada.id, ada.organisation["id"], "ADMIN")
    assert claims["exp"] - claims["iat"] == 15 * 60


async def test_refreshing_gives_a_new_pair_that_works(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    data = granted(await http.post("/api/auth/refresh", json={"refreshToken": ada.refresh_token}))

    assert data.keys() == {"accessToken", "refreshToken"}
    assert ada.access_token != data["accessToken"]
    assert ada.refresh_token != data["refreshToken"]
    ada.access_token = data["accessToken"]
    assert (await ada.data("GET", "/api/organisations"))["id"] == ada.organisation["id"]
    granted(await http.post("/api/auth/refresh", json={"refreshToken": data["refreshToken"]}))


async def test_an_access_token_is_no_refresh_token_nor_the_other_way_round(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    refused(await http.post("/api/auth/refresh", json={"refreshToken": ada.access_token}), 401, "not_authenticated")
    ada.access_token = ada.refresh_token
    refused(await ada.ask("GET", "/api/organisations"), 401, "not_authenticated")


async def test_logging_out_ends_the_session_for_both_of_its_tokens(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    assert granted(await ada.ask(*LOG_OUT)) is None

    refused(await ada.ask("GET", "/api/organisations"), 401, "session_ended")
    refused(await ada.ask(*LOG_OUT), 401, "session_ended")
    refused(await http.post("/api/auth/refresh", json={"refreshToken": ada.refresh_token}), 401, "session_ended")


async def test_logging_out_leaves_other_sessions_of_the_person_alone(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    at_home = await log_in(http, ada.email)

    granted(await ada.ask(*LOG_OUT))

    granted(await at_home.ask("GET", "/api/organisations"))


async def test_logging_out_with_the_refresh_token_of_another_own_session_ends_that_too(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    at_home = await log_in(http, ada.email)

    granted(await ada.ask("POST", "/api/auth/logout", {"refreshToken": at_home.refresh_token}))

    refused(await at_home.ask("GET", "/api/organisations"), 401, "session_ended")


@pytest.mark.parametrize("token", ["nonsense", ""])
async def test_logging_out_ignores_a_refresh_token_that_is_none(http: httpx.AsyncClient, token: str) -> None:
    ada = await register(http)

    granted(await ada.ask("POST", "/api/auth/logout", {"refreshToken": token}))

    refused(await ada.ask("GET", "/api/organisations"), 401, "session_ended")


async def test_logging_out_with_somebody_elses_refresh_token_does_nothing_to_them(http: httpx.AsyncClient) -> None:
    ada, eve = await register(http), await register(http, "Eve", "Evil")

    granted(await eve.ask("POST", "/api/auth/logout", {"refreshToken": ada.refresh_token}))

    granted(await ada.ask("GET", "/api/organisations"))
    granted(await http.post("/api/auth/refresh", json={"refreshToken": ada.refresh_token}))


# The organisation


async def test_an_organisation_shows_its_plan_and_how_many_seats_are_taken(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    await join(ada)

    acme = granted(await ada.ask("GET", "/api/organisations"))

    assert acme.keys() == ORGANISATION
    assert acme == ada.organisation | {"memberCount": 2, "memberLimit": 3, "createdAt": acme["createdAt"]}
    assert TIME.fullmatch(acme["createdAt"])
    assert datetime.now(UTC) - datetime.fromisoformat(acme["createdAt"]) < timedelta(minutes=1)


@pytest.mark.parametrize(("plan", "limit"), [("PRO", 10), ("ENTERPRISE", None)])
async def test_changing_the_plan_answers_with_the_organisation(
    http: httpx.AsyncClient, plan: str, limit: int | None
) -> None:
    ada = await register(http)

    changed = granted(await ada.ask("PATCH", "/api/organisations/subscription", {"plan": plan}))

    assert changed == granted(await ada.ask("GET", "/api/organisations"))
    assert (changed["subscriptionPlan"], changed["memberLimit"]) == (plan, limit)


async def test_the_plan_one_is_on_already_is_refused(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    refused(await ada.ask("PATCH", "/api/organisations/subscription", {"plan": "FREE"}), 400, "already_on_plan")


async def test_a_downgrade_that_does_not_fit_says_what_blocks_it_and_works_once_that_is_gone(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    await ada.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
    bo = await join(ada)
    invites = [await ada.invite(), await ada.invite()]

    problem = refused(
        await ada.ask("PATCH", "/api/organisations/subscription", {"plan": "FREE"}), 409, "plan_too_small"
    )

    assert "FREE plan has 3 seats" in problem["detail"]
    assert "2 are taken by members and 2 promised" in problem["detail"]
    assert (await ada.data("GET", "/api/organisations"))["subscriptionPlan"] == "PRO"

    await expire(superuser, invites[0])
    granted(await ada.ask("PATCH", "/api/organisations/subscription", {"plan": "FREE"}))
    assert bo.id in [member["id"] for member in await ada.data("GET", "/api/users")]


async def test_a_broadcast_answers_with_the_activity_that_the_feed_shows(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    said = granted(await ada.ask("POST", "/api/organisations/broadcast", {"message": " Lunch\nat noon! "}), 201)

    assert said == (await ada.feed())[-1]
    assert said.keys() == ACTIVITY
    assert (said["type"], said["message"]) == ("BROADCAST_MESSAGE", " Lunch\nat noon! ")
    assert said["metadata"] == {"message": " Lunch\nat noon! ", "sentBy": ada.id, "sentAt": said["createdAt"]}
    assert (said["actor"], said["target"]) == ({"id": ada.id, "name": "Ada", "email": ada.email}, None)


@pytest.mark.parametrize("message", ["!", "ä" * 4_000, "🎉" * 4_000])
async def test_a_broadcast_may_have_1_to_4000_characters(http: httpx.AsyncClient, message: str) -> None:
    ada = await register(http)

    said = granted(await ada.ask("POST", "/api/organisations/broadcast", {"message": message}), 201)

    assert said["message"] == message


@pytest.mark.parametrize("message", ["", "  \n", "ä" * 4_001])
async def test_a_broadcast_of_nothing_or_too_much_is_refused(http: httpx.AsyncClient, message: str) -> None:
    ada = await register(http)

    problem = refused(await ada.ask("POST", "/api/organisations/broadcast", {"message": message}), 422, "invalid_value")

    assert [error["field"] for error in problem["errors"]] == ["message"]
    assert [entry["type"] for entry in await ada.feed()] == ["ORGANISATION_CREATED"]


# Members and invites


async def test_the_members_are_listed_with_exactly_their_fields(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)

    members, cursor = listed(await ada.ask("GET", "/api/users"))

    assert cursor is None
    assert [member["id"] for member in members] == [ada.id, bo.id]
    for member in members:
        assert member.keys() == MEMBER
        assert ID.fullmatch(member["id"])
        assert TIME.fullmatch(member["createdAt"])
        assert TIME.fullmatch(member["updatedAt"])
        assert member["organisationId"] == ada.organisation["id"]
    assert [(member["name"], member["email"], member["role"]) for member in members] == [
        ("Ada", ada.email, "ADMIN"),
        ("Bo", bo.email, "MEMBER"),
    ]


async def test_an_invite_is_good_for_24_hours_and_for_a_member_unless_said_otherwise(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    email = fresh_email("Bo")

    invite = granted(await ada.ask("POST", "/api/users/invite", {"email": email.upper()}), 201)

    assert invite.keys() == {"id", "email", "role", "token", "expiresAt"}
    assert (invite["email"], invite["role"]) == (email, "MEMBER")
    assert ID.fullmatch(invite["id"])
    assert TIME.fullmatch(invite["expiresAt"])
    lifetime = datetime.fromisoformat(invite["expiresAt"]) - datetime.now(UTC)
    assert timedelta(hours=24) - timedelta(minutes=1) < lifetime <= timedelta(hours=24)


async def test_accepting_an_invite_makes_a_member_who_can_log_in(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    invite = await ada.invite(role="ADMIN")

    joined = granted(await accept(http, invite, "Bo"), 201)

    assert joined == {
        "id": joined["id"],
        "name": "Bo",
        "email": invite["email"],
        "role": "ADMIN",
        "organisationId": ada.organisation["id"],
    }
    bo = await log_in(http, invite["email"])
    assert bo.id == joined["id"]
    assert [member["id"] for member in await bo.data("GET", "/api/users")] == [ada.id, bo.id]


async def test_a_full_plan_refuses_an_invite_and_an_expired_one_frees_its_seat(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    await join(ada)
    invite = await ada.invite()

    refused(await ada.ask("POST", "/api/users/invite", {"email": fresh_email()}), 403, "seat_limit_reached")
    await expire(superuser, invite)
    granted(await ada.ask("POST", "/api/users/invite", {"email": fresh_email()}), 201)


async def test_removing_a_member_frees_their_seat(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo, _ = await join(ada), await join(ada, "Cy")
    refused(await ada.ask("POST", "/api/users/invite", {"email": fresh_email()}), 403, "seat_limit_reached")

    granted(await ada.ask("DELETE", f"/api/users/{bo.id}"))

    granted(await ada.ask("POST", "/api/users/invite", {"email": fresh_email()}), 201)


async def test_a_member_is_not_invited_again(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)

    for email in (bo.email, bo.email.upper(), ada.email):
        refused(await ada.ask("POST", "/api/users/invite", {"email": email}), 409, "already_member")


async def test_an_open_invite_blocks_another_to_the_same_address_whatever_its_letter_case(
    http: httpx.AsyncClient,
) -> None:
    ada = await register(http)
    invite = await ada.invite()

    for email in (invite["email"], invite["email"].upper()):
        refused(await ada.ask("POST", "/api/users/invite", {"email": email}), 409, "already_invited")


async def test_an_expired_invite_blocks_nothing_and_can_no_longer_be_accepted(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    old = await ada.invite()
    await expire(superuser, old)
    refused(await accept(http, old), 410, "invite_expired")

    new = await ada.invite(old["email"])

    refused(await accept(http, old), 410, "invite_expired")
    granted(await accept(http, new), 201)
    assert [entry["type"] for entry in await ada.feed()] == [
        "ORGANISATION_CREATED",
        "INVITE_SENT",
        "INVITE_EXPIRED",
        "INVITE_SENT",
        "INVITE_ACCEPTED",
        "USER_JOINED",
    ]


async def test_an_invite_is_accepted_once(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    invite = await ada.invite()
    granted(await accept(http, invite), 201)

    refused(await accept(http, invite), 404, "not_found")


@pytest.mark.parametrize("token", ["x", "A" * 64, "é" * 64, "A" * 10_000])
async def test_an_invite_that_nobody_sent_is_not_found(http: httpx.AsyncClient, token: str) -> None:
    refused(await accept(http, {"token": token}), 404, "not_found")


async def test_an_invite_is_refused_when_the_plan_has_shrunk_below_the_members(
    http: httpx.AsyncClient, superuser: asyncpg.Connection
) -> None:
    ada = await register(http)
    await ada.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
    await asyncio.gather(join(ada), join(ada))
    invite = await ada.invite()
    await superuser.execute("update organisations set plan = 'FREE' where id = $1", ada.organisation["id"])

    refused(await accept(http, invite), 403, "seat_limit_reached")

    assert len(await ada.data("GET", "/api/users")) == 3


async def test_whoever_has_an_account_joins_with_its_password_and_keeps_its_name(http: httpx.AsyncClient) -> None:
    ada, bo = await register(http), await register(http, "Bo", "Bo's own")
    invite = await ada.invite(bo.email)

    joined = granted(await accept(http, invite, "Somebody else"), 201)

    assert (joined["id"], joined["name"], joined["organisationId"]) == (bo.id, "Bo", ada.organisation["id"])


async def test_whoever_has_an_account_cannot_join_with_another_password(http: httpx.AsyncClient) -> None:
    ada, bo = await register(http), await register(http, "Bo", "Bo's own")
    invite = await ada.invite(bo.email)
    body = {"token": invite["token"], "name": "Bo", "password": "not the one of Bo"}

    refused(await http.post("/api/users/accept-invite", json=body), 409, "account_exists")

    assert (await log_in(http, bo.email)).organisation == bo.organisation
    granted(await accept(http, invite), 201)


async def test_a_person_in_two_organisations_logs_in_to_either_and_refreshes_into_the_other(
    http: httpx.AsyncClient,
) -> None:
    ada, bo = await register(http), await register(http, "Bo", "Bo's own")
    own, acme = bo.organisation["id"], ada.organisation["id"]
    granted(await accept(http, await ada.invite(bo.email)), 201)

    data = granted(await http.post("/api/auth/login", json={"email": bo.email, "password": PASSWORD}))
    assert [(each["id"], each["role"]) for each in data["organisations"]] == [(own, "ADMIN"), (acme, "MEMBER")]
    assert (data["organisation"]["id"], data["user"]["role"]) == (own, "ADMIN")

    body = {"email": bo.email, "password": PASSWORD, "organisationId": acme}
    data = granted(await http.post("/api/auth/login", json=body))
    assert (data["organisation"]["id"], data["user"]["role"]) == (acme, "MEMBER")
    guest = person(http, data)
    assert (await guest.data("GET", "/api/organisations"))["id"] == acme
    refused(await guest.ask("GET", "/api/users"), 403, "admin_only")

    switch = {"refreshToken": guest.refresh_token, "organisationId": own}
    guest.access_token = granted(await http.post("/api/auth/refresh", json=switch))["accessToken"]
    assert (await guest.data("GET", "/api/organisations"))["id"] == own
    assert [member["id"] for member in await guest.data("GET", "/api/users")] == [bo.id]


async def test_a_removed_member_is_out_at_once(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)

    assert granted(await ada.ask("DELETE", f"/api/users/{bo.id}")) == {"removed": True}

    refused(await bo.ask("GET", "/api/organisations"), 401, "session_ended")
    refused(await http.post("/api/auth/refresh", json={"refreshToken": bo.refresh_token}), 401, "session_ended")
    credentials = {"email": bo.email, "password": PASSWORD}
    refused(await http.post("/api/auth/login", json=credentials), 403, "no_organisation")
    refused(await ada.ask("DELETE", f"/api/users/{bo.id}"), 404, "not_found")
    assert (await ada.data("GET", "/api/organisations"))["memberCount"] == 1


async def test_a_removed_member_can_be_invited_back(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)
    granted(await ada.ask("DELETE", f"/api/users/{bo.id}"))

    granted(await accept(http, await ada.invite(bo.email)), 201)

    assert (await log_in(http, bo.email)).id == bo.id


async def test_a_new_role_acts_on_the_next_request_and_is_answered_as_the_list_shows_it(
    http: httpx.AsyncClient,
) -> None:
    ada = await register(http)
    bo = await join(ada)

    promoted = granted(await ada.ask("PATCH", f"/api/users/{bo.id}", {"role": "ADMIN"}))

    assert promoted.keys() == MEMBER
    assert promoted["role"] == "ADMIN"
    assert promoted["updatedAt"] > promoted["createdAt"]
    assert promoted in await bo.data("GET", "/api/users")

    demoted = granted(await ada.ask("PATCH", f"/api/users/{bo.id}", {"role": "MEMBER"}))

    assert demoted == {**promoted, "role": "MEMBER", "updatedAt": demoted["updatedAt"]}
    refused(await bo.ask("GET", "/api/users"), 403, "admin_only")
    granted(await bo.ask("GET", "/api/organisations"))
    await bo.refresh()
    refused(await bo.ask("GET", "/api/users"), 403, "admin_only")


async def test_a_role_that_somebody_has_already_is_refused(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)

    for who, role in ((ada, "ADMIN"), (bo, "MEMBER")):
        refused(await ada.ask("PATCH", f"/api/users/{who.id}", {"role": role}), 400, "already_in_role")


async def test_the_last_admin_can_leave_by_doing_what_each_refusal_says(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)
    step_down = ("PATCH", f"/api/users/{ada.id}", {"role": "MEMBER"})
    before = await ada.feed()

    problem = refused(await ada.ask("DELETE", f"/api/users/{ada.id}"), 400, "cannot_remove_yourself")
    assert "Change your own role to MEMBER, then ask another admin" in problem["detail"]
    problem = refused(await ada.ask(*step_down), 409, "last_admin")
    assert "Change another member's role to ADMIN first" in problem["detail"]
    assert await ada.feed() == before

    granted(await ada.ask("PATCH", f"/api/users/{bo.id}", {"role": "ADMIN"}))
    problem = refused(await bo.ask("DELETE", f"/api/users/{ada.id}"), 403, "cannot_remove_admin")
    assert "Change their role to MEMBER first" in problem["detail"]
    granted(await ada.ask(*step_down))
    assert granted(await bo.ask("DELETE", f"/api/users/{ada.id}")) == {"removed": True}

    refused(await ada.ask("GET", "/api/organisations"), 401, "session_ended")
    refused(await bo.ask("PATCH", f"/api/users/{ada.id}", {"role": "ADMIN"}), 404, "not_found")


async def test_everybody_hears_of_a_new_role_and_the_demoted_go_on_listening(
    http: httpx.AsyncClient, server: ServerProcess
) -> None:
    ada = await register(http)
    bo = await join(ada, role="ADMIN")
    async with listening(server.live_url, bo.access_token) as bos, listening(server.live_url, ada.access_token) as adas:
        await ada.data("PATCH", f"/api/users/{bo.id}", {"role": "MEMBER"})
        last = await ada.broadcast("Still there?")

        for socket in (bos, adas):
            frame = await socket.until("USER_ROLE_CHANGED")
            assert frame["payload"] == {"userId": bo.id, "from": "ADMIN", "to": "MEMBER", "changedBy": ada.id}
            assert (await socket.until("BROADCAST_MESSAGE"))["seq"] == last["seq"] == frame["seq"] + 1


async def test_nobody_removes_themselves(http: httpx.AsyncClient) -> None:
    ada = await register(http)

    refused(await ada.ask("DELETE", f"/api/users/{ada.id}"), 400, "cannot_remove_yourself")

    granted(await ada.ask("GET", "/api/organisations"))


async def test_nobody_removes_an_admin(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada, role="ADMIN")

    refused(await ada.ask("DELETE", f"/api/users/{bo.id}"), 403, "cannot_remove_admin")

    assert len(await bo.data("GET", "/api/users")) == 2


@pytest.mark.parametrize("route", ADMIN_ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
async def test_a_member_may_not_do_what_is_for_admins(http: httpx.AsyncClient, route: tuple[str, str, object]) -> None:
    ada = await register(http)
    bo = await join(ada)
    before = await ada.feed()

    refused(await bo.ask(*route), 403, "admin_only")

    assert await ada.feed() == before


async def test_a_member_may_see_the_organisation_and_its_feed(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada)

    assert await bo.data("GET", "/api/organisations") == await ada.data("GET", "/api/organisations")
    assert await bo.feed() == await ada.feed()


@pytest.mark.parametrize("route", [*ADMIN_ROUTES, *MEMBER_ROUTES, LOG_OUT], ids=lambda route: f"{route[0]} {route[1]}")
async def test_without_a_token_there_is_nothing_to_see(http: httpx.AsyncClient, route: tuple[str, str, object]) -> None:
    method, path, body = route

    refused(await http.request(method, path, json=body), 401, "not_authenticated")


# The feed and its pages


async def test_the_feed_tells_what_happened_newest_first_and_with_whom(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    invite = await ada.invite(fresh_email("Bo"))
    granted(await accept(http, invite, "Bo"), 201)
    bo = await log_in(http, invite["email"])
    await ada.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
    await ada.data("PATCH", "/api/organisations/subscription", {"plan": "FREE"})
    for role in ("ADMIN", "MEMBER"):
        await ada.data("PATCH", f"/api/users/{bo.id}", {"role": role})
    await ada.data("DELETE", f"/api/users/{bo.id}")

    entries, cursor = listed(await ada.ask("GET", "/api/activities"))

    assert cursor is None
    assert [entry["seq"] for entry in entries] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    a, b = ({"id": who.id, "name": name, "email": who.email} for who, name in ((ada, "Ada"), (bo, "Bo")))
    times = {entry["type"]: entry["createdAt"] for entry in entries}
    assert [(entry["type"], entry["metadata"], entry["actor"], entry["target"]) for entry in entries] == [
        ("USER_REMOVED", {"userId": bo.id, "removedBy": ada.id}, a, b),
        ("USER_ROLE_CHANGED", {"userId": bo.id, "from": "ADMIN", "to": "MEMBER", "changedBy": ada.id}, a, b),
        ("USER_ROLE_CHANGED", {"userId": bo.id, "from": "MEMBER", "to": "ADMIN", "changedBy": ada.id}, a, b),
        ("PLAN_DOWNGRADED", {"from": "PRO", "to": "FREE", "downgradedAt": times["PLAN_DOWNGRADED"]}, a, None),
        ("PLAN_UPGRADED", {"from": "FREE", "to": "PRO", "upgradedAt": times["PLAN_UPGRADED"]}, a, None),
        ("USER_JOINED", {"userId": bo.id, "name": "Bo", "email": bo.email, "role": "MEMBER"}, b, None),
        ("INVITE_ACCEPTED", {"inviteId": invite["id"], "email": bo.email, "userId": bo.id}, b, None),
        (
            "INVITE_SENT",
            {"inviteId": invite["id"], "email": bo.email, "role": "MEMBER", "expiresAt": invite["expiresAt"]},
            a,
            None,
        ),
        ("ORGANISATION_CREATED", {"name": "Acme", "createdBy": ada.id}, a, None),
    ]
    for entry in entries:
        assert entry.keys() == ACTIVITY
        assert ID.fullmatch(entry["id"])
        assert TIME.fullmatch(entry["createdAt"])
        assert entry["message"]


async def test_people_who_left_keep_their_names_in_the_feed(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    bo = await join(ada, "Bo", role="MEMBER")
    before = await ada.feed()

    await ada.data("DELETE", f"/api/users/{bo.id}")

    after = await ada.feed()
    assert after[:-1] == before
    assert after[-1]["message"] == "Ada removed Bo"
    assert [entry["actor"]["name"] for entry in after] == ["Ada", "Ada", "Bo", "Bo", "Ada"]


async def test_a_page_has_50_entries_unless_asked_otherwise_and_200_at_most(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    for _ in range(20):
        await asyncio.gather(*(ada.broadcast("Again") for _ in range(10)))

    for limit, expected in (("", 50), ("?limit=1", 1), ("?limit=51", 51), ("?limit=200", 200)):
        entries, cursor = listed(await ada.ask("GET", f"/api/activities{limit}"))
        assert [entry["seq"] for entry in entries] == list(range(201, 201 - expected, -1))
        assert cursor is not None
    for path in ("/api/activities", "/api/users"):
        problem = refused(await ada.ask("GET", f"{path}?limit=201"), 422, "invalid_value")
        assert [error["field"] for error in problem["errors"]] == ["limit"]


async def test_following_the_cursors_shows_every_entry_exactly_once_while_new_ones_arrive(
    http: httpx.AsyncClient,
) -> None:
    ada = await register(http)
    for _ in range(9):
        await ada.broadcast("Again")

    read = await pages(ada, "/api/activities", limit=4)

    assert [[entry["seq"] for entry in page] for page in read] == [[10, 9, 8, 7], [6, 5, 4, 3], [2, 1]]


async def test_a_full_last_page_does_not_promise_another(http: httpx.AsyncClient) -> None:
    ada = await register(http)
    await ada.broadcast("Again")

    entries, cursor = listed(await ada.ask("GET", "/api/activities?limit=2"))

    assert (len(entries), cursor) == (2, None)


async def test_following_the_cursors_shows_every_member_exactly_once_while_some_join_and_leave(
    http: httpx.AsyncClient,
) -> None:
    ada = await register(http)
    await ada.data("PATCH", "/api/organisations/subscription", {"plan": "PRO"})
    bo, cy, di = [await join(ada, name) for name in ("Bo", "Cy", "Di")]

    first, cursor = listed(await ada.ask("GET", "/api/users?limit=2"))
    await ada.data("DELETE", f"/api/users/{bo.id}")
    ed = await join(ada, "Ed")
    second, cursor = listed(await ada.ask("GET", f"/api/users?limit=2&cursor={cursor}"))
    third, cursor = listed(await ada.ask("GET", f"/api/users?limit=2&cursor={cursor}"))

    assert [[member["id"] for member in page] for page in (first, second, third)] == [
        [ada.id, bo.id],
        [cy.id, di.id],
        [ed.id],
    ]
    assert cursor is None


# Every reply


async def test_health_says_ok(http: httpx.AsyncClient) -> None:
    for path in ("/health", "/health/ready"):
        reply = await http.get(path)
        assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/health", "/api/organisations", "/nowhere", "/docs", "/docs-assets/swagger-ui.css"])
async def test_a_sane_request_id_is_kept(http: httpx.AsyncClient, path: str) -> None:
    for request_id in ("a", "7f3e-Trace_42.b", "x" * 128):
        reply = await http.get(path, headers={"X-Request-ID": request_id})
        assert reply.headers.get_list("x-request-id") == [request_id]


@pytest.mark.parametrize(
    "request_id", [b"", b"x" * 129, b"a b", b"<script>", b"a\tb", b"\xff", "ä".encode(), b"a,b", b"{}", b'"']
)
async def test_a_request_id_that_is_not_sane_is_replaced(http: httpx.AsyncClient, request_id: bytes) -> None:
    replies = [await http.get("/health", headers={b"X-Request-ID": request_id}) for _ in range(2)]

    given = [reply.headers["x-request-id"] for reply in replies]
    assert given[0] != given[1]
    assert all(len(each) == 32 and each.isalnum() for each in given)


async def test_every_request_without_an_id_gets_one_of_its_own(http: httpx.AsyncClient) -> None:
    given = {(await http.get("/nowhere")).headers["x-request-id"] for _ in range(5)}

    assert len(given) == 5
