"""What one server offers, and to whom."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from tracker.web.access import Access
from tracker.web.camera_channel import CameraEnd


@dataclass(frozen=True)
class ServerOptions:
    """Of one server."""

    access: Access
    preview: bool = False
    tls: ssl.SSLContext | None = None
    switch_recording: Callable[[bool], None] | None = None
    """Begins and ends a recording on a client's wish."""
    camera: CameraEnd | None = None
    """Takes the pictures of a browser's camera."""
