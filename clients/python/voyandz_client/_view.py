"""A view of a stream that several look at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ._frames import Frame, Reader, Size, frame_of

_LOG = logging.getLogger("voyandz_client")


class View:
    """Reads a stream in a thread, which calls those who subscribe; a slow one gets fewer frames, never old ones."""

    def __init__(self, url: str, *, size: Size | None = None, format: str = "BGR",
                 fps: float | None = None, token: str | None = None) -> None:
        self._reader = Reader(url, size, format, fps, token)
        self._subscribers: list[Callable[[Frame], object]] = []
        self._modifiers: list[Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = []
        self._lock = threading.Lock()
        self.frame: Frame | None = None
        """The newest, as subscribers get it."""
        self._thread = threading.Thread(target=self._run, name="voyandz view", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        seen = 0
        while not self._reader.stopped.is_set():
            try:
                raw, count = self._reader.after(seen, None)
            except (TimeoutError, ValueError):
                return
            with self._lock:
                modifiers, subscribers = list(self._modifiers), list(self._subscribers)
            try:
                frame = frame_of(raw, count, seen)
                for modify in modifiers:
                    frame = replace(frame, image=modify(frame.image))
                self.frame = frame
                for subscriber in subscribers:
                    subscriber(frame)
            except Exception:  # noqa: BLE001  a fault of a caller must not end the view of others
                _LOG.exception("a modifier or subscriber has failed")
            seen = count

    def subscribe(self, call: Callable[[Frame], object]) -> Callable[[], None]:
        """Calls it with frames, until what this returns is called."""
        with self._lock:
            self._subscribers.append(call)

        def stop() -> None:
            with self._lock:
                if call in self._subscribers:
                    self._subscribers.remove(call)

        return stop

    def modify(self, change: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> None:
        """Changes every image before subscribers get it, after the modifiers that there are."""
        with self._lock:
            self._modifiers.append(change)

    def close(self) -> None:
        """Ends within a second."""
        self._reader.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(1)

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
