"""The native REST API: `POST /generate`, `GET /models`."""

from __future__ import annotations

import binascii
import functools
from base64 import b64decode
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.answer import Collector
from synapse.domain.caller import ANONYMOUS
from synapse.domain.errors import InvalidRequest
from synapse.domain.events import Error, Finish, FinishReason
from synapse.domain.usage import Usage
from synapse.server.http.asgi import CallerWatch, presented_key, read_body, respond
from synapse.server.http.explain import not_understood
from synapse.server.http.sse import encode_comment, encode_entries, model_code, stream_headers
from synapse.server.prompt import GenerationConfig, check_priority, check_seconds, native_request

if TYPE_CHECKING:
    from synapse.brokers.base import Subscription
    from synapse.domain.caller import Caller
    from synapse.domain.request import Request
    from synapse.domain.task import Task
    from synapse.server.callers import Callers
    from synapse.server.http.asgi import Headers, Receive, Scope, Send
    from synapse.service import Service

PROMPTLY = 0.05
"""Seconds; a whole answer that comes within this does without a watch on its caller."""
COMMIT_AFTER = 2.0
"""Seconds; the HTTP status of a stream is held back this long, so that an early failure keeps its own."""

MAX_WAIT_HEADER = b"x-synapse-max-wait"
TIMEOUT_HEADER = b"x-synapse-timeout"


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
    priority: str | None = None
    """The name of a band."""
    fallbacks: list[str] | None = None
    """Model codes."""


class GenerateAnswer(msgspec.Struct):
    """The answer to `POST /generate` without `stream`."""

    text: str
    task_id: str
    model_code: str
    """That of the model which answered: a fallback's where one did."""
    finish_reason: FinishReason
    usage: Usage


class ModelsAnswer(msgspec.Struct):
    """The answer to `GET /models`."""

    models: list[str]


_decode = msgspec.json.Decoder(GenerateBody).decode
_encode = msgspec.json.Encoder().encode


class NativeApi:
    """The routes, over the service."""

    def __init__(self, service: Service, callers: Callers, *, max_request_bytes: int, keepalive_seconds: float) -> None:
        """Take the service, who may call, the largest body, and after how long a silence a stream shows that it lives.

        Silence is in seconds.
        """
        self._service = service
        self._callers = callers
        self._max_request_bytes = max_request_bytes
        self._keepalive = keepalive_seconds

    async def models(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /models`."""
        del receive
        await respond(send, 200, _encode(ModelsAnswer(self._service.models(self._caller(scope)))))

    async def generate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /generate`. Raises `SynapseError` as long as nothing has been sent."""
        caller = self._caller(scope)
        body = _parse(await read_body(scope, receive, self._max_request_bytes))
        max_wait, timeout = _durations(scope, body)
        task = await self._service.submit(
            _request(body),
            caller=caller,
            priority=check_priority(body.priority),
            max_wait=max_wait,
            timeout=timeout,
            fallbacks=body.fallbacks,
        )
        answer = self._stream if body.stream else self._whole
        async with self._service.follow(task) as log:
            await answer(task, log, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        return self._callers.identify(presented_key(scope)) if self._callers.told_apart else ANONYMOUS

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
        body = GenerateAnswer(answer.text, task.id, model_code(task, finish), finish.reason, finish.usage)
        await respond(send, 200, _encode(body), _task_header(task))

    async def _stream(self, task: Task, log: Subscription, receive: Receive, send: Send) -> None:
        async with self._watch(task, receive):
            entries = await log.next(COMMIT_AFTER)
            if entries and isinstance(entries[0][1], Error):
                raise entries[0][1].error
            place = self._service.place(task.id) if not entries else None
            headers = stream_headers(place) + _task_header(task)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while True:
                ended = bool(entries) and isinstance(entries[-1][1], (Finish, Error))
                data = encode_entries(entries, task) if entries else encode_comment(place)
                await send({"type": "http.response.body", "body": data, "more_body": not ended})
                if ended:
                    return
                entries = await log.next(self._keepalive)
                place = self._service.place(task.id) if not entries else None


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
