"""Who may connect: rules on ``Host``, ``Origin`` and the token, without any socket.

A web page that somebody visits can make their browser connect to this server. Its ``Origin`` gives it away;
and a page whose own name was made to point here (DNS rebinding) names itself as ``Host``.
"""

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}

Credentials = Literal["granted", "absent", "wrong"]


@dataclass(frozen=True)
class Place:
    """Where a page comes from, as browsers compare it."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Access:
    """The rules of one server."""

    token: str | None
    """What clients must know; None where everybody who reaches the server may listen."""
    loopback: bool
    """Only this machine can reach the server."""
    tls: bool
    machine: str
    """This machine's name."""
    origins: tuple[Place, ...] = ()
    """Other places whose pages may connect, and by whose names the server may be called."""

    def refusal(self, hosts: Sequence[str], origins: Sequence[str]) -> str | None:
        """Why a request with these headers is refused, in one line; None where it is not.

        Args:
            hosts: the values of its ``Host`` headers.
            origins: those of ``Origin``; programs send none.
        """
        if len(hosts) > 1:
            return "the request names several hosts"
        called = place_of(f"{'https' if self.tls else 'http'}://{hosts[0]}") if len(hosts) == 1 else None
        if called is None or not self._is_ours(called.host):
            return f"this server is not called {hosts[0]!r}" if hosts else "the request names no host"
        if not origins:
            return None
        origin = place_of(origins[0]) if len(origins) == 1 else None
        if origin is not None and origin in (called, *self.origins):
            return None
        return f"pages from {origins[0]!r} may not connect; --allow-origin names those that may"

    def bearer(self, authorization: Sequence[str]) -> Credentials:
        """What the ``Authorization`` headers of a request are worth."""
        if self.token is None:
            return "granted"
        if not authorization:
            return "absent"
        scheme, _, given = authorization[0].partition(" ")
        known = scheme.lower() == "bearer" and self._is_token(_header_bytes(given.strip()))
        return "granted" if known and len(authorization) == 1 else "wrong"

    def is_token(self, given: str) -> bool:
        """Whether this is the token, in constant time; any is where none is set."""
        return self.token is None or self._is_token(given.encode("utf-8", "surrogatepass"))

    def _is_token(self, given: bytes) -> bool:
        assert self.token is not None
        return hmac.compare_digest(given, self.token.encode())

    def _is_ours(self, host: str) -> bool:
        """Whether no stranger can have made ``host`` point here."""
        if any(host == origin.host for origin in self.origins):
            return True
        address = _address(host)
        if (
            host == "localhost"
            or host.endswith(".localhost")
            or (address is not None and address.is_loopback)
        ):
            return True
        if self.loopback:
            return False
        name = self.machine.lower().partition(".")[0]
        return address is not None or host in (self.machine.lower(), name, f"{name}.local")


def place_of(origin: str) -> Place | None:
    """The place that an origin such as ``https://name:8765`` names; None where it names none."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return None
    if parts.path or parts.query or parts.fragment or "?" in origin or "#" in origin:
        return None
    return Place(
        parts.scheme, parts.hostname.rstrip("."), _DEFAULT_PORTS[parts.scheme] if port is None else port
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _header_bytes(value: str) -> bytes:
    """The bytes of a header's value as they came, however the library spells those beyond ASCII."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape")
