"""Small values every rule speaks in: ids, roles, and text brought into its one normal form."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType
from uuid import UUID

from saas.domain.errors import InvalidValue

UserId = NewType("UserId", UUID)
OrganisationId = NewType("OrganisationId", UUID)
InviteId = NewType("InviteId", UUID)
SessionId = NewType("SessionId", UUID)
ActivityId = NewType("ActivityId", UUID)

Email = NewType("Email", str)

NAME_CHARACTERS = 100
MESSAGE_CHARACTERS = 4_000
PASSWORD_CHARACTERS = (8, 128)
EMAIL_OCTETS = 254

# Composing (NFC) takes the square of the time for a text of nothing but combining marks, and makes one character
# of at most four: a text this many times too long stays too long, and is refused without composing it.
_COMPOSED_FROM = 4

# RFC 5321, 4.5.3.1: 64 octets before the @, 254 for the whole address. Only what mail systems
# really deliver to is accepted: no quoted local parts, no comments, no address literals.
_EMAIL = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_][\w-]{0,61}[^\W_]")

# Marks that would turn the text around them back to front (Unicode UAX #9).
_TEXT_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")


class Role(StrEnum):
    """What a member may do: an admin everything, a member reads."""

    ADMIN = "ADMIN"
    MEMBER = "MEMBER"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as an event names them: enough to show who it was, even after they left."""

    id: UserId
    name: str
    email: Email


def email_address(text: str) -> Email:
    """The address in lower case: one person is one account however they type it. Raises `InvalidValue`."""
    address = _composed(text, EMAIL_OCTETS).lower()
    local = address.partition("@")[0]
    dots_misplaced = ".." in address or local.startswith(".") or local.endswith(".")
    if dots_misplaced or not _EMAIL.fullmatch(address) or len(address.encode()) > EMAIL_OCTETS:
        raise InvalidValue("email", "Must be an e-mail address such as ada@example.com.")
    return Email(address)


def person_or_organisation_name(text: str, field: str) -> str:
    """The name without outer blanks, 1 to 100 characters, something to see in it. Raises `InvalidValue`."""
    name = _composed(text, NAME_CHARACTERS)
    categories = [unicodedata.category(character) for character in name]
    if len(name) > NAME_CHARACTERS or not any(category[0] in "LNPS" for category in categories):
        raise InvalidValue(field, f"Must be 1 to {NAME_CHARACTERS} characters, of which at least one can be seen.")
    if "Cc" in categories or "Cs" in categories or _TEXT_DIRECTION.search(name):
        raise InvalidValue(field, "Must not contain control characters.")
    return name


def broadcast_message(text: str) -> str:
    """The message as it was written, 1 to 4,000 characters, not only blanks. Raises `InvalidValue`."""
    if not text.strip() or len(text) > MESSAGE_CHARACTERS:
        raise InvalidValue("message", f"Must be 1 to {MESSAGE_CHARACTERS:,} characters, not only blanks.")
    return text


def require_password(text: str) -> None:
    """8 to 128 characters of any kind, as NIST SP 800-63B asks: no composition rules. Raises `InvalidValue`."""
    shortest, longest = PASSWORD_CHARACTERS
    if not shortest <= len(text) <= longest:
        raise InvalidValue("password", f"Must be {shortest} to {longest} characters.")


def slugs(name: str, organisation_id: OrganisationId) -> Iterator[str]:
    """Slugs to try, best first: the name in ASCII, then with the id's random end, which is as good as unique.

    A name with nothing to keep ("東京") starts from "org".
    """
    letters = (each for each in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(each))
    base = re.sub(r"[^a-z0-9]+", "-", "".join(letters)).strip("-")[:48].rstrip("-")
    if base:
        yield base
    yield f"{base or 'org'}-{organisation_id.hex[-8:]}"
    yield f"{base or 'org'}-{organisation_id.hex}"


def _composed(text: str, characters: int) -> str:
    """The text without outer blanks in NFC; nothing of it if it has more characters than `characters` in any form."""
    stripped = text.strip()
    return unicodedata.normalize("NFC", stripped) if len(stripped) <= characters * _COMPOSED_FROM else ""
