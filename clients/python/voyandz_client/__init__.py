"""Frames, control and events of a voyandz server, and frames for one. See the README."""

from ._capture import (
    CAP_PROP_BUFFERSIZE,
    CAP_PROP_FPS,
    CAP_PROP_FRAME_HEIGHT,
    CAP_PROP_FRAME_WIDTH,
    CAP_PROP_POS_FRAMES,
    CAP_PROP_POS_MSEC,
    Capture,
)
from ._frames import Frame, aframes, frames
from ._publish import Publisher
from ._server import Refused, Server
from ._view import View

__all__ = ["CAP_PROP_BUFFERSIZE", "CAP_PROP_FPS", "CAP_PROP_FRAME_HEIGHT", "CAP_PROP_FRAME_WIDTH", "CAP_PROP_POS_FRAMES",
           "CAP_PROP_POS_MSEC", "Capture", "Frame", "Publisher", "Refused", "Server", "View", "aframes", "frames"]
__version__ = "0.1.0"
