"""A run's messages as WebSocket frames, each spelled once for all clients with the same wishes.

A frame is spelled when the first client with these wishes is handed it, and all others get the same bytes, so
``latency_ms`` is the latency of that moment. A hundred clients are handed theirs within 1 or 2 ms of it.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from tracker.hand_mesh import HandMesh, mesh_of
from tracker.joints import Side
from tracker.mano_numpy import ManoModel
from tracker.sinks.layout import NATIVE, Layout
from tracker.sinks.messages import FrameMessage, HandMessage
from tracker.sinks.wire import frame_message
from tracker.structs import Frame, StreamInfo, TrackedFrame, TrackedHand
from tracker.web.server_messages import (
    LiveFrameMessage,
    LiveHandMessage,
    MeshMessage,
    PreviewMessage,
    StatsMessage,
    websocket_frame,
)

_LATENCY_DECIMALS = 3


@dataclass(frozen=True)
class Spelling:
    """What two clients must have in common to be sent the same bytes."""

    binary: bool
    """MessagePack instead of JSON."""
    vertices: bool = False
    side: Side | None = None


@dataclass(frozen=True)
class RunFacts:
    """What all frames of a run are spelled with."""

    layout: Layout = NATIVE
    mano: ManoModel | None = None
    our_clock: bool = True
    """Whether capture times are of the monotonic clock, so that latency is known."""
    clock: Callable[[], float] = time.monotonic


class SpelledMessage:
    """A message that is the same for all, but for its encoding."""

    def __init__(self, message: Callable[[], msgspec.Struct]) -> None:
        self._message = message
        self._spelled: dict[bool, bytes] = {}

    def spelled(self, *, binary: bool) -> bytes:
        """The message's WebSocket frame."""
        if binary not in self._spelled:
            self._spelled[binary] = websocket_frame(self._message(), binary=binary)
        return self._spelled[binary]


class SpelledPreview(SpelledMessage):
    """A preview; sent to those who want it."""

    def __init__(self, preview: PreviewMessage) -> None:
        super().__init__(lambda: preview)


class SpelledStats(SpelledMessage):
    """Figures; sent to those who want them."""

    def __init__(self, stats: StatsMessage) -> None:
        super().__init__(lambda: stats)


class SpelledFrame:
    """One frame's result. Used by one thread; nothing is computed that no client wants."""

    def __init__(
        self, tracked: TrackedFrame, info: StreamInfo, facts: RunFacts, picture: Frame | None = None
    ) -> None:
        self.tracked = tracked
        self.picture = picture
        """What it was seen in, where previews may be asked for."""
        self.latency_s: float | None = None
        """At the first time that it was spelled; None before, and where it cannot be known."""
        self._info = info
        self._facts = facts
        self._spelled: dict[Spelling, bytes] = {}

    def spelled(self, spelling: Spelling) -> bytes:
        """The message's WebSocket frame."""
        if spelling not in self._spelled:
            latency_s = self.latency_now_s()
            message = LiveFrameMessage(
                **msgspec.structs.asdict(self._message) | {"hands": self._hands(spelling)},
                latency_ms=None if latency_s is None else round(1e3 * latency_s, _LATENCY_DECIMALS),
            )
            self._spelled[spelling] = websocket_frame(message, binary=spelling.binary)
            if self.latency_s is None:
                self.latency_s = latency_s
        return self._spelled[spelling]

    def latency_now_s(self) -> float | None:
        """Time since the capture; None where its clock is not ours."""
        return self._facts.clock() - self.tracked.capture_time_s if self._facts.our_clock else None

    def meshes(self, spelling: Spelling, *, known: Collection[str] = ()) -> dict[str, MeshMessage]:
        """The faces that its hands need and that are not ``known`` yet, by name; 6,000 of them take 1 ms."""
        if not spelling.vertices:
            return {}
        needed = {
            _mesh_name(hand, self._facts.mano): mesh
            for hand, mesh in zip(self.tracked.hands, self._meshes, strict=True)
            if mesh is not None and spelling.side in (None, hand.pose.side)
        }
        return {
            name: MeshMessage(name, mesh.faces.tolist()) for name, mesh in needed.items() if name not in known
        }

    @cached_property
    def _message(self) -> FrameMessage:
        return frame_message(self.tracked, self._facts.layout, self._info.camera)

    @cached_property
    def _meshes(self) -> list[HandMesh | None]:
        return [mesh_of(hand.pose, self._facts.mano) for hand in self.tracked.hands]

    @cached_property
    def _hands_with_vertices(self) -> list[HandMessage]:
        return [
            message if mesh is None else self._with_vertices(message, hand, mesh)
            for message, hand, mesh in zip(self._message.hands, self.tracked.hands, self._meshes, strict=True)
        ]

    def _with_vertices(self, message: HandMessage, hand: TrackedHand, mesh: HandMesh) -> LiveHandMessage:
        vertices = self._facts.layout.axes.vectors(mesh.vertices_m)
        return LiveHandMessage(
            **msgspec.structs.asdict(message),
            mesh=_mesh_name(hand, self._facts.mano),
            vertices_m=np.ascontiguousarray(vertices, dtype="<f4").tobytes(),
        )

    def _hands(self, spelling: Spelling) -> list[HandMessage]:
        hands: list[HandMessage] = self._hands_with_vertices if spelling.vertices else self._message.hands
        return hands if spelling.side is None else [hand for hand in hands if hand.side is spelling.side]


def _mesh_name(hand: TrackedHand, mano: ManoModel | None) -> str:
    """Which faces a hand has, as ``mesh_of`` chooses them."""
    parameters = hand.pose.mano
    if parameters is None or mano is None:
        return f"open_{hand.pose.side.value}"
    return f"mano_{'left' if parameters.mirrored else 'right'}"
