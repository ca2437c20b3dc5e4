"""A hand as bones and joints: palm points and bone lengths, a wrist pose and four angles a finger.

Points are made in the wrist's OpenXR axes of a right hand (-z toward the fingers, +y out of the back of the
hand, +x toward the little finger) and mirrored in x for a left hand. A finger bends in one plane, so its
middle and end joints cannot bend sideways. Angles a finger: flexion f and abduction a of its base (the MCP;
of the thumb the CMC), flexion m of its middle joint and e of its end joint. With the finger's own axes
x (flexion) and -z (straight), p0 = (0, -cos f, sin f) and d0 = (0, -sin f, -cos f):

    first bone  d = cos(a) d0 + sin(a) x
    others      cos(m) d + sin(m) p0  and  cos(m + e) d + sin(m + e) p0

Positive flexion curls toward the palm, positive abduction leads toward the little finger. Leading axes are
batch axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tracker.hand_shape import NUM_FINGERS, PALM_JOINTS, HandShape, mirror_sign
from tracker.joints import NUM_JOINTS, FloatArray, Side
from tracker.rotations import closest_rotation, crosses

NUM_ANGLES = 4
NUM_PARAMETERS = 6 + NUM_FINGERS * NUM_ANGLES
"""Of one hand: wrist position, rotation, then the angles finger by finger."""
FLEXION, ABDUCTION, MIDDLE_FLEXION, END_FLEXION = range(NUM_ANGLES)
FINGER_JOINTS = np.arange(1, NUM_JOINTS).reshape(NUM_FINGERS, 4)

FLEXION_AXES = np.array(
    [(0.0, 0.89, -0.45), (0.99, 0.08, 0.02), (0.99, 0.02, 0.08), (0.98, 0.06, 0.18), (0.96, 0.06, 0.25)]
)
"""(5, 3) axes about which the fingers bend, in a right wrist's axes: thumb, index, ... little finger. Between
those of the open hand's rig and those that the bends of tracked hands have in common."""
STRAIGHT_DIRECTIONS = np.array([(-0.35, -0.45, -0.82), *[(0.0, 0.0, -1.0)] * 4])
"""(5, 3) first bones at zero angles, before they are made perpendicular to the flexion axes."""

_DEGREE = np.pi / 180
ANGLE_LOWER_RAD = _DEGREE * np.array([(-45, -45, -20, -20), *[(-40, -35, -10, -10)] * 4])
ANGLE_UPPER_RAD = _DEGREE * np.array([(45, 45, 60, 90), *[(95, 35, 115, 85)] * 4])
"""(5, 4) least and greatest angles. Fingers: the normal ranges of the American Academy of Orthopaedic
Surgeons (Joint Motion, 1965: MCP 0-90, PIP 0-100, DIP 0-80-90, MCP hyperextension to 30-45 degrees), widened
by some degrees for supple hands and because joint centres are not skin marks. Thumb: MCP 0-50 and IP -20-80
from there, widened likewise; its base is a saddle whose zero here is a resting hand."""


