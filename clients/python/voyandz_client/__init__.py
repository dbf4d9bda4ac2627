"""Frames, control and events of a voyandz server, and frames for one. See the README."""

from ._capture import Capture
from ._frames import Frame, aframes, frames
from ._publish import Publisher
from ._server import Refused, Server
from ._view import View

__all__ = ["Capture", "Frame", "Publisher", "Refused", "Server", "View", "aframes", "frames"]
__version__ = "0.1.0"
