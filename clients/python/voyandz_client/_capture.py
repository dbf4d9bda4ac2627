"""The shape of OpenCV's VideoCapture."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._frames import Frame, Reader, Size, frame_of

# The names and numbers of OpenCV.
CAP_PROP_POS_MSEC, CAP_PROP_POS_FRAMES = 0, 1
CAP_PROP_FRAME_WIDTH, CAP_PROP_FRAME_HEIGHT, CAP_PROP_FPS = 3, 4, 5
CAP_PROP_BUFFERSIZE = 38

# Most of the time that is spent on finding the rate.
RATE_WITHIN = 1.0

Array = np.ndarray[Any, Any]


class Capture:
    """Reads the newest frame, never an old one. It comes back by itself when the server does.

    `timeout` is how many seconds the first frame, and each one after it, is waited for.
    """

    def __init__(self, url: str | None = None, *, size: Size | None = None, fps: float | None = None,
                 token: str | None = None, timeout: float = 10.0) -> None:
        self.timeout = timeout
        self._token = token
        self._url = url
        self._width, self._height = size if size is not None else (None, None)
        self._fps = fps
        self._reader: Reader | None = None
        self._frame: Frame | None = None
        self._seen = 0
        self._is_grabbed = False
        # The first frame was waited for, and is the one for `grab` while there is no newer one.
        self._is_first = False
        if url is not None:
            self.open(url)

    def open(self, url: str) -> bool:
        """Another stream; whether a frame of it comes within `timeout`. What does not come may be there later, for `read`."""
        self.release()
        self._url = url
        self._reader = Reader(url, (self._width, self._height), "BGR", self._fps, self._token)
        self._seen = 0
        self._is_first = self._next()
        return self._is_first

    def isOpened(self) -> bool:  # noqa: N802
        """Whether there were frames, and will be."""
        return self._reader is not None and self._reader.final is None and self._reader.count > 0

    def _next(self) -> bool:
        if self._reader is None:
            return False
        try:
            raw, count = self._reader.after(self._seen, self.timeout)
        except (TimeoutError, ValueError):
            return False
        self._frame, self._seen = frame_of(raw, count, self._seen), count
        return True

    def grab(self) -> bool:
        """Waits for a frame that is newer than the last; False after `timeout`, or where there is none."""
        is_first, self._is_first = self._is_first, False
        self._is_grabbed = (is_first and self._reader is not None and self._reader.count == self._seen) or self._next()
        return self._is_grabbed

    def retrieve(self, image: Array | None = None) -> tuple[bool, Array | None]:
        """The frame that was grabbed, which may be written to; in `image`, where that has its shape."""
        if self._frame is None or not self._is_grabbed:
            return False, None
        if image is None or image.shape != self._frame.image.shape or image.dtype != np.uint8:
            return True, np.array(self._frame.image)
        np.copyto(image, self._frame.image)
        return True, image

    def read(self, image: Array | None = None) -> tuple[bool, Array | None]:
        """`grab` and `retrieve`."""
        return self.retrieve(image) if self.grab() else (False, None)

    def get(self, prop: int) -> float:
        """Width, height, rate, number and time of the frame, in milliseconds since 1970; 0 for what is not known."""
        if self._reader is None or self._frame is None:
            return 0.0
        if prop == CAP_PROP_BUFFERSIZE:
            return 1.0
        if prop == CAP_PROP_FPS:
            return self._reader.rate(min(self.timeout, RATE_WITHIN))
        height, width = self._frame.image.shape[:2]
        return {CAP_PROP_FRAME_WIDTH: float(width), CAP_PROP_FRAME_HEIGHT: float(height),
                CAP_PROP_POS_FRAMES: float(self._frame.number), CAP_PROP_POS_MSEC: self._frame.captured * 1000}.get(prop, 0.0)

    def set(self, prop: int, value: float) -> bool:
        """Has the server send another size or rate, if it can: `get` says what came of it. Whether this can be set."""
        if self._url is None or self._reader is None:
            return False
        if prop == CAP_PROP_BUFFERSIZE:
            return value == 1
        if value <= 0 or prop not in (CAP_PROP_FRAME_WIDTH, CAP_PROP_FRAME_HEIGHT, CAP_PROP_FPS):
            return False
        before = self._width, self._height, self._fps
        if prop == CAP_PROP_FRAME_WIDTH:
            self._width = round(value)
        elif prop == CAP_PROP_FRAME_HEIGHT:
            self._height = round(value)
        else:
            self._fps = value
        if self.open(self._url):
            return True
        self._width, self._height, self._fps = before
        self.open(self._url)
        return False

    def release(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._frame = None, None
        self._is_grabbed = self._is_first = False

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
