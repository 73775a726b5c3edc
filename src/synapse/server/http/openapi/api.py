"""`GET /openapi.json` and `GET /docs`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from synapse.server.http.asgi import respond

if TYPE_CHECKING:
    from synapse.server.http.asgi import Headers, Receive, Scope, Send


class DescriptionApi:
    """The routes. What they answer is made when it is first asked for, and kept."""

    def __init__(self, *, needs_key: bool) -> None:
        """Take whether callers are told apart by keys. These routes need none: they tell nothing of this server."""
        self._needs_key = needs_key
        self._made: tuple[bytes, bytes] | None = None

    async def document(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /openapi.json`."""
        del scope, receive
        document, _ = await self._both()
        await respond(send, 200, document)

    async def page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /docs`."""
        del scope, receive
        _, page = await self._both()
        headers: Headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(page)).encode()),
            (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    async def _both(self) -> tuple[bytes, bytes]:
        if self._made is None:
            self._made = await asyncio.to_thread(_make, needs_key=self._needs_key)
        return self._made


def _make(*, needs_key: bool) -> tuple[bytes, bytes]:
    """Make the document and the page."""
    from synapse.server.http.openapi.document import build  # noqa: PLC0415 - hardly a server is ever asked
    from synapse.server.http.openapi.page import render  # noqa: PLC0415

    document = build(needs_key=needs_key)
    return msgspec.json.encode(document), render(document).encode()
