"""A disk that takes so many bytes and is full then."""

import os
import threading

import pytest


class LimitedDisk:
    """Stands in for ``os.write``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self.full = threading.Event()
        self._write = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, descriptor: int, piece: memoryview) -> int:
        if self.room == 0:
            self.full.set()
            raise OSError(28, "No space left on device")
        written = self._write(descriptor, piece[: self.room])
        self.room -= written
        return written
