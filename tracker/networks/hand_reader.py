"""Reads the hands of pictures on a device: batches, the engine's calls and what comes back.

``begin`` returns as soon as the device has its orders; ``HandsToCome.wait`` waits for the answer. The
picture goes over once, ahead of time where ``prepare`` was called, and only the packed hands come back.
"""

import logging
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tracker.crops import Crop
from tracker.errors import EngineError
from tracker.networks.crop_sampling import TracedCrops, trace
from tracker.networks.engines import BATCH_SIZES, load_engine
from tracker.networks.hamer import load_hamer
from tracker.networks.picture_reader import HandReading, Step, unpacked
from tracker.networks.picture_uploads import PictureUploads
from tracker.structs import Frame

logger = logging.getLogger(__name__)


class HandsToCome:
    """Hands that the device is working on."""

    def __init__(self, parts: list[tuple[Tensor, int]], done: "torch.cuda.Event | None") -> None:
        self._parts = parts
        self._done = done

    def wait(self) -> tuple[HandReading, ...]:
        """One reading for each crop, in order."""
        if self._done is not None:
            self._done.synchronize()
        rows = [row for packed, count in self._parts for row in packed.numpy()[:count]]
        return tuple(unpacked(row) for row in rows)


class HandReader:
    """Runs one engine on one device; use it from one thread, but for ``prepare``."""

    def __init__(self, engine: Step, device: torch.device) -> None:
        self._engine = engine
        self._device = device
        self._pinned = device.type == "cuda"
        self._most = BATCH_SIZES[-1]
        self._uploads = PictureUploads(device)
        self._frame: Frame | None = None
        self._seen_size = (0, 0)
        self._picture = torch.empty(0, 0, 3, dtype=torch.uint8)

    def prepare(self, frame: Frame) -> None:
        """Bring a frame's picture to the device before its turn; from any thread."""
        self._uploads.begin(frame)

    @torch.inference_mode()
    def begin(self, frame: Frame, crops: list[Crop], mirrored: list[bool]) -> HandsToCome:
        """Start reading crops of a frame's picture, mirrored where asked.

        Raises:
            EngineError: the GPU's memory does not even hold one hand.
        """
        if not crops:
            return HandsToCome([], None)
        while True:
            try:
                if frame is not self._frame:
                    self._show(frame)
                return self._begin(trace(crops, mirrored, (self._picture.shape[0], self._picture.shape[1])))
            except torch.OutOfMemoryError as error:
                self._read_fewer(error)

    def _begin(self, traced: TracedCrops) -> HandsToCome:
        parts = []
        for start in range(0, len(traced.nodes_px), self._most):
            nodes, reads = (
                self._padded(array[start : start + self._most]) for array in (traced.nodes_px, traced.reads)
            )
            packed = self._engine(self._picture, nodes, reads).packed
            count = min(self._most, len(traced.nodes_px) - start)
            # A captured engine writes its next answer where this one lies; the copy waits in line before it.
            host = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=self._pinned)
            parts.append((host.copy_(packed, non_blocking=True), count))
        if not self._pinned:
            return HandsToCome(parts, None)
        done = torch.cuda.Event()
        done.record()
        return HandsToCome(parts, done)

    def _padded(self, rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
        """Rows (B, ...) on the device, the first repeated up to a batch size."""
        size = next(size for size in BATCH_SIZES if size >= len(rows))
        filled = torch.from_numpy(np.concatenate([rows, np.repeat(rows[:1], size - len(rows), axis=0)]))
        return filled.pin_memory().to(self._device, non_blocking=True) if self._pinned else filled

    def _show(self, frame: Frame) -> None:
        """Put a picture where the engine reads it.

        That place is as large as the largest picture so far and black around a smaller one, so captured
        graphs serve pictures of all sizes.
        """
        picture = self._uploads.take(frame)
        height, width = picture.shape[:2]
        room = self._picture.shape
        if height > room[0] or width > room[1]:
            shape = (max(height, room[0]), max(width, room[1]), 3)
            self._picture = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        elif (height, width) != self._seen_size:
            self._picture.zero_()
        self._picture[:height, :width].copy_(picture, non_blocking=True)
        self._frame, self._seen_size = frame, (height, width)

    def _read_fewer(self, error: torch.OutOfMemoryError) -> None:
        if self._most == 1:
            raise EngineError(
                f"{self._device} has no memory left to read a single hand; free some, or choose another "
                "backend"
            ) from error
        self._most //= 2
        logger.warning("the GPU's memory ran out; reading at most %d hands at a time from now on", self._most)
        if self._pinned:
            torch.cuda.empty_cache()


def load_hand_reader(
    checkpoint: Path,
    mano: Path,
    *,
    engine: str | None = None,
    device: str | None = None,
    compiled_folder: Path | None = None,
) -> HandReader:
    """HaMeR from its files, ready to read pictures.

    Args:
        checkpoint: see ``load_hamer``.
        mano: likewise.
        engine: one of ``ENGINES``; ``graph`` on a GPU and ``eager`` on a CPU unless given.
        device: a GPU if there is one, unless given.
        compiled_folder: see ``load_engine``.

    Raises:
        TrackerError: a file cannot be used, the engine cannot, or there is no such device.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = where.type == "cuda"
    if not on_gpu:
        say_no_gpu()
    hamer = load_hamer(checkpoint, mano, device=where, dtype=torch.float16 if on_gpu else torch.bfloat16)
    chosen = engine or ("graph" if on_gpu else "eager")
    return HandReader(load_engine(chosen, hamer, compiled_folder=compiled_folder), where)


@cache
def say_no_gpu() -> None:
    """Warn of the CPU, once a run: an ensemble, and all systems of a table, load several networks."""
    logger.warning("no GPU: HaMeR takes seconds a picture on the CPU (bfloat16), for stills and tests")
