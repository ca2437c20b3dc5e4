"""HOST:PORT as people write it, looked up once when a run begins."""

import ipaddress
import re
import socket
from dataclasses import dataclass

from tracker.errors import SinkError

_ADDRESS = re.compile(r"(?:(?P<host>[^\s:\[\]/@]+)|\[(?P<v6>[^\s\[\]/@]+)\]):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Address:
    """Where to send or to listen: a looked-up address, and how a person wrote it."""

    text: str
    family: socket.AddressFamily
    place: tuple[str, int]
    """Numeric host, and port."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.place[0].partition("%")[0]).is_loopback


def find_address(text: str, *, option: str, kind: socket.SocketKind, lowest_port: int = 1) -> Address:
    """The address that ``text`` names; ``option`` is where it was given.

    Raises:
        SinkError: it is not HOST:PORT, the port is impossible, or there is no such host.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise SinkError(f"{option} is {text!r}; give HOST:PORT, for example 127.0.0.1:9000 or [::1]:9000")
    host, port = found["host"] or found["v6"], int(found["port"])
    if not lowest_port <= port <= 65535:
        raise SinkError(f"{option} is {text!r}; give a port from {lowest_port} to 65535")
    try:
        found_places = socket.getaddrinfo(host, port, type=kind)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host's name"
        raise SinkError(f"{option}: there is no host {host!r} to be found ({reason})") from error
    # A name such as localhost may stand for both; clients of these formats mostly know the older kind alone.
    family, *_, place = min(found_places, key=lambda found: found[0] != socket.AF_INET)
    return Address(text, family, (str(place[0]), int(place[1])))
