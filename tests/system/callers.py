"""The ways a caller can ask: over either port, for the answer as a whole or as it grows."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import IO, TYPE_CHECKING, Protocol

import aiohttp
import grpc.aio
import msgspec

from synapse import SynapseError
from synapse.protos import generate_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from synapse import AsyncClient


class Server(Protocol):
    """A Synapse and what reaches its ports."""

    http: str
    caller: aiohttp.ClientSession
    client: AsyncClient
    channel: grpc.aio.Channel


class Problem(msgspec.Struct, frozen=True):
    """An error as a caller meets it."""

    type: str
    message: str
    field: str | None = None
    retry_after: float | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request, whichever way it went."""

    text: str = ""
    finish_reason: str | None = None
    usage: dict[str, float | None] | None = None
    error: Problem | None = None

    @property
    def failed(self) -> Problem:
        """The error there must have been."""
        assert self.error is not None, f"no error came, but {self}"
        return self.error


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A server-sent event, or a comment."""

    comment: str | None = None
    id: str | None = None
    event: str | None = None
    data: str = ""

    @property
    def json(self) -> dict[str, object]:
        """The data, decoded."""
        value: dict[str, object] = json.loads(self.data)
        return value


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, read as a whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body, decoded."""
        value: dict[str, object] = json.loads(self.body)
        return value

    @property
    def error(self) -> Problem:
        """The error that the body tells of."""
        return msgspec.convert(self.json["error"], Problem)


async def post(
    server: Server, body: bytes | IO[bytes] | dict[str, object], headers: dict[str, str] | None = None
) -> Answer:
    """Send a body to `POST /generate`, as JSON unless it is bytes or a file of them, and read the answer."""
    data = encoded(body) if isinstance(body, dict) else body
    async with server.caller.post(f"{server.http}/generate", data=data, headers=headers) as response:
        answer_headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, answer_headers, await response.read())


def encoded(body: dict[str, object]) -> bytes:
    """Return a body as it is sent."""
    return json.dumps(body).encode()


def streaming(
    server: Server, headers: dict[str, str] | None = None, **body: object
) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
    """Ask for a stream over REST; the block begins when the HTTP status has come, and its end drops the connection."""
    data = encoded({"prompt": "Say it.", "model_code": "m", "stream": True, **body})
    return server.caller.post(f"{server.http}/generate", data=data, headers=headers, read_bufsize=2**20)


def calling(server: Server, *, deadline: float | None = None, **fields: object) -> grpc.aio.UnaryStreamCall:
    """Call GenerateTask as any gRPC client does."""
    start = server.channel.unary_stream(
        "/synapse.Generate/GenerateTask",
        request_serializer=pb.Request.SerializeToString,
        response_deserializer=pb.Response.FromString,
    )
    return start(pb.Request(**{"prompt": "Say it.", "model_code": "m", **fields}), timeout=deadline)  # type: ignore[arg-type]


async def sse(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Read the events and comments of a stream, as they come."""
    fields: dict[str, str] = {}
    async for line in response.content:
        text = line.decode().removesuffix("\n")
        name, _, value = text.partition(": ")
        if text.startswith(":"):
            yield Event(comment=text[1:].strip())
        elif text:
            assert name in {"id", "event", "data"}, f"not a line of an event: {text!r}"
            fields[name] = value
        elif fields:
            yield Event(**fields)
            fields = {}
    assert not fields, f"the stream ended within an event: {fields}"


async def whole_over_rest(server: Server, prompt: str = "Say it.", model: str = "m", **more: object) -> Outcome:
    """Ask over REST for the whole answer."""
    answer = await post(server, {"prompt": prompt, "model_code": model, **more})
    if answer.status != 200:
        return Outcome(error=answer.error)
    return msgspec.convert(answer.json, Outcome)


async def stream_over_rest(
    server: Server, prompt: str = "Say it.", model: str = "m", *, seen: asyncio.Event | None = None, **more: object
) -> Outcome:
    """Ask over REST for a stream, and read it to its end; say when its first event is there."""
    async with streaming(server, prompt=prompt, model_code=model, **more) as response:
        if response.status != 200:
            return Outcome(error=msgspec.convert((await response.json())["error"], Problem))
        events = []
        async for event in sse(response):
            if event.comment is None:
                events.append(event)
                _set(seen)
    *deltas, last = events
    text = "".join(str(event.json["text"]) for event in deltas)
    if last.event == "error":
        return Outcome(text=text, error=msgspec.convert(last.json["error"], Problem))
    return msgspec.convert({**last.json, "text": text}, Outcome)


async def whole_over_grpc(server: Server, prompt: str = "Say it.", model: str = "m", **more: object) -> Outcome:
    """Ask over gRPC for the whole answer."""
    return await _over_grpc(server, prompt, model, stream=False, **more)


async def stream_over_grpc(
    server: Server, prompt: str = "Say it.", model: str = "m", *, seen: asyncio.Event | None = None, **more: object
) -> Outcome:
    """Ask over gRPC for a stream, and read it to its end; say when its first text is there."""
    return await _over_grpc(server, prompt, model, stream=True, seen=seen, **more)


async def _over_grpc(
    server: Server, prompt: str, model: str, *, seen: asyncio.Event | None = None, **more: object
) -> Outcome:
    text = ""
    last = None
    try:
        async for last in server.client.generate_task(prompt=prompt, model_code=model, **more):  # type: ignore[arg-type]
            text += last.text
            if last.text:
                _set(seen)
    except SynapseError as error:
        return Outcome(text=text, error=Problem(error.code, error.message, error.field, error.retry_after))
    assert last is not None
    assert last.usage is not None
    return Outcome(text=text, finish_reason=last.finish_reason, usage=msgspec.to_builtins(last.usage))


def _set(seen: asyncio.Event | None) -> None:
    if seen is not None:
        seen.set()


Ask = Callable[..., Awaitable[Outcome]]

WHOLE = {"rest": whole_over_rest, "grpc": whole_over_grpc}
STREAMED = {"rest-stream": stream_over_rest, "grpc-stream": stream_over_grpc}
EVERY_WAY = {**WHOLE, **STREAMED}
