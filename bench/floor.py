"""The bare proxy: the least that any Python gateway costs on this stack. No queue, no parsing, nothing kept.

    python bench/floor.py --upstream http://127.0.0.1:9100

Raw ASGI on uvicorn (httptools, uvloop) in front of one aiohttp session. The body goes through as it came; so does the
answer, in the pieces it arrives in. The model code `benchg` goes to Gemini's paths, any other to OpenAI's. Prints the
port it listens on.
"""

from __future__ import annotations

import argparse
import socket
from typing import TYPE_CHECKING

import aiohttp
import uvicorn
from yarl import URL

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

OPENAI = "/v1/chat/completions"
GEMINI = "/v1beta/models/bench:generateContent"
GEMINI_STREAM = "/v1beta/models/bench:streamGenerateContent?alt=sse"
HEADERS = {"content-type": "application/json", "authorization": "Bearer bench", "user-agent": "floor"}
JSON = [(b"content-type", b"application/json")]
EVENT_STREAM = [(b"content-type", b"text/event-stream")]


class Proxy:
    """The ASGI application."""

    def __init__(self, upstream: str) -> None:
        """Take the upstream's base URL."""
        self._openai, self._gemini, self._gemini_stream = (
            URL(upstream + path, encoded=True) for path in (OPENAI, GEMINI, GEMINI_STREAM)
        )

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one connection's request, or the start and end of the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["method"] == "GET":
            await _answer(send, 200, b"ready")
        else:
            await self._forward(receive, send)

    async def _live(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await receive()
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as self._session:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _forward(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        body = await _read(receive)
        stream = b'"stream":true' in body
        async with self._session.post(self._target(body, stream=stream), data=body, headers=HEADERS) as response:
            if stream:
                await _relay(response, send)
            else:
                await _answer(send, response.status, await response.read())

    def _target(self, body: bytes, *, stream: bool) -> URL:
        if b'"model_code":"benchg"' not in body:
            return self._openai
        return self._gemini_stream if stream else self._gemini


async def _read(receive: ASGIReceiveCallable) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += message["body"]
        if not message["more_body"]:
            return body


async def _answer(send: ASGISendCallable, status: int, body: bytes) -> None:
    headers = [*JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _relay(response: aiohttp.ClientResponse, send: ASGISendCallable) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": EVENT_STREAM, "trailers": False})
    async for chunk in response.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def main() -> None:
    """Read the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="bare proxy")
    parser.add_argument("--upstream", required=True, help="base URL of the provider")
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        Proxy(options.upstream),
        http="httptools",
        loop="uvloop",
        ws="none",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
