"""The shape of OpenCV's VideoCapture."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._frames import Frame, Reader, frame_of

# The numbers of OpenCV.
PROP_POS_MSEC, PROP_FRAME_WIDTH, PROP_FRAME_HEIGHT, PROP_FPS = 0, 3, 4, 5


class Capture:
    """Reads the newest frame, never an old one."""

    def __init__(self, url: str, *, size: tuple[int, int] | None = None, fps: float | None = None,
                 token: str | None = None, timeout: float = 10.0) -> None:
        self._options = (size, "BGR", fps, token)
        self.timeout = timeout
        self._reader: Reader | None = None
        self._frame: Frame | None = None
        self._seen = 0
        self.open(url)

    def open(self, url: str) -> bool:
        """Another stream."""
        self.release()
        self._reader = Reader(url, *self._options)
        self._seen = 0
        return True

    def isOpened(self) -> bool:  # noqa: N802
        return self._reader is not None and self._reader.final is None

    def grab(self) -> bool:
        """Waits for a frame that is newer than the last; False after `timeout`, or where there is none."""
        if self._reader is None:
            return False
        try:
            raw, count = self._reader.after(self._seen, self.timeout)
        except (TimeoutError, ValueError):
            return False
        self._frame, self._seen = frame_of(raw, count, self._seen), count
        return True

    def retrieve(self) -> tuple[bool, np.ndarray[Any, Any] | None]:
        """The frame that was grabbed, which may be written to."""
        if self._frame is None:
            return False, None
        return True, np.array(self._frame.image)

    def read(self) -> tuple[bool, np.ndarray[Any, Any] | None]:
        return self.retrieve() if self.grab() else (False, None)

    def get(self, prop: int) -> float:
        """Width, height, time; 0 for what is not known."""
        if self._frame is None and prop in (PROP_FRAME_WIDTH, PROP_FRAME_HEIGHT):
            self.grab()
        if self._frame is None:
            return 0.0
        height, width = self._frame.image.shape[:2]
        return {PROP_FRAME_WIDTH: float(width), PROP_FRAME_HEIGHT: float(height),
                PROP_POS_MSEC: self._frame.captured * 1000}.get(prop, 0.0)

    def set(self, prop: int, value: float) -> bool:
        """Nothing can be set: say it when it is made."""
        return False

    def release(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._frame = None, None

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
