"""The API of a server."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, MutableMapping
from typing import Any

from ._publish import Publisher
from ._retry import Pauses


class Refused(Exception):
    """The server refuses: `status`, and the `problem` as it says it."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('detail') or problem.get('title')}")
        self.status = status
        self.problem = problem


class _Entries(MutableMapping[str, Any]):
    """Entries of the configuration, in its file: set and deleted like those of a dict."""

    def __init__(self, server: Server, path: str, *, writable: bool) -> None:
        self._server, self._path, self._writable = server, path, writable

    def __getitem__(self, name: str) -> Any:
        try:
            return self._server.ask("GET", f"{self._path}/{_part(name)}")
        except Refused as error:
            if error.status == 404:
                raise KeyError(name) from error
            raise

    def __setitem__(self, name: str, value: Any) -> None:
        self._check()
        self._server.ask("PUT", f"{self._path}/{_part(name)}", value)

    def __delitem__(self, name: str) -> None:
        self._check()
        try:
            self._server.ask("DELETE", f"{self._path}/{_part(name)}")
        except Refused as error:
            if error.status == 404:
                raise KeyError(name) from error
            raise

    def _check(self) -> None:
        if not self._writable:
            raise TypeError("the state is not set: see server.config")

    def __iter__(self) -> Iterator[str]:
        return (item["name"] for item in self._server.pages(self._path))

    def __len__(self) -> int:
        total: int = self._server.ask("GET", f"{self._path}?limit=1")["total"]
        return total


class _Config:
    """The configuration by sections."""

    def __init__(self, server: Server) -> None:
        self.feeds = _Entries(server, "/config/feeds", writable=True)
        self.streams = _Entries(server, "/config/streams", writable=True)
        self._server = server

    def change(self, *changes: dict[str, Any], dry_run: bool = False) -> Any:
        """Several changes together or not at all."""
        return self._server.ask("POST", f"/config/changes{'?dry_run=1' if dry_run else ''}", list(changes))

    def undo(self, version: int) -> Any:
        """Takes a change back."""
        return self._server.ask("POST", f"/config/history/{version}/undo")


class Server:
    """A server, asked by HTTP."""

    def __init__(self, url: str, *, token: str | None = None, timeout: float = 20.0) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._token = token
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.feeds = _Entries(self, "/feeds", writable=False)
        self.streams = _Entries(self, "/streams", writable=False)
        self.config = _Config(self)

    def ask(self, method: str, path: str, body: Any = None, *, timeout: float | None = None) -> Any:
        """Asks for something below /api/v1; raises Refused."""
        data = self._bytes(method, f"/api/v1{path}", body, timeout)
        return json.loads(data) if data else None

    def pages(self, path: str) -> Iterator[Any]:
        """All items of a list."""
        after = ""
        while True:
            page = self.ask("GET", f"{path}?limit=1000{after}")
            yield from page["items"]
            if page["next"] is None:
                return
            after = f"&after={_part(page['next'])}"

    def _bytes(self, method: str, path: str, body: Any, timeout: float | None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = dict(self._headers)
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout or self.timeout) as answer:
                result: bytes = answer.read()
                return result
        except urllib.error.HTTPError as error:
            text = error.read(1 << 20)
            try:
                problem = json.loads(text)
            except ValueError:
                problem = {"title": text.decode("utf-8", "replace").strip()}
            raise Refused(error.code, problem) from None

    def still(self, stream: str, *, q: int = 85, width: int | None = None) -> bytes:
        """A JPEG of now."""
        query = f"q={q}" + ("" if width is None else f"&w={width}")
        return self._bytes("GET", f"/stream/{_part(stream)}/pic?{query}", None, None)

    def publish(self, feed: str, *, key: str | None = None, **options: Any) -> Publisher:
        """Sends frames into a feed that is published to, with its key, or the token of this."""
        return Publisher(f"{self.url}/{urllib.parse.quote(feed)}", key=key, token=self._token, **options)

    def restart(self, what: str, name: str) -> None:
        """Restarts a `feed` or `stream`."""
        self._order(what, name, "restart")

    def stop(self, what: str, name: str) -> None:
        """Ends a `feed` or `stream` until it is started."""
        self._order(what, name, "stop")

    def start(self, what: str, name: str) -> None:
        """Lets it run again."""
        self._order(what, name, "start")

    def pause(self, what: str, name: str) -> None:
        """Sends viewers of a `feed` or `stream` nothing until it is resumed; all that makes it runs."""
        self._order(what, name, "pause")

    def resume(self, what: str, name: str) -> None:
        """Continues it, at a keyframe."""
        self._order(what, name, "resume")

    def _order(self, what: str, name: str, order: str) -> None:
        if what not in ("feed", "stream"):
            raise ValueError("expected feed or stream")
        self.ask("POST", f"/{what}s/{_part(name)}/{order}")

    def viewers(self, stream: str | None = None) -> list[Any]:
        """Who watches."""
        found = self.pages("/viewers")
        return [viewer for viewer in found if stream is None or viewer["stream"] == stream]

    def kick(self, viewer: str) -> None:
        """Ends a viewer, by its id."""
        self.ask("DELETE", f"/viewers/{_part(viewer)}")

    def events(self, *, after: int | None = None, type: str | None = None, name: str | None = None) -> Iterator[Any]:
        """What happens from now on, or after a number; it continues when the server restarts."""
        chosen = "".join(f"&{key}={_part(value)}" for key, value in (("type", type), ("name", name)) if value)
        if after is None:
            after = self.ask("GET", "/events?limit=1")["next"]
        pauses = Pauses()
        while True:
            refused = False
            try:
                answer = self.ask("GET", f"/events?after={after}&wait=25&limit=1000{chosen}", timeout=45)
            except Refused as error:
                if error.status < 500 and error.status != 429:
                    raise
                refused = True
            except (OSError, http.client.HTTPException):
                pass
            else:
                pauses.succeeded()
                yield from answer["items"]
                after = answer["next"]
                continue
            time.sleep(pauses.after(refused=refused))


def _part(text: str) -> str:
    return urllib.parse.quote(text, safe="")
