"""Rate limits for each client address: fixed windows, counted in this process.

Our own, because the storages of rate limiting libraries search all clients to delete one window. Here all windows are
equally long, so that the oldest is always first.
"""

import ipaddress
import math
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_CLIENTS = 100_000
IPV6_SUBSCRIBER_BITS = 64

_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([^:]+):\d+")


class Verdict(NamedTuple):
    """Whether a request is within its limit, how many more are allowed, and seconds until the window ends."""

    allowed: bool
    remaining: int
    reset_seconds: int


@dataclass(slots=True)
class _Window:
    ends_at: float
    used: int


class RateLimiter:
    """Counts requests for each client; when there are more than `MAX_CLIENTS`, the oldest window is deleted."""

    def __init__(self, name: str, requests: int, seconds: int) -> None:
        self.policy = f'"{name}";q={requests};w={seconds}'
        self._name = name
        self._requests = requests
        self._seconds = seconds
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def hit(self, client: str, now: float) -> Verdict:
        """Count one request of this client at `now`, in seconds of a monotonic clock."""
        while self._windows and next(iter(self._windows.values())).ends_at <= now:
            self._windows.popitem(last=False)
        window = self._windows.get(client)
        if window is None:
            if len(self._windows) >= MAX_CLIENTS:
                self._windows.popitem(last=False)
            window = self._windows[client] = _Window(now + self._seconds, 0)
        window.used += 1
        remaining = self._requests - window.used
        return Verdict(remaining >= 0, max(remaining, 0), min(math.ceil(window.ends_at - now), self._seconds))

    def header(self, verdict: Verdict) -> str:
        """The RateLimit header of draft-ietf-httpapi-ratelimit-headers."""
        return f'"{self._name}";r={verdict.remaining};t={verdict.reset_seconds}'


def client_address(peer: str, forwarded_for: Iterable[str], trusted: tuple[IPNetwork, ...]) -> str:
    """The client's address, to count by: the peer's or, behind trusted proxies, the last one that is no such proxy.

    X-Forwarded-For is read from its end, where our own proxies append; addresses that a client wrote itself are never
    reached. IPv6 addresses of one /64 count as one, since a subscriber gets the whole /64.
    """
    address = peer
    hops = [hop.strip() for line in forwarded_for for hop in line.split(",")]
    while hops and _is_trusted(address, trusted):
        address = _without_port(hops.pop())
    parsed = _parsed(address)
    if parsed is None:
        return peer
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed), IPV6_SUBSCRIBER_BITS), strict=False))
    return str(parsed)


def _without_port(hop: str) -> str:
    """The address without its port; some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    found = _WITH_PORT.fullmatch(hop)
    return found[1] or found[2] if found else hop


def _is_trusted(address: str, trusted: tuple[IPNetwork, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; None when it is none. `::ffff:192.0.2.1`, as dual-stack sockets show IPv4, becomes IPv4."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed
