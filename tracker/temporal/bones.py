"""How large a hand is and how long its bones are: measured over time, settled soon, then locked.

A network's bones wander by a tenth from frame to frame and change with the hand's pose, so only a share of
their median is believed: the rest is the mean adult hand. Size and proportions are taken apart, since they
err apart. The shape that is given out glides to what was measured, so that nothing jumps.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from tracker.hand_shape import HandShape
from tracker.joints import FloatArray
from tracker.structs import HandEstimate

LANDMARK_SPAN = 0.95
"""The light networks' hands span this much of the true ones in the picture, so they are fitted with bones as
much shorter: 0.933 on the demo clip, whose joints are known exactly, 0.948 on 100 metric pictures (index to
little finger). A hand with the full bones would be placed too far away."""


@dataclass(frozen=True)
class BonesConfig:
    """How a hand's shape is estimated."""

    memory: int = 60
    """Frames over which size and proportions are medians; after them the shape is locked."""
    size_share: float = 0.25
    """Share of the network's size, in its logarithm, against the mean adult's. Over 100 metric pictures of
    one hand each it did not go with the true size; on glasses' pictures it did."""
    proportions_share: float = 0.1
    """Share of the network's proportions against the mean hand's."""
    glide: float = 0.1
    """Share of the way to what was measured that the shape goes in a frame."""
    unlock_log_ratio: float = 0.3
    """Lasting disagreement of the network's size with the locked one at which it is measured again."""


class BoneEstimator:
    """The shape of one hand, or of both hands of one wearer."""

    def __init__(self, config: BonesConfig, known: HandShape | None = None) -> None:
        self._config = config
        self._known, self._known_as_landmarks = known, (known or HandShape.mean()).scaled(LANDMARK_SPAN)
        self._seen: deque[FloatArray] = deque(maxlen=config.memory)
        self._count = 0
        self._next_look = 1
        self._locked: FloatArray | None = None
        self._target: FloatArray = np.zeros(0)
        self._given: FloatArray = np.zeros(0)
        self._shape = known

    def see(self, estimate: HandEstimate) -> HandShape:
        """Take one more frame's estimate of the hand; returns the shape to fit it with."""
        if self._known is not None:
            return self._known if estimate.mano is not None else self._known_as_landmarks
        config = self._config
        if self._count < config.memory or self._count % 4 == 0:
            self._seen.append(measured(estimate))
        self._count += 1
        if self._count >= self._next_look:
            # Looks at the 1st, 2nd, 4th, ... frame, then once a memory.
            self._next_look = self._count + min(self._count, config.memory)
            self._look(own=estimate.mano is not None and estimate.knows_size)
        if self._shape is None:
            self._given = self._target
        elif np.abs(self._target - self._given).max() < 1e-5:
            return self._shape
        self._given = self._given + config.glide * (self._target - self._given)
        self._shape = shape_of(self._given)
        return self._shape

    def _look(self, *, own: bool) -> None:
        """Measure what was seen so far; a locked shape is kept unless its size is far off."""
        median = np.median(np.array(self._seen), axis=0)
        if self._locked is not None and abs(median[0] - self._locked[0]) < self._config.unlock_log_ratio:
            return
        if self._count >= self._config.memory:
            self._locked = median
        # A backend with a body model of its own knows its hands; the light network's are only hints.
        share = np.full(len(median), 1.0 if own else self._config.proportions_share)
        share[0] = 1.0 if own else self._config.size_share
        self._target = MEAN_MEASURES + share * (median - MEAN_MEASURES)


def measured(estimate: HandEstimate) -> FloatArray:
    """A hand's measures (34,): the logarithm of its size, then palm points and bones at size one."""
    return measures_of(HandShape.from_joints(estimate.joints_from_wrist_m, estimate.side))


def measures_of(shape: HandShape) -> FloatArray:
    """The measures (34,) of a shape."""
    size_m = max(shape.size_m, 1e-6)
    return np.concatenate(
        [[np.log(size_m)], shape.palm_m.reshape(-1) / size_m, shape.finger_bones_m.reshape(-1) / size_m]
    )


def shape_of(measures: FloatArray) -> HandShape:
    """The shape that has these measures (34,)."""
    shape = HandShape(measures[1:19].reshape(6, 3), measures[19:].reshape(5, 3))
    return shape.scaled(float(np.exp(measures[0])) / shape.size_m)


MEAN_MEASURES = measures_of(HandShape.mean().scaled(LANDMARK_SPAN))
