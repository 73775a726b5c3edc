"""Simulators for tests, ways to talk to them, and recordings to play."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import cast

import aiohttp
import msgspec
import pytest

from synapse.simulator import Options, Simulator
from synapse.testing import FakeClock

Serve = Callable[[Simulator], Awaitable[str]]


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> object:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Line(asyncio.Protocol):
    """A connection on which everything is kept as it arrives."""

    def __init__(self, request: bytes) -> None:
        """Take the bytes to send."""
        self.data = b""
        self.closed = False
        self.sent = False
        self._request = request
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)
        self.sent = True

    def data_received(self, data: bytes) -> None:
        """Keep what comes."""
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the name is the protocol's
        """Note that nothing more will come."""
        self.closed = True

    def pause(self) -> None:
        """Read no further."""
        self._transport.pause_reading()

    def leave(self) -> None:
        """Go away, whatever is still to come."""
        self._transport.abort()

    @property
    def events(self) -> int:
        """How many server-sent events with data have come."""
        return self.data.count(b"data: ")


Until = Callable[[Callable[[], object]], Awaitable[None]]


async def until(condition: Callable[[], object]) -> None:
    """Wait for something to come true without the passing of time; the test's timeout ends it otherwise."""
    while not condition():  # noqa: ASYNC110 - conditions of all kinds, none of which sets an event
        await asyncio.sleep(0)


class Caller:
    """Asks a simulator in every dialect."""

    def __init__(self, simulator: Simulator, url: str, session: aiohttp.ClientSession) -> None:
        """Take whom to ask, and where."""
        self.simulator = simulator
        self.url = url
        self.session = session

    async def ask(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Answer:
        """Send a request and return the whole answer."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        async with self.session.request(method, self.url + path, data=data, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def call(self, dialect: str, prompt: str = "hello", *, stream: bool = False, **more: object) -> Answer:
        """Ask for text in a dialect, and return the whole answer."""
        return await self.ask(*call(dialect, prompt, stream=stream, **more))

    async def line(
        self, dialect: str, prompt: str = "hello", *, stream: bool = False, missing_bytes: int = 0, **more: object
    ) -> Line:
        """Ask for text in a dialect, perhaps not to the end, and return the connection that the answer comes on."""
        path, body, headers = call(dialect, prompt, stream=stream, **more)
        data = msgspec.json.encode(body)
        fields = {"host": "test", "content-length": str(len(data)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        request = f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + data[: len(data) - missing_bytes]
        host, _, port = self.url.removeprefix("http://").partition(":")
        _, line = await asyncio.get_running_loop().create_connection(lambda: Line(request), host, int(port))
        return line

    async def gemini(self, prompt: str = "hello", *, form: str = "plain", key: str = "key-1", **more: object) -> Answer:
        """Ask for text on Gemini's wire."""
        return await self.ask(*gemini_call(prompt, form=form, key=key, **more))

    async def openai(self, prompt: str = "hello", *, key: str = "key-1", **more: object) -> Answer:
        """Ask for text on OpenAI's wire."""
        return await self.ask("/v1/chat/completions", *chat_call(prompt, key, more))

    async def openrouter(self, prompt: str = "hello", *, key: str = "key-1", **more: object) -> Answer:
        """Ask for text on OpenRouter's wire."""
        return await self.ask("/api/v1/chat/completions", *chat_call(prompt, key, more))

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a GET."""
        return await self.ask(path, b"", headers, "GET")


def call(dialect: str, prompt: str, *, stream: bool, **more: object) -> tuple[str, dict[str, object], dict[str, str]]:
    """Return the path, the body and the headers of a request for text in a dialect."""
    if dialect == "gemini":
        return gemini_call(prompt, form="sse" if stream else "plain", **more)
    path = "/api/v1/chat/completions" if dialect == "openrouter" else "/v1/chat/completions"
    return path, *chat_call(prompt, "key-1", {"stream": stream, **more})


def gemini_call(
    prompt: str, *, form: str = "plain", key: str = "key-1", model: str = "m", **more: object
) -> tuple[str, dict[str, object], dict[str, str]]:
    """Return the path, the body and the headers of a request for text."""
    method = {"plain": "generateContent", "sse": "streamGenerateContent?alt=sse", "array": "streamGenerateContent"}
    body: dict[str, object] = {"contents": [{"role": "user", "parts": [{"text": prompt}]}], **more}
    return f"/v1beta/models/{model}:{method[form]}", body, {"x-goog-api-key": key}


def chat_call(prompt: str, key: str, more: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """Return the body and the headers of a request for text."""
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}
    return body, {"authorization": f"Bearer {key}"}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start simulators, which stop after the test."""
    async with AsyncExitStack() as stack:

        async def start(simulator: Simulator) -> str:
            return await stack.enter_async_context(simulator.serve())

        yield start


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Return an HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="session")
def talk() -> type[Caller]:
    """Return what asks, for simulators that a test makes itself."""
    return Caller


Simulate = Callable[..., Awaitable[Caller]]


@pytest.fixture
def simulate(serve: Serve, session: aiohttp.ClientSession, clock: FakeClock) -> Simulate:
    """Start a simulator with the options given, on a clock that stands still, and return a way to ask it."""

    async def start(**options: object) -> Caller:
        simulator = Simulator(msgspec.convert({"port": 0, **options}, Options), clock=clock)
        return Caller(simulator, await serve(simulator), session)

    return start


@pytest.fixture(name="until")
def until_fixture() -> Until:
    """Return the way to wait for something that takes no time."""
    return until