@dataclass(frozen=True, eq=False)
class KinematicPose:
    """Where a hand of known shape is and how it is bent."""

    wrist_in_camera_m: FloatArray
    """(3,)"""
    camera_from_wrist: FloatArray
    """(3, 3)"""
    angles_rad: FloatArray
    """(5, 4) base flexion, base abduction, middle flexion and end flexion of each finger; the same for the
    mirrored hand."""

    def __post_init__(self) -> None:
        expected = {
            "wrist_in_camera_m": (3,),
            "camera_from_wrist": (3, 3),
            "angles_rad": (NUM_FINGERS, NUM_ANGLES),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, want {shape}")


def joints(shape: HandShape, pose: KinematicPose, side: Side) -> FloatArray:
    """Joints (21, 3) in camera axes of one hand."""
    points = points_in_wrist(shape.palm_m, shape.finger_bones_m, pose.angles_rad)
    return points * (mirror_sign(side), 1.0, 1.0) @ pose.camera_from_wrist.T + pose.wrist_in_camera_m


def points_in_wrist(palm_m: FloatArray, bones_m: FloatArray, angles_rad: FloatArray) -> FloatArray:
    """Joints (..., 21, 3) of right hands in their wrist's axes.

    Args:
        palm_m: (..., 6, 3).
        bones_m: (..., 5, 3).
        angles_rad: (..., 5, 4).
    """
    along, inward, basis, _ = _reach(bones_m, angles_rad)
    share = np.stack([along, inward], axis=-1)
    points = np.empty((*angles_rad.shape[:-2], NUM_JOINTS, 3))
    points[..., 0, :] = palm_m[..., 0, :]
    fingers = points[..., 1:, :].reshape(*angles_rad.shape[:-1], 4, 3)
    fingers[...] = palm_m[..., 1:, None, :]
    fingers[..., 1:, :] += share @ (basis @ WRIST_FROM_FINGER)[..., :2, :]
    points[..., 1:, :] = fingers.reshape(*angles_rad.shape[:-2], NUM_JOINTS - 1, 3)
    return points


def posed_joints(
    palm_m: FloatArray,
    bones_m: FloatArray,
    wrists_m: FloatArray,
    camera_from_wrists: FloatArray,
    angles_rad: FloatArray,
    mirror_signs: FloatArray,
) -> FloatArray:
    """Joints (H, 21, 3) in camera axes of H hands; arguments carry a leading H, ``mirror_signs`` (H,)."""
    points = points_in_wrist(palm_m, bones_m, angles_rad)
    points[..., 0] *= mirror_signs[:, None]
    return points @ np.swapaxes(camera_from_wrists, -1, -2) + wrists_m[:, None]


def joints_and_jacobian(
    palm_m: FloatArray,
    bones_m: FloatArray,
    wrists_m: FloatArray,
    camera_from_wrists: FloatArray,
    angles_rad: FloatArray,
    mirror_signs: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Joints (H, 21, 3) in camera axes of H hands, and their Jacobian (H, 63, 26).

    Columns: the wrist's position, a small rotation vector in camera axes applied before (left of) the
    rotation, then the angles finger by finger. Arguments carry a leading H; ``mirror_signs`` (H,).
    """
    count = len(angles_rad)
    camera_rows = np.swapaxes(camera_from_wrists, -1, -2).copy()
    camera_rows[:, 0] *= mirror_signs[:, None]
    along, inward, basis, (cos_a, sin_a) = _reach(bones_m, angles_rad)
    # Shares of d, p0 and h in: joint, slope by flexion, abduction, middle and end flexion. With
    # d(d)/df = cos(a) p0, d(p0)/df = -d0 = sin(a) h - cos(a) d, d(d)/da = h, d(p0)/da = 0, and a bend
    # beyond the first bone turning the rest by a right angle within the plane.
    shares = np.zeros((count, NUM_FINGERS, 1 + NUM_ANGLES, 3, 3))
    shares[..., 0, :, 0] = along
    shares[..., 0, :, 1] = inward
    shares[..., 1, :, 0] = -cos_a * inward
    shares[..., 1, :, 1] = cos_a * along
    shares[..., 1, :, 2] = sin_a * inward
    shares[..., 2, :, 2] = along
    shares[..., 3, 1:, 0] = -inward[..., 1:]
    shares[..., 3, 1:, 1] = along[..., 1:] - along[..., :1]
    shares[..., 4, 2, 0] = inward[..., 1] - inward[..., 2]
    shares[..., 4, 2, 1] = along[..., 2] - along[..., 1]
    basis = (basis @ WRIST_FROM_FINGER) @ camera_rows[:, None]
    parts = shares.reshape(count, NUM_FINGERS, -1, 3) @ basis
    turned = np.empty((count, NUM_JOINTS, 3))
    palm = palm_m @ camera_rows
    turned[:, 0] = palm[:, 0]
    fingers = turned[:, 1:].reshape(count, NUM_FINGERS, 4, 3)
    fingers[:, :, 0] = palm[:, 1:]
    np.add(parts[:, :, :3], palm[:, 1:, None], out=fingers[:, :, 1:])
    jacobian = _jacobian_template(count).copy()
    jacobian[:, _ROTATION_ENTRIES] = turned.reshape(count, -1)[:, _ROTATION_SOURCES] * _ROTATION_SIGNS
    jacobian[:, _ANGLE_ENTRIES] = parts[:, :, 3:].reshape(count, -1)
    return turned + wrists_m[:, None], jacobian.reshape(count, 3 * NUM_JOINTS, NUM_PARAMETERS)


def _reach(
    bones_m: FloatArray, angles_rad: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[FloatArray, FloatArray]]:
    """How far the joints of each finger reach along d and p0, both (..., 5, 3), and the basis itself.

    The basis (..., 5, 3, 3) has the rows d, p0 and h = cos(a) x - sin(a) d0 in the fingers' own axes. Last
    the cosine and sine (..., 5, 1) of the abduction.
    """
    cosines, sines = np.cos(angles_rad), np.sin(angles_rad)
    bend = angles_rad[..., MIDDLE_FLEXION:].cumsum(axis=-1)
    along, inward = bones_m.copy(), np.zeros_like(bones_m)
    along[..., 1:] *= np.cos(bend)
    inward[..., 1:] = bones_m[..., 1:] * np.sin(bend)
    cos_f, sin_f = cosines[..., FLEXION], sines[..., FLEXION]
    cos_a, sin_a = cosines[..., ABDUCTION], sines[..., ABDUCTION]
    basis = np.empty((*angles_rad.shape[:-1], 3, 3))
    basis[..., 0, 0] = sin_a
    basis[..., 0, 1] = -cos_a * sin_f
    basis[..., 0, 2] = -cos_a * cos_f
    basis[..., 1, 0] = 0.0
    basis[..., 1, 1] = -cos_f
    basis[..., 1, 2] = sin_f
    basis[..., 2, 0] = cos_a
    basis[..., 2, 1] = sin_a * sin_f
    basis[..., 2, 2] = sin_a * cos_f
    return along.cumsum(axis=-1), inward.cumsum(axis=-1), basis, (cos_a[..., None], sin_a[..., None])


def step(
    wrists_m: FloatArray, camera_from_wrists: FloatArray, angles_rad: FloatArray, change: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The pose arrays of H hands after a change (H, 26) in the Jacobian's columns.

    The turn is Cayley's, R = I + 2 ([v]x + [v]x^2) / (1 + |v|^2) with v half the rotation vector: exactly a
    rotation, that of the vector itself up to its third power, and without a sine.
    """
    v = 0.5 * change[:, 3:6]
    matrix = crosses(v)
    matrix += matrix @ matrix
    matrix *= (2.0 / (1.0 + (v * v).sum(axis=1)))[:, None, None]
    turned = camera_from_wrists + matrix @ camera_from_wrists
    return wrists_m + change[:, :3], turned, angles_rad + change[:, 6:].reshape(angles_rad.shape)


def pose_from_joints(joints_m: FloatArray, shape: HandShape, side: Side) -> KinematicPose:
    """The pose in which a hand of this shape has the directions of joints (21, 3) in camera axes."""
    wrists, rotations, angles = poses_from_joints(joints_m[None], shape.palm_m[None], [side])
    return KinematicPose(wrists[0], rotations[0], angles[0])


def poses_from_joints(
    joints_m: FloatArray, palm_m: FloatArray, sides: Sequence[Side]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Wrists (H, 3), rotations (H, 3, 3) and angles (H, 5, 4) of joints (H, 21, 3) in camera axes.

    The rotation brings the palm's points (H, 6, 3) closest to their joints (Kabsch); each bone then gives its
    angles, and what of it lies outside the finger's plane is left out.
    """
    signs = np.array([mirror_sign(side) for side in sides])
    mirrors = np.ones((len(signs), 1, 3))
    mirrors[:, 0, 0] = signs
    palm = joints_m[:, PALM_JOINTS, :]
    rotations = closest_rotation(palm - palm.mean(axis=1, keepdims=True), palm_m * mirrors)
    turned = (joints_m @ rotations) * mirrors
    return joints_m[:, 0], rotations, angles_of(turned)


def angles_of(points_m: FloatArray) -> FloatArray:
    """Angles (..., 5, 4) of joints (..., 21, 3) in a right wrist's axes; only bones' directions count."""
    bones = np.diff(points_m[..., FINGER_JOINTS, :], axis=-2) @ np.swapaxes(WRIST_FROM_FINGER, -1, -2)
    x, y, z = bones[..., 0, 0], bones[..., 0, 1], bones[..., 0, 2]
    flexion = np.arctan2(-y, -z)
    abduction = np.arctan2(x, np.hypot(y, z))
    cos_f, sin_f, cos_a, sin_a = np.cos(flexion), np.sin(flexion), np.cos(abduction), np.sin(abduction)
    along = np.stack([sin_a, -cos_a * sin_f, -cos_a * cos_f], axis=-1)[..., None, :]
    inward = np.stack([np.zeros_like(cos_f), -cos_f, sin_f], axis=-1)[..., None, :]
    others = bones[..., 1:, :]
    bend = np.arctan2((others * inward).sum(-1), (others * along).sum(-1))
    end = np.remainder(bend[..., 1] - bend[..., 0] + np.pi, 2 * np.pi) - np.pi
    return np.stack([flexion, abduction, bend[..., 0], end], axis=-1)


def _fingers_own_axes() -> FloatArray:
    """(5, 3, 3) rows are the fingers' own axes in the wrist's: row vectors times it turn to the wrist."""
    x = FLEXION_AXES / np.linalg.norm(FLEXION_AXES, axis=-1, keepdims=True)
    z = -STRAIGHT_DIRECTIONS
    z = z - (z * x).sum(-1, keepdims=True) * x
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    return np.stack([x, np.cross(z, x), z], axis=-2)


WRIST_FROM_FINGER = _fingers_own_axes()


def _jacobian_entries() -> tuple[FloatArray, ...]:
    """Where the entries of a flat Jacobian come from: indices for the rotation and for the angles.

    The derivative of a turned point p by a small rotation vector is -[p]x.
    """
    index = np.arange(3 * NUM_JOINTS * NUM_PARAMETERS).reshape(NUM_JOINTS, 3, NUM_PARAMETERS)
    entries, sources, signs = [], [], []
    for joint in range(1, NUM_JOINTS):
        for row, column, source, sign in (
            (0, 1, 2, 1.0),
            (0, 2, 1, -1.0),
            (1, 0, 2, -1.0),
            (1, 2, 0, 1.0),
            (2, 0, 1, 1.0),
            (2, 1, 0, -1.0),
        ):
            entries.append(index[joint, row, 3 + column])
            sources.append(3 * joint + source)
            signs.append(sign)
    angles = [
        index[FINGER_JOINTS[finger, 1 + bone], axis, 6 + NUM_ANGLES * finger + angle]
        for finger in range(NUM_FINGERS)
        for angle in range(NUM_ANGLES)
        for bone in range(3)
        for axis in range(3)
    ]
    return np.array(entries), np.array(sources), np.array(signs), np.array(angles)


_ROTATION_ENTRIES, _ROTATION_SOURCES, _ROTATION_SIGNS, _ANGLE_ENTRIES = _jacobian_entries()


@lru_cache(maxsize=16)
def _jacobian_template(count: int) -> FloatArray:
    """Flat Jacobians (count, 63 * 26) that hold only the wrist's position."""
    template = np.zeros((count, NUM_JOINTS, 3, NUM_PARAMETERS))
    template[..., :3] = np.eye(3)
    return template.reshape(count, -1)
