"""Registering opens an account with an organisation of its own."""

from dataclasses import replace

import pytest

from saas.adapters.memory import MemoryStore, RecordingNotifier
from saas.adapters.tokens import JwtTokens
from saas.application.authenticate import Authenticate
from saas.application.register import RegisterCommand, RegisterOrganisation
from saas.domain.errors import EmailInUse, InvalidValue
from saas.domain.events import OrganisationCreated
from saas.domain.plans import Plan
from saas.domain.values import Role
from tests.scene import IDLE, NOW, PASSWORD

ADA = RegisterCommand(name="Ada", email="Ada@Acme.test", password=PASSWORD, organisation_name="Acme, Inc.")


async def test_a_person_gets_an_organisation_on_the_free_plan_as_its_admin(
    store: MemoryStore, register: RegisterOrganisation
) -> None:
    await register(ADA)

    [ada], [acme], [place] = store.users.values(), store.organisations.values(), store.memberships.values()
    assert (ada.name, ada.email, ada.created_at) == ("Ada", "ada@acme.test", NOW)
    assert (acme.name, acme.slug, acme.plan, acme.members) == ("Acme, Inc.", "acme-inc", Plan.FREE, 1)
    assert (place.person, place.role, place.joined_at) == (ada.person, Role.ADMIN, NOW)


async def test_the_password_is_kept_only_as_a_hash(store: MemoryStore, register: RegisterOrganisation) -> None:
    await register(ADA)

    assert [ada.password_hash for ada in store.users.values()] == [f"plain:{PASSWORD}"]


async def test_the_founder_is_signed_in(
    store: MemoryStore, register: RegisterOrganisation, authenticate: Authenticate, tokens: JwtTokens
) -> None:
    signed_in = await register(ADA)

    [session] = store.sessions.values()
    actor = await authenticate(signed_in.access_token)
    assert (actor.person.id, actor.organisation_id, actor.role) == (
        signed_in.user.id,
        signed_in.organisation.id,
        Role.ADMIN,
    )
    assert actor.session_id == session.id
    assert tokens.read_refresh(signed_in.refresh_token) == (session.id, 0)
    assert session.expires_at == NOW + IDLE


async def test_the_reply_shows_person_and_organisation(register: RegisterOrganisation) -> None:
    signed_in = await register(ADA)

    assert (signed_in.user.name, signed_in.user.email, signed_in.user.role) == ("Ada", "ada@acme.test", Role.ADMIN)
    assert signed_in.organisation.slug == "acme-inc"
    assert signed_in.organisation.subscription_plan is Plan.FREE


async def test_the_founding_is_the_first_entry_of_the_log_and_is_published(
    store: MemoryStore, register: RegisterOrganisation, notifier: RecordingNotifier
) -> None:
    await register(ADA)

    [ada] = store.users.values()
    [activity] = store.activities
    assert activity.seq == 1
    assert activity.event == OrganisationCreated(actor=ada.person, name="Acme, Inc.", at=NOW)
    assert notifier.published == [activity]


@pytest.mark.parametrize("email", ["ada@acme.test", "ADA@ACME.TEST", " ada@acme.test "])
async def test_an_address_in_use_is_refused_in_any_letter_case_and_leaves_nothing_behind(
    store: MemoryStore, register: RegisterOrganisation, notifier: RecordingNotifier, email: str
) -> None:
    await register(ADA)

    with pytest.raises(EmailInUse):
        await register(replace(ADA, email=email, organisation_name="Beta"))

    assert [acme.name for acme in store.organisations.values()] == ["Acme, Inc."]
    assert len(store.users) == len(store.sessions) == len(store.activities) == len(notifier.published) == 1


async def test_organisations_of_one_name_get_different_slugs(register: RegisterOrganisation) -> None:
    first = await register(replace(ADA, email="ada@acme.test"))
    second = await register(replace(ADA, email="bo@acme.test"))

    assert first.organisation.slug == "acme-inc"
    assert second.organisation.slug.startswith("acme-inc-")


async def test_a_name_in_any_script_gets_a_slug(register: RegisterOrganisation) -> None:
    signed_in = await register(replace(ADA, organisation_name="東京"))

    assert signed_in.organisation.name == "東京"
    assert signed_in.organisation.slug.startswith("org-")


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (replace(ADA, name=" "), "name"),
        (replace(ADA, email="ada"), "email"),
        (replace(ADA, password="short"), "password"),
        (replace(ADA, organisation_name=""), "organisationName"),
    ],
)
async def test_a_value_that_breaks_a_rule_is_named_and_nothing_is_stored(
    store: MemoryStore, register: RegisterOrganisation, command: RegisterCommand, field: str
) -> None:
    with pytest.raises(InvalidValue) as refusal:
        await register(command)

    assert refusal.value.field == field
    assert not store.users
    assert not store.organisations
