"""Counting requests, and telling whose they are."""

from ipaddress import ip_network

import pytest

from saas.entrypoints.http.limits import MAX_CLIENTS, RateLimiter, client_address

ADA, BO = "192.0.2.1", "192.0.2.2"
PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"), ip_network("127.0.0.1/32"))


@pytest.fixture
def limiter() -> RateLimiter:
    """Three requests in ten seconds."""
    return RateLimiter("test", requests=3, seconds=10)


def allowed(limiter: RateLimiter, client: str, *moments: float) -> list[bool]:
    return [limiter.hit(client, moment).allowed for moment in moments]


# Counting


def test_as_many_requests_pass_as_the_limit_says(limiter: RateLimiter) -> None:
    assert allowed(limiter, ADA, 0, 0, 0, 0, 0) == [True, True, True, False, False]


def test_each_client_has_requests_of_its_own(limiter: RateLimiter) -> None:
    assert allowed(limiter, ADA, 0, 0, 0, 0) == [True, True, True, False]
    assert allowed(limiter, BO, 0, 0, 0, 0) == [True, True, True, False]


def test_a_window_ends_its_seconds_after_it_began_and_not_before(limiter: RateLimiter) -> None:
    assert allowed(limiter, ADA, 5, 6, 14, 14.999) == [True, True, True, False]
    assert allowed(limiter, ADA, 15, 16, 24, 24.999) == [True, True, True, False]
    assert allowed(limiter, ADA, 25) == [True]


def test_trying_on_while_refused_does_not_prolong_the_wait(limiter: RateLimiter) -> None:
    assert allowed(limiter, ADA, *range(10)) == [True] * 3 + [False] * 7
    assert allowed(limiter, ADA, 10) == [True]


def test_a_window_of_one_client_does_not_end_anothers(limiter: RateLimiter) -> None:
    assert allowed(limiter, ADA, 0, 0, 0) == [True] * 3
    assert allowed(limiter, BO, 5, 5, 5) == [True] * 3

    assert allowed(limiter, ADA, 10) == [True]
    assert allowed(limiter, BO, 10, 14.999, 15) == [False, False, True]


def test_a_client_is_told_what_is_left_and_for_how_long(limiter: RateLimiter) -> None:
    verdicts = [limiter.hit(ADA, moment) for moment in (100, 101, 102.5, 103, 109.5)]

    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0, 0]
    assert [verdict.reset_seconds for verdict in verdicts] == [10, 9, 8, 7, 1]


def test_whoever_waits_as_long_as_told_is_let_in() -> None:
    for tenths in range(100):
        limiter = RateLimiter("test", requests=1, seconds=10)
        limiter.hit(ADA, 1_000)
        refused = limiter.hit(ADA, 1_000 + tenths / 10)

        assert not refused.allowed
        assert limiter.hit(ADA, 1_000 + tenths / 10 + refused.reset_seconds).allowed


def test_nobody_is_told_to_wait_longer_than_a_window() -> None:
    for uptime in (0.1, 4.4, 8.9, 12_345.678_9, 98_765_432.1):
        assert RateLimiter("test", requests=1, seconds=60).hit(ADA, uptime).reset_seconds == 60


def test_the_headers_are_structured_fields_as_the_ietf_drafts_them(limiter: RateLimiter) -> None:
    assert limiter.policy == '"test";q=3;w=10'
    assert limiter.header(limiter.hit(ADA, 0)) == '"test";r=2;t=10'


def test_as_many_clients_are_remembered_as_promised_and_beyond_that_the_oldest_is_forgotten(
    limiter: RateLimiter,
) -> None:
    assert allowed(limiter, "oldest", 0, 0, 0, 0) == [True, True, True, False]
    assert allowed(limiter, "second", 0, 0, 0, 0) == [True, True, True, False]
    for number in range(MAX_CLIENTS - 2):
        limiter.hit(str(number), 1)
    assert allowed(limiter, "oldest", 1) == [False]

    limiter.hit("one too many", 1)

    assert allowed(limiter, "second", 1) == [False]
    assert allowed(limiter, "oldest", 1) == [True]


# Telling whose they are


def test_without_trusted_proxies_the_peer_is_counted_whatever_it_says() -> None:
    assert client_address(ADA, [], ()) == ADA
    assert client_address(ADA, [BO], ()) == ADA
    assert client_address("10.0.0.1", [f"{BO}, 10.0.0.2"], ()) == "10.0.0.1"


def test_a_peer_that_is_no_proxy_is_counted_whatever_it_says() -> None:
    assert client_address(ADA, [BO, "10.0.0.1"], PROXIES) == ADA


@pytest.mark.parametrize(
    "forwarded_for",
    [
        [ADA],
        [f"{BO}, {ADA}"],
        [f"{BO},{ADA},10.1.1.1"],
        [BO, ADA, "10.1.1.1", "127.0.0.1"],
        [f"10.0.0.9, {ADA}"],
        [f"  {BO} ,  {ADA}  "],
        [f"nonsense, {ADA}"],
        [f",,, {ADA}"],
        [f"{ADA}, 2001:db8:ffff::1"],
    ],
)
def test_behind_proxies_the_last_hop_that_is_none_is_counted(forwarded_for: list[str]) -> None:
    assert client_address("10.0.0.1", forwarded_for, PROXIES) == ADA


def test_a_proxy_that_asks_for_itself_is_counted_itself() -> None:
    assert client_address("10.0.0.1", [], PROXIES) == "10.0.0.1"
    assert client_address("10.0.0.1", ["10.0.0.2, 10.0.0.3"], PROXIES) == "10.0.0.2"


@pytest.mark.parametrize(
    "hop", ["", "nonsense", "unknown", "unknown:80", "[2001:db8::1", "192.0.2.1:x", "_hidden", "1.2.3.4.5"]
)
def test_a_hop_that_is_no_address_hides_what_is_before_it_and_the_proxy_is_counted(hop: str) -> None:
    assert client_address("10.0.0.1", [f"{ADA}, {hop}"], PROXIES) == "10.0.0.1"


def test_a_hop_may_have_a_port() -> None:
    assert client_address("10.0.0.1", [f"{BO}, {ADA}:4711, 10.1.1.1:80"], PROXIES) == ADA
    for hop in ("[2001:db8:1:2::1]:80", "[2001:db8:1:2::1]", "2001:db8:1:2::1"):
        assert client_address("10.0.0.1", [hop, "[2001:db8:ffff::1]:443"], PROXIES) == "2001:db8:1:2::/64"


def test_an_ipv6_subscriber_is_one_client_with_all_its_addresses() -> None:
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:DB8:1:2:0::9"]

    assert {client_address(address, [], ()) for address in addresses} == {"2001:db8:1:2::/64"}
    assert {client_address("10.0.0.1", [address], PROXIES) for address in addresses} == {"2001:db8:1:2::/64"}
    assert client_address("2001:db8:1:3::1", [], ()) == "2001:db8:1:3::/64"


def test_ipv4_in_ipv6_is_ipv4_both_for_clients_and_for_proxies() -> None:
    assert client_address(f"::ffff:{ADA}", [], ()) == ADA
    assert client_address("::ffff:10.0.0.1", [f"{BO}, ::ffff:{ADA}"], PROXIES) == ADA
    assert client_address("::ffff:10.0.0.1", [f"{ADA}, ::ffff:10.0.0.2"], PROXIES) == ADA


def test_a_peer_without_an_address_is_counted_under_what_there_is() -> None:
    assert client_address("", [ADA], PROXIES) == ""
    assert client_address("unix:", [ADA], PROXIES) == "unix:"
