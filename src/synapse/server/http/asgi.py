"""The few things every route does with ASGI: read a body, answer, notice that the caller went."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from synapse.domain.errors import Cancelled, PayloadTooLarge
from synapse.server.callers import bearer

if TYPE_CHECKING:
    from types import TracebackType

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_DRAIN_FACTOR = 2
"""How much beyond the limit is read and thrown away, in limits, so that a caller who still sends can read our no."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return a request header's value; names are lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def presented_key(scope: Scope) -> str | None:
    """Return the key that came along: `Authorization: Bearer KEY`, else `x-api-key: KEY`."""
    authorization = header(scope, b"authorization")
    key = bearer(authorization.decode("latin-1")) if authorization is not None else None
    if key:
        return key
    api_key = header(scope, b"x-api-key")
    return api_key.decode("latin-1") if api_key is not None else None


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read the whole body. Raises `PayloadTooLarge` above `limit` bytes, `Cancelled` when the caller goes meanwhile."""
    message = await receive()
    if not message.get("more_body") and message["type"] == "http.request" and len(message["body"]) <= limit:
        return bytes(message["body"])
    pieces: list[bytes] = []
    size = 0
    announced = int(header(scope, b"content-length") or 0)
    while True:
        if message["type"] == "http.disconnect":
            raise Cancelled("the caller went while sending the request")
        size += len(message["body"])
        if size > limit:
            pieces.clear()
        else:
            pieces.append(message["body"])
        if not message.get("more_body") or size > limit * _DRAIN_FACTOR:
            break
        message = await receive()
    if size > limit:
        raise PayloadTooLarge(f"the body has {max(size, announced)} bytes; server.max_request_bytes allows {limit}")
    return b"".join(pieces)


async def respond(send: Send, status: int, body: bytes, headers: Headers | None = None) -> None:
    """Send a whole JSON answer."""
    fields = [_JSON, (b"content-length", str(len(body)).encode())]
    if headers:
        fields += headers
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


class CallerWatch:
    """Notices that a caller has gone, and says so once. ASGI tells only those who wait for it: that takes a task."""

    __slots__ = ("_receive", "_watching", "_when_gone")

    def __init__(self, receive: Receive, when_gone: Callable[[], Awaitable[None]]) -> None:
        """Take where the news comes from and what to do about it."""
        self._receive = receive
        self._when_gone = when_gone
        self._watching: asyncio.Task[None] | None = None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        await self._when_gone()

    async def __aenter__(self) -> None:
        """Begin to watch."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the watch."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
