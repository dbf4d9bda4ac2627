"""Frames of a program, sent into a feed that is published to."""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _jpeg
from ._retry import FINAL, Pauses

# A server that takes nothing for so long is asked again.
PATIENCE = 10.0
# A server that has not said by then whether it takes media will say it later.
ASKED = 1.0
# Most of a response that is read.
MOST_BYTES = 4096

Array = np.ndarray[Any, Any]


class Ended(ConnectionError):
    """The server has answered and takes no more."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


class _Body:
    """A request whose body is sent piece by piece."""

    def __init__(self, url: str, authorization: str | None) -> None:
        parts = urllib.parse.urlsplit(url)
        host, is_safe = parts.hostname or "", parts.scheme == "https"
        self._socket = socket.create_connection((host, parts.port or (443 if is_safe else 80)), PATIENCE)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if is_safe:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            head = [f"PUT {target} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}", "Content-Type: image/jpeg",
                    "Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close"]
            if authorization is not None:
                head.append(f"Authorization: {authorization}")
            self._socket.sendall("\r\n".join([*head, "", ""]).encode())
            self._received = b""
            self._wait_for_consent()
        except BaseException:
            self._socket.close()
            raise

    def _wait_for_consent(self) -> None:
        """Until the server says that it takes media, so that a refusal is never lost behind what was sent."""
        self._socket.settimeout(ASKED)
        try:
            head = self._head()
        except TimeoutError:
            head = b""
        if head and b" 100 " not in head.split(b"\r\n", 1)[0]:
            raise self._ended(head)
        self._socket.settimeout(PATIENCE)

    def _head(self) -> bytes:
        while b"\r\n\r\n" not in self._received:
            piece = self._socket.recv(MOST_BYTES)
            if not piece or len(self._received) > MOST_BYTES:
                raise ConnectionError("the server has closed the connection")
            self._received += piece
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head

    def _ended(self, head: bytes) -> Ended:
        """What a response says."""
        self._socket.settimeout(ASKED)
        try:
            while len(self._received) < MOST_BYTES and (piece := self._socket.recv(MOST_BYTES)):
                self._received += piece
        except OSError:
            pass  # What came of it says enough.
        words = head.split(b" ", 2)
        status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        return Ended(status, self._received.decode("utf-8", "replace").strip())

    def _look(self) -> None:
        """Raises Ended where the server has answered before the end."""
        self._socket.settimeout(0)
        try:
            piece = self._socket.recv(MOST_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            self._socket.settimeout(PATIENCE)
        self._received += piece
        head = self._head()
        # The consent, of a server that took its time.
        if b" 100 " not in head.split(b"\r\n", 1)[0]:
            raise self._ended(head)

    def send(self, data: bytes) -> None:
        self._look()
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def finish(self) -> None:
        """The end of the body, and what the server says to it."""
        self._socket.sendall(b"0\r\n\r\n")
        self._socket.settimeout(ASKED)
        head = self._head()
        if b" 100 " in head.split(b"\r\n", 1)[0]:
            head = self._head()
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise self._ended(head)

    def close(self) -> None:
        self._socket.close()


class Publisher:
    """Sends frames to a feed with `publish:`, each as a JPEG, from a thread of its own; for ever, like a camera.

    `url` is the address of the feed, `key` its key; a `token` of a user or service that may publish does as well. `encode` makes a JPEG
    of an image, where the one of this package, which is numpy alone, is too slow.
    """

    def __init__(self, url: str, *, key: str | None = None, token: str | None = None,
                 encode: Callable[[Array], bytes] = _jpeg.encode) -> None:
        self.url = url
        secret = key if key is not None else token
        self._authorization = None if secret is None else f"Bearer {secret}"
        self._encode = encode
        self._changed = threading.Condition()
        self._newest: bytes | Array | None = None
        self._closed = False
        self._stopped = threading.Event()
        self.sent = 0
        """Frames that were given to the server."""
        self.dropped = 0
        """Frames that were not, since newer ones came before their turn or the connection ended."""
        self.connections = 0
        """How often the server has taken the connection."""
        self.error: Exception | None = None
        """Why there is no connection."""
        self.final: Exception | None = None
        """Why there will be none."""
        self._thread = threading.Thread(target=self._run, name="voyandz publisher", daemon=True)
        self._thread.start()

    def write(self, frame: Array | bytes) -> None:
        """Sends an image, (H, W, 3) in BGR or (H, W) in gray, or a JPEG as bytes.

        It does not wait: a frame that is still to be sent is dropped for this one. Raises ValueError for what is no frame, and where
        the server refuses for good.
        """
        if isinstance(frame, bytes):
            if not frame.startswith(b"\xff\xd8"):
                raise ValueError("expected a JPEG")
            mine: bytes | Array = frame
        else:
            _jpeg.check(frame)
            # Who writes may draw the next frame into the same array.
            mine = np.array(frame)
        with self._changed:
            if self.final is not None:
                raise self.final
            if self._closed:
                raise ValueError("the publisher is closed")
            self.dropped += self._newest is not None
            self._newest = mine
            self._changed.notify_all()

    def _next(self) -> bytes | Array | None:
        """Waits for a frame; None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._closed)
            frame, self._newest = self._newest, None
            return frame

    def _keep(self, frame: bytes | Array) -> None:
        """It was not sent, and is not too old while there is no newer one."""
        with self._changed:
            if self._newest is None and not self._closed:
                self._newest = frame
            else:
                self.dropped += 1

    def _run(self) -> None:
        pauses = Pauses()
        while (frame := self._next()) is not None:
            body, refused = None, False
            try:
                body = _Body(self.url, self._authorization)
                self.connections += 1
                self.error = None
                while frame is not None:
                    body.send(frame if isinstance(frame, bytes) else self._encode(frame))
                    self.sent += 1
                    pauses.succeeded()
                    frame = self._next()
                body.finish()
                return
            except OSError as error:
                self.error = error
                refused = isinstance(error, Ended)
                if frame is not None:
                    self._keep(frame)
                if isinstance(error, Ended) and error.status in FINAL:
                    self._give_up(ValueError(str(error)))
                    return
            except Exception as error:  # noqa: BLE001  an encoder that fails would end the thread without a word
                self._give_up(error)
                return
            finally:
                if body is not None:
                    body.close()
            self._stopped.wait(pauses.after(refused=refused))

    def _give_up(self, error: Exception) -> None:
        with self._changed:
            self.error = self.final = error

    def close(self) -> None:
        """Sends the last frame and ends, within two seconds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(2)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
