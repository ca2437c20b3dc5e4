"""Brings pictures to the device: ahead of time from the thread that reads the source, taken by the reader's.

On a GPU a picture goes through pinned memory on a stream of its own, so that neither thread waits for the
copy; whoever takes it makes its own stream wait. On a CPU it stays where it is.
"""

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from tracker.structs import Frame

MOST_WAITING = 8
"""Pictures kept on the device at most; more than any source reads ahead."""


@dataclass(frozen=True, eq=False)
class Upload:
    """One picture on its way."""

    frame: Frame
    picture: Tensor
    """(H, W, 3) uint8 on the device, there once ``done``."""
    done: "torch.cuda.Event | None"


class PictureUploads:
    """Pictures that went over before their turn; frames are taken in the order in which they were begun."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._lock = threading.Lock()
        self._waiting: list[Upload] = []

    def __len__(self) -> int:
        """How many wait to be taken."""
        return len(self._waiting)

    def begin(self, frame: Frame) -> None:
        """Send a frame's picture ahead; from any thread.

        The oldest of more than ``MOST_WAITING`` is forgotten, as is one that the device has no memory for:
        they go over when they are taken.
        """
        try:
            upload = self._sent(frame)
        except torch.OutOfMemoryError:
            return
        with self._lock:
            self._waiting = [*self._waiting, upload][-MOST_WAITING:]

    def take(self, frame: Frame) -> Tensor:
        """The frame's picture (H, W, 3) on the device, for the calling thread's stream to read.

        What was begun before this frame is let go: those frames were dropped.
        """
        with self._lock:
            upload = next((begun for begun in self._waiting if begun.frame is frame), None)
            if upload is not None:
                self._waiting = self._waiting[self._waiting.index(upload) + 1 :]
        upload = upload or self._sent(frame)
        if upload.done is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(upload.done)
            upload.picture.record_stream(stream)  # its memory serves nothing else before that stream is done
        return upload.picture

    @torch.inference_mode()
    def _sent(self, frame: Frame) -> Upload:
        image = frame.image_rgb if frame.image_rgb.flags.writeable else frame.image_rgb.copy()
        here = torch.from_numpy(image)
        if self._stream is None:
            return Upload(frame, here, None)
        with torch.cuda.stream(self._stream):
            # Pinned memory comes from PyTorch's store of it, which knows what is still being copied.
            pinned = torch.empty(here.shape, dtype=torch.uint8, pin_memory=True).copy_(here)
            picture = pinned.to(self._device, non_blocking=True)
            done = torch.cuda.Event()
            done.record(self._stream)
        return Upload(frame, picture, done)
