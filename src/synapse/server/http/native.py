"""The native REST API: `POST /generate`, `GET /models`."""

from __future__ import annotations

import binascii
import functools
from base64 import b64decode
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.errors import InvalidRequest
from synapse.domain.events import Delta, Error, Event, Finish, FinishReason, Restart, format_event_id
from synapse.domain.usage import Usage
from synapse.server.http.asgi import CallerWatch, read_body, respond
from synapse.server.http.explain import error_json, not_understood
from synapse.server.prompt import GenerationConfig, check_seconds, native_request
from synapse.service import Collector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.brokers.base import Subscription
    from synapse.domain.events import Entry
    from synapse.domain.request import Request
    from synapse.domain.task import Task
    from synapse.server.http.asgi import Headers, Receive, Scope, Send
    from synapse.service import Service

PROMPTLY = 0.05
"""Seconds; a whole answer that comes within this does without a watch on its caller."""
COMMIT_AFTER = 2.0
"""Seconds; the HTTP status of a stream is held back this long, so that an early failure keeps its own."""

_SSE: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
MAX_WAIT_HEADER = b"x-synapse-max-wait"
TIMEOUT_HEADER = b"x-synapse-timeout"
_KEEPALIVE = b": keepalive\n\n"


class GenerateBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /generate`."""

    prompt: str
    model_code: str
    stream: bool = False
    config: GenerationConfig | None = None
    images: list[str] = []
    """Base64."""
    max_wait: float | None = None
    timeout: float | None = None


class GenerateAnswer(msgspec.Struct):
    """The answer to `POST /generate` without `stream`."""

    text: str
    task_id: str
    model_code: str
    finish_reason: FinishReason
    usage: Usage


class FinishData(msgspec.Struct):
    """The data of a stream's last event."""

    text: str
    finish_reason: FinishReason
    usage: Usage


class ModelsAnswer(msgspec.Struct):
    """The answer to `GET /models`."""

    models: list[str]


_decode = msgspec.json.Decoder(GenerateBody).decode
_encode = msgspec.json.Encoder().encode


class NativeApi:
    """The routes, over the service."""

    def __init__(self, service: Service, *, max_request_bytes: int, keepalive_seconds: float) -> None:
        """Take the service, the largest body, and the seconds of silence after which a stream shows that it lives."""
        self._service = service
        self._max_request_bytes = max_request_bytes
        self._keepalive = keepalive_seconds

    async def models(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /models`."""
        del scope, receive
        await respond(send, 200, _encode(ModelsAnswer(self._service.models())))

    async def generate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /generate`. Raises `SynapseError` as long as nothing has been sent."""
        body = _parse(await read_body(scope, receive, self._max_request_bytes))
        max_wait, timeout = _durations(scope, body)
        task = await self._service.submit(_request(body), max_wait=max_wait, timeout=timeout)
        answer = self._stream if body.stream else self._whole
        async with self._service.follow(task) as log:
            await answer(task, log, receive, send)

    def _watch(self, task: Task, receive: Receive) -> CallerWatch:
        """Cancel the task when its caller goes."""
        return CallerWatch(receive, functools.partial(self._service.cancel, task.id))

    async def _whole(self, task: Task, log: Subscription, receive: Receive, send: Send) -> None:
        collector = Collector()
        answer = collector.add_all(await log.next(PROMPTLY))
        if answer is None:
            async with self._watch(task, receive):
                while answer is None:
                    answer = collector.add_all(await log.next(self._keepalive))
        finish = answer.finish
        body = GenerateAnswer(answer.text, task.id, task.request.model, finish.reason, finish.usage)
        await respond(send, 200, _encode(body), _task_header(task))

    async def _stream(self, task: Task, log: Subscription, receive: Receive, send: Send) -> None:
        async with self._watch(task, receive):
            entries = await log.next(COMMIT_AFTER)
            if entries and isinstance(entries[0][1], Error):
                raise entries[0][1].error
            await send({"type": "http.response.start", "status": 200, "headers": _SSE + _task_header(task)})
            ended = False
            while not ended:
                ended = bool(entries) and isinstance(entries[-1][1], (Finish, Error))
                data = encode_entries(entries) if entries else _KEEPALIVE
                await send({"type": "http.response.body", "body": data, "more_body": not ended})
                if not ended:
                    entries = await log.next(self._keepalive)


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """Write entries of a log as server-sent events."""
    if len(entries) == 1:
        return _encode_entry(*entries[0])
    return b"".join([_encode_entry(event_id, event) for event_id, event in entries])


def _encode_entry(event_id: tuple[int, int], event: Event) -> bytes:
    if type(event) is Delta:
        return b'id: %d-%d\ndata: {"text":%b}\n\n' % (*event_id, _encode(event.text))
    mark = format_event_id(event_id).encode()
    match event:
        case Finish(reason, usage):
            return b"id: %b\ndata: %b\n\n" % (mark, _encode(FinishData("", reason, usage)))
        case Error(error):
            return b"id: %b\nevent: error\ndata: %b\n\n" % (mark, error_json(error))
        case Restart(reason):
            return b"id: %b\nevent: restart\ndata: %b\n\n" % (mark, _encode({"reason": reason}))
        case _:
            return b""


def _parse(body: bytes) -> GenerateBody:
    if not body:
        raise InvalidRequest("the body is empty; expected a JSON object with prompt and model_code")
    try:
        return _decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
        raise not_understood(exc) from exc


def _request(body: GenerateBody) -> Request:
    images = [_image(text, index) for index, text in enumerate(body.images)] if body.images else ()
    return native_request(body.prompt, body.model_code, stream=body.stream, config=body.config, images=images)


def _image(text: str, index: int) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        field = f"images[{index}]"
        raise InvalidRequest(f"{field}: not valid base64 ({exc}); expected an image file, base64", field=field) from exc


def _durations(scope: Scope, body: GenerateBody) -> tuple[float | None, float | None]:
    """Return `max_wait` and `timeout`; a header is stronger than the body."""
    max_wait, timeout = body.max_wait, body.timeout
    for name, value in scope["headers"]:
        if name == MAX_WAIT_HEADER:
            max_wait = _seconds(name, value)
        elif name == TIMEOUT_HEADER:
            timeout = _seconds(name, value)
    return check_seconds("max_wait", max_wait), check_seconds("timeout", timeout)


def _seconds(name: bytes, value: bytes) -> float:
    try:
        return float(value)
    except ValueError as exc:
        text, field = value.decode("latin-1"), name.decode()
        raise InvalidRequest(f"header {field}: got {text!r}, expected seconds", field=field) from exc


def _task_header(task: Task) -> Headers:
    return [(b"x-synapse-task-id", task.id.encode())]
