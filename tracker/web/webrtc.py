"""Video by WebRTC (aiortc, extra ``webrtc``): one call, from a browser's offer to its pictures.

Nobody outside the local network is asked: no STUN, no TURN. A picture's capture time is the time at which
it was decoded here, as WebRTC says nothing better on our clock.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from tracker.web.prompt_frames import PromptFrames

ANSWER_WITHIN_S = 5.0
JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
"""Where a receiver keeps what puts packets together; no public way leads there. With versions of the
library that have it elsewhere, each picture waits for the next one."""

_log = logging.getLogger(__name__)


class OfferError(Exception):
    """An offer cannot be answered."""


class Call:
    """One connection; ``take`` is called with each picture and its time, in the event loop."""

    def __init__(self, take: Callable[[VideoFrame, float], None]) -> None:
        self._take = take
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._reading: asyncio.Task[None] | None = None
        self._peer.on("track", self._begin)

    async def answer(self, offer: str) -> str:
        """The answer to an offer that has all its addresses in it.

        Raises:
            OfferError: it is malformed, is of another kind than one video, or nothing came of it in time.
        """
        media = [line for line in offer.splitlines() if line.startswith("m=")]
        # Sound that nobody takes would be kept for ever.
        if len(media) != 1 or not media[0].startswith("m=video"):
            raise OfferError("an offer must hold one video and nothing else")
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
                await self._peer.setLocalDescription(await self._peer.createAnswer())
        except Exception as error:  # the library has no one error for text that is no offer
            _log.info("an offer failed", exc_info=True)
            raise OfferError(f"the offer cannot be answered ({type(error).__name__})") from None
        return self._peer.localDescription.sdp

    async def close(self) -> None:
        """End the call."""
        if self._reading is not None:
            self._reading.cancel()
        await self._peer.close()

    def _begin(self, track: MediaStreamTrack) -> None:
        if self._reading is None:
            for receiver in self._peer.getReceivers():
                if hasattr(receiver, JITTER_BUFFER):
                    setattr(receiver, JITTER_BUFFER, PromptFrames(JitterFrame))
            self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        """Taking waits for nothing, so no picture waits in the library either."""
        try:
            while True:
                picture = await track.recv()
                if isinstance(picture, VideoFrame):
                    self._take(picture, time.monotonic())
        except MediaStreamError:
            return
