"""Refusals are told apart by codes that clients may rely on."""

from saas.domain import errors
from saas.domain.errors import SaasError


def kinds_by_code() -> list[tuple[str, str]]:
    return [(error.code, error.kind.name) for error in vars(errors).values() if _is_refusal(error)]


def _is_refusal(candidate: object) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, SaasError) and candidate is not SaasError


def test_every_refusal_keeps_its_code_and_kind() -> None:
    assert dict(kinds_by_code()) == {
        "invalid_value": "INVALID",
        "not_authenticated": "UNAUTHENTICATED",
        "wrong_credentials": "UNAUTHENTICATED",
        "session_ended": "UNAUTHENTICATED",
        "no_organisation": "FORBIDDEN",
        "admin_only": "FORBIDDEN",
        "seat_limit_reached": "FORBIDDEN",
        "cannot_remove_admin": "FORBIDDEN",
        "cannot_remove_yourself": "REFUSED",
        "already_in_role": "REFUSED",
        "last_admin": "CONFLICT",
        "already_on_plan": "REFUSED",
        "plan_too_small": "CONFLICT",
        "email_in_use": "CONFLICT",
        "already_member": "CONFLICT",
        "already_invited": "CONFLICT",
        "account_exists": "CONFLICT",
        "invite_expired": "GONE",
        "not_found": "NOT_FOUND",
        "overloaded": "UNAVAILABLE",
        "unavailable": "UNAVAILABLE",
    }


def test_no_two_refusals_share_a_code() -> None:
    codes = [code for code, _ in kinds_by_code()]

    assert len(codes) == len(set(codes))
