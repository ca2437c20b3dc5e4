"""Putting a video's packets together without waiting for the next picture.

aiortc gives a picture to its decoder when a packet of the next one comes: a whole picture later, 33 ms at 30
pictures a second. The last packet of a picture is marked as such (RFC 3550, section 5.1; for H.264 by RFC
6184, for VP8 by RFC 7741), so the picture can go at once.
"""

from collections.abc import Callable
from typing import Any, Protocol

MAX_WAITING = 256
"""Packets that may wait for a lost one, half a second's; then all are given up for a new key picture."""
_NUMBERS = 1 << 16


class Packet(Protocol):
    """What is read of one of the library's packets."""

    sequence_number: int
    timestamp: int
    marker: int
    """1 for the last packet of a picture."""
    _data: bytes
    """Its part of the coded picture; none where it only fills the line."""


class PromptFrames:
    """Takes the place of the library's jitter buffer, for one video.

    Args:
        make: makes the library's value of a coded picture from ``data`` and ``timestamp``.
    """

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._waiting: dict[int, Packet] = {}
        self._next: int | None = None
        self._given_up = False

    def add(self, packet: Packet) -> tuple[bool, Any]:
        """Take a packet.

        Returns:
            Whether a key picture must be asked for, and the next coded picture if it is whole.
        """
        number = packet.sequence_number
        if self._given_up:  # a picture begins after another one's end
            if packet.marker:
                self._given_up, self._next = False, (number + 1) % _NUMBERS
            return False, None
        if self._next is None:
            self._next = number
        if (number - self._next) % _NUMBERS >= _NUMBERS // 2:
            return False, None  # it came too late
        self._waiting[number] = packet
        if len(self._waiting) > MAX_WAITING:
            self._waiting.clear()
            self._given_up = True
            return True, None
        return False, self._next_picture()

    def _next_picture(self) -> Any:
        while packets := self._whole_picture():
            for packet in packets:
                del self._waiting[packet.sequence_number]
            self._next = (packets[-1].sequence_number + 1) % _NUMBERS
            data = b"".join(packet._data for packet in packets)
            if data:
                return self._make(data=data, timestamp=packets[0].timestamp)
        return None

    def _whole_picture(self) -> list[Packet]:
        """The packets of the next picture; none while one of them has not come."""
        assert self._next is not None
        number, packets = self._next, list[Packet]()
        while (packet := self._waiting.get(number)) is not None:
            if packets and packet.timestamp != packets[0].timestamp:
                return packets  # the last one bore no mark
            packets.append(packet)
            if packet.marker:
                return packets
            number = (number + 1) % _NUMBERS
        return []
