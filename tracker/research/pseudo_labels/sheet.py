"""Fitted hands in their pictures, to look at: the best, middling ones and the worst."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tracker.errors import UsageError
from tracker.joints import FloatArray, Side
from tracker.research.evaluation.egoexo4d_drawing import HandToDraw, draw_hand
from tracker.research.ground_truth.egoexo4d import TURN, PreparedTake
from tracker.research.pseudo_labels.files import labels_path, read_labels
from tracker.research.pseudo_labels.labels import REASONS, TakeLabels
from tracker.research.pseudo_labels.problem import BoolArray, IntArray, TakeKeypoints
from tracker.whole_file import whole_file

OF_EACH = 4
CAPTION_PX = 22
BACKGROUND, TEXT = (250, 250, 250), (60, 60, 60)


def write_sheet(
    path: Path, labels: Path, keypoints: Sequence[TakeKeypoints], takes: Sequence[PreparedTake]
) -> int:
    """Draw hands of all takes, keypoints in green and the fitted hand in orange, into one picture.

    Args:
        path: of the picture.
        labels: the folder of labels.
        keypoints: what they were fitted to.
        takes: with the pictures; hands whose picture cannot be read are passed over.

    Returns:
        How many hands it shows; without any nothing is written.

    Raises:
        SinkFailedError: it cannot be written.
    """
    found = [read_labels(labels_path(labels, of_take.take)) for of_take in keypoints]
    places = [(number, row) for number, of_take in enumerate(found) for row in range(len(of_take))]
    rms_m, good = (np.concatenate([getattr(some, name) for some in found]) for name in ("rms_m", "good"))
    pictures = {take.uid: take for take in takes}
    panels = []
    for place in telling(rms_m, good).tolist():
        number, row = places[place]
        of_take = keypoints[number]
        if of_take.take in pictures:
            panels += _panel(found[number], of_take, row, pictures[of_take.take])
    if not panels:
        return 0
    sheet = Image.new("RGB", (panels[0].width, sum(panel.height for panel in panels)), BACKGROUND)
    for position, panel in enumerate(panels):
        sheet.paste(panel, (0, position * panel.height))
    with whole_file(path) as part:
        sheet.save(part, format="PNG")
    return len(panels)


def telling(rms_m: FloatArray, good: BoolArray) -> IntArray:
    """Rows (H,) of the best, middling and worst labels, `OF_EACH` of each where there are so many.

    The best have the least RMS residual; bad ones are worse than any good one.
    """
    order = np.lexsort((rms_m, ~good))
    count = len(order)
    middle = np.arange(OF_EACH) + max((count - OF_EACH) // 2, 0)
    ranks = np.concatenate([np.arange(OF_EACH), middle, np.arange(count - OF_EACH, count)])
    return np.asarray(order[np.unique(np.clip(ranks, 0, count - 1))])


def _panel(labels: TakeLabels, of_take: TakeKeypoints, row: int, take: PreparedTake) -> list[Image.Image]:
    """One hand with its caption; none where its picture cannot be read."""
    number, side = int(of_take.frames[row]), Side.LEFT if of_take.left[row] else Side.RIGHT
    index = [frame.frame_number for frame in take.frames].index(number)
    try:
        frame = take.read_upright(index)
    except UsageError:
        return []
    hand = HandToDraw(
        frame.image_rgb,
        frame.camera,
        take.given(index).box_px(side),
        TURN.points_upright(of_take.joints_m[row]),
        TURN.points_upright(labels.joints_m[row]),
    )
    reasons = [name.replace("_", " ") for name, bad in zip(REASONS, labels.bad[row], strict=True) if bad]
    words = [f"{take.name}, frame {number}, {side.value}", f"RMS {1e3 * labels.rms_m[row]:.1f} mm"]
    words += [f"{int(labels.outliers[row].sum())} outliers", ", ".join(reasons) or "good"]
    drawn = draw_hand(hand)
    panel = Image.new("RGB", (drawn.width, drawn.height + CAPTION_PX), BACKGROUND)
    panel.paste(drawn, (0, CAPTION_PX))
    ImageDraw.Draw(panel).text((4, 3), "; ".join(words), fill=TEXT, font=ImageFont.load_default(13))
    return [panel]
