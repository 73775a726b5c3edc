"""`POST /v1/messages`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.answer import Collector
from synapse.domain.errors import ModelNotFound, SynapseError, UnsupportedParameter
from synapse.domain.events import Error
from synapse.scheduling.tokens import estimate_input_tokens
from synapse.server.http.anthropic.answer import message
from synapse.server.http.anthropic.body import CountBody, MessagesBody, count_request, messages_request
from synapse.server.http.anthropic.errors import NAMES, fail, id_header
from synapse.server.http.anthropic.stream import MessageStream, encode_ping, encode_start
from synapse.server.http.anthropic.unsaid import leave_out
from synapse.server.http.asgi import CallerWatch, header, presented_key, respond
from synapse.server.http.explain import renamed
from synapse.server.http.intake import dropped_header, new_request_id, read_terms
from synapse.server.http.native import COMMIT_AFTER, PROMPTLY
from synapse.server.http.sse import stream_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.brokers.base import Place, Subscription
    from synapse.domain.events import Entry
    from synapse.domain.request import Request
    from synapse.domain.task import Task
    from synapse.server.http.asgi import Headers, Receive, Scope, Send
    from synapse.server.http.intake import Intake, Terms


class CountAnswer(msgspec.Struct):
    """The answer to `POST /v1/messages/count_tokens`."""

    input_tokens: int


_decode = msgspec.json.Decoder(MessagesBody).decode
_decode_count = msgspec.json.Decoder(CountBody).decode
_encode = msgspec.json.Encoder().encode


class MessagesApi:
    """The routes."""

    def __init__(self, intake: Intake, *, keepalive_seconds: float) -> None:
        """Take the way to the service, and after how long a silence a stream shows that it lives."""
        self._intake = intake
        self._service = intake.service
        self._keepalive = keepalive_seconds

    async def create(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/messages`. Raises `SynapseError` as long as there is no task."""
        caller = self._intake.caller(scope, _presented_key)
        body = await self._intake.read(scope, receive, _decode)
        terms = read_terms(caller, body, scope)
        dropped = leave_out(body, drop=terms.drop)
        request = await self._intake.prepare(messages_request(body))
        names = _names(body)
        task = await self._submit(request, terms, names)
        headers = [id_header(task.id), *dropped_header([*dropped, *[names.get(name, name) for name in task.dropped]])]
        answer = self._stream if request.stream else self._whole
        async with self._service.follow(task) as log:
            try:
                await answer(task, log, headers, receive, send)
            except SynapseError as error:
                await fail(error, send, task.id)

    async def count_tokens(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/messages/count_tokens`: an estimate, the same as tasks are scheduled by. Raises `SynapseError`."""
        caller = self._intake.caller(scope, _presented_key)
        body = await self._intake.read(scope, receive, _decode_count)
        models = self._service.models(caller)
        if body.model not in models:
            known = ", ".join(models)
            raise ModelNotFound(f"there is no model {body.model[:200]!r}. The models are: {known}", field="model")
        count = CountAnswer(estimate_input_tokens(count_request(body)))
        await respond(send, 200, _encode(count), [id_header(new_request_id())])

    async def _submit(self, request: Request, terms: Terms, names: Mapping[str, str]) -> Task:
        try:
            return await self._intake.submit(request, terms)
        except UnsupportedParameter as error:
            raise renamed(error, names) from error

    async def _whole(self, task: Task, log: Subscription, headers: Headers, receive: Receive, send: Send) -> None:
        collector = Collector()
        answer = collector.add_all(await log.next(PROMPTLY))
        if answer is None:
            async with self._watch(task, receive):
                while answer is None:
                    answer = collector.add_all(await log.next(self._keepalive))
        await respond(send, 200, _encode(message(task, answer)), headers)

    async def _stream(self, task: Task, log: Subscription, headers: Headers, receive: Receive, send: Send) -> None:
        """Stream the answer. Raises the error that it ends with while no status has been sent."""
        events = MessageStream(task)
        async with self._watch(task, receive):
            entries = await log.next(COMMIT_AFTER)
            if entries and isinstance(entries[-1][1], Error):
                raise entries[-1][1].error
            place = self._place(task, entries)
            await send({"type": "http.response.start", "status": 200, "headers": stream_headers(place) + headers})
            data = encode_start(task, estimate_input_tokens(task.request))
            while True:
                data += events.encode(entries) or encode_ping(place)
                await send({"type": "http.response.body", "body": data, "more_body": not events.over})
                if events.over:
                    return
                entries = await log.next(self._keepalive)
                place, data = self._place(task, entries), b""

    def _place(self, task: Task, entries: Sequence[Entry]) -> Place | None:
        """Say where a task stands of which nothing is heard."""
        return None if entries else self._service.place(task.id)

    def _watch(self, task: Task, receive: Receive) -> CallerWatch:
        """Cancel the task when its caller goes."""
        return CallerWatch(receive, functools.partial(self._service.cancel, task.id))


def _presented_key(scope: Scope) -> str | None:
    """Return the key that came along. Where there are two, `x-api-key` counts, as it does at Anthropic's."""
    api_key = header(scope, b"x-api-key")
    return api_key.decode("latin-1") if api_key else presented_key(scope)


def _names(body: MessagesBody) -> Mapping[str, str]:
    """Return what the service calls a field, and what it is in this body: two say how much to think."""
    return NAMES if body.thinking is not None else {**NAMES, "reasoning": "output_config.effort"}
