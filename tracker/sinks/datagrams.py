"""Hands by UDP, a datagram a hand in Hand Tracking Streamer's format; nobody need be there to receive."""

import logging
import socket
from contextlib import suppress

from tracker.errors import SinkFailedError
from tracker.sinks.addresses import Address
from tracker.sinks.hts import encode_frame
from tracker.structs import Frame, StreamInfo, TrackedFrame

_log = logging.getLogger(__name__)


class DatagramSink:
    """Sends each frame's hands to ``address``, which may be a broadcast address.

    What the network does not take is lost, said once, and troubles nobody.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = socket.socket(address.family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._begun = False
        self._told = False

    def begin(self, info: StreamInfo) -> None:
        """The format has no header."""
        self._begun = True

    def send(self, tracked: TrackedFrame, frame: Frame | None) -> None:
        """Send the hands of one frame; nothing where there is none.

        Raises:
            SinkFailedError: the sink is closed.
        """
        if self._socket is None:
            raise SinkFailedError(f"sending to {self._address.text} is closed; nothing more can be sent")
        assert self._begun, "begin() tells of the stream and comes first"
        try:
            for datagram in encode_frame(tracked):
                self._socket.sendto(datagram, self._address.place)
        except BlockingIOError:
            return
        except OSError as error:
            if not self._told:
                _log.warning("cannot send to %s: %s; trying on", self._address.text, error.strerror)
            self._told = True

    def notify(self, state: str) -> None:
        """The format has no states."""

    def close(self) -> None:
        """Close the socket; safe to call twice."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
