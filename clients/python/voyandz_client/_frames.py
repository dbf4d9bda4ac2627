"""Frames of a stream: always the newest, and for ever."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _wire
from ._retry import FINAL, Pauses

# Width and height; where one is None, the shape is kept.
Size = tuple[int | None, int | None]
# The rate is that of so many frames.
RATE_OF = 25


@dataclass(frozen=True)
class Frame:
    """One frame."""

    image: np.ndarray[Any, Any]
    """The pixels, a view without a copy."""
    captured: float
    """When, in seconds since 1970."""
    number: int
    """Counts all frames that were received."""
    missed: int
    """How many came since the one before this and were not looked at."""
    format: str

    @property
    def age(self) -> float:
        """Seconds since it was captured, by the clock of this machine."""
        return time.time() - self.captured

    def _repr_html_(self) -> str:
        return f"<code>frame {self.number}: {self.image.shape}, {self.format}</code>"


def target(url: str, size: Size | None, format: str, fps: float | None) -> str:
    """The address of the raw frames of a stream."""
    parts = urllib.parse.urlsplit(url)
    path = parts.path.rstrip("/")
    query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    query.append(("format", format))
    query += [(name, str(side)) for name, side in zip("wh", size or ()) if side is not None]
    if fps is not None:
        query.append(("fps", f"{fps:g}"))
    path = path if path.endswith("/frames") else f"{path}/frames"
    return urllib.parse.urlunsplit(parts._replace(path=path, query=urllib.parse.urlencode(query)))


class Reader:
    """Reads in a thread of its own and keeps the newest frame."""

    def __init__(self, url: str, size: Size | None, format: str, fps: float | None, token: str | None) -> None:
        self.address = target(url, size, format, fps)
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.changed = threading.Condition()
        self.newest: _wire.Raw | None = None
        self.count = 0
        self.error: Exception | None = None
        self.final: Exception | None = None
        self.stopped = threading.Event()
        self.dates: deque[float] = deque(maxlen=RATE_OF)
        """When the last frames were captured."""
        self._source: Any = None
        self._thread = threading.Thread(target=self._run, name="voyandz frames", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pauses = Pauses()
        while not self.stopped.is_set():
            refused = False
            try:
                request = urllib.request.Request(self.address, headers=self.headers)
                # A stream without frames for so long is asked again.
                with urllib.request.urlopen(request, timeout=10) as source:
                    self._source = source
                    # Until there is a frame, it is a server that has none.
                    refused = True
                    while not self.stopped.is_set():
                        raw = _wire.read(source)
                        refused = False
                        pauses.succeeded()
                        with self.changed:
                            self.newest, self.count, self.error = raw, self.count + 1, None
                            self.dates.append(raw.captured)
                            self.changed.notify_all()
            except urllib.error.HTTPError as error:
                if error.code in FINAL:
                    detail = error.read(500).decode("utf-8", "replace").strip()
                    with self.changed:
                        self.final = ValueError(f"{error.code} {error.reason}: {detail}")
                        self.changed.notify_all()
                    return
                refused, self.error = True, error
            except (OSError, ValueError, http.client.HTTPException) as error:
                self.error = error
            self.stopped.wait(pauses.after(refused=refused))

    def after(self, count: int, timeout: float | None) -> tuple[_wire.Raw, int]:
        """The newest frame that is younger than the one with this count."""
        with self.changed:
            came = self.changed.wait_for(lambda: self.final or self.stopped.is_set() or self.count > count, timeout)
            if self.final is not None:
                raise self.final
            if not came or self.newest is None or self.count <= count:
                why = f": {self.error}" if self.error else ""
                raise TimeoutError(f"no frame of {self.address}{why}")
            return self.newest, self.count

    def rate(self, timeout: float) -> float:
        """Frames in a second, by when the last were captured; waits for enough of them, and is 0 where there are not two."""
        with self.changed:
            self.changed.wait_for(lambda: self.final or self.stopped.is_set() or len(self.dates) == RATE_OF, timeout)
            if len(self.dates) < 2 or self.dates[-1] <= self.dates[0]:
                return 0.0
            return (len(self.dates) - 1) / (self.dates[-1] - self.dates[0])

    def close(self) -> None:
        """Ends within a second."""
        self.stopped.set()
        with self.changed:
            self.changed.notify_all()
        source = self._source
        if source is not None:
            # Wakes the thread, which may wait for bytes.
            try:
                source.fp.raw._sock.shutdown(2)
            except (AttributeError, OSError):
                pass
        if threading.current_thread() is not self._thread:
            self._thread.join(1)


def frame_of(raw: _wire.Raw, count: int, before: int) -> Frame:
    """What is given to who asks."""
    return Frame(_wire.image(raw), raw.captured, count, count - before - 1, raw.format)


def frames(
    url: str,
    *,
    size: Size | None = None,
    format: str = "BGR",
    fps: float | None = None,
    token: str | None = None,
    timeout: float | None = None,
) -> Iterator[Frame]:
    """The newest frame of a stream, again and again; it comes back by itself when the server does.

    Raises ValueError where the server refuses for good, and TimeoutError after `timeout` seconds without a frame.
    """
    reader = Reader(url, size, format, fps, token)
    try:
        seen = 0
        while True:
            raw, count = reader.after(seen, timeout)
            yield frame_of(raw, count, seen)
            seen = count
    finally:
        reader.close()


async def aframes(url: str, **options: Any) -> AsyncIterator[Frame]:
    """The same for asyncio."""
    source = frames(url, **options)
    end = object()
    try:
        while (frame := await asyncio.to_thread(next, source, end)) is not end:
            yield frame  # type: ignore[misc]
    finally:
        source.close()  # type: ignore[attr-defined]
