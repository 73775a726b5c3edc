"""`POST /v1/responses`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.answer import Collector
from synapse.domain.errors import SynapseError, UnsupportedParameter
from synapse.domain.events import Error
from synapse.server.http.asgi import CallerWatch, respond
from synapse.server.http.explain import renamed
from synapse.server.http.intake import dropped_header
from synapse.server.http.native import COMMIT_AFTER, PROMPTLY
from synapse.server.http.openai.errors import fail, id_header
from synapse.server.http.openai.responses_object import answered, encode_object
from synapse.server.http.openai.responses_request import ResponsesBody, decode_body, leave_out, responses_request
from synapse.server.http.openai.responses_stream import ResponseStream
from synapse.server.http.openai.terms import read_terms
from synapse.server.http.sse import encode_comment, stream_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from synapse.brokers.base import Place, Subscription
    from synapse.domain.events import Entry
    from synapse.domain.request import Request
    from synapse.domain.task import Task
    from synapse.server.http.asgi import Headers, Receive, Scope, Send
    from synapse.server.http.intake import Intake, Terms

NAMES: Final[Mapping[str, str]] = {
    "response_format": "text.format",
    "logprobs": "top_logprobs",
    "images": "input",
    "image_urls": "input",
    "audio": "input",
    "documents": "input",
}
"""What a part of a request that cannot be honoured is called here, where that is another name."""


class Asked(msgspec.Struct, frozen=True):
    """A request that became a task."""

    task: Task
    body: ResponsesBody
    headers: Headers
    """Those that every answer to it has."""


class ResponsesApi:
    """The route."""

    def __init__(self, intake: Intake, *, keepalive_seconds: float, now: Callable[[], float] = time.time) -> None:
        """Take the way to the service, after how long a silence a stream shows that it lives, and the clock."""
        self._intake = intake
        self._service = intake.service
        self._keepalive = keepalive_seconds
        self._now = now

    async def create(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/responses`. Raises `SynapseError` as long as there is no task."""
        caller = self._intake.caller(scope)
        body = await self._intake.read(scope, receive, decode_body)
        terms = read_terms(caller, body, scope)
        dropped = leave_out(body, drop=terms.drop)
        task = await self._submit(await self._intake.prepare(responses_request(body)), terms)
        asked = Asked(task, body, _headers(task, dropped))
        answer = self._stream if body.stream else self._whole
        async with self._service.follow(task) as log:
            try:
                await answer(asked, log, receive, send)
            except SynapseError as error:
                await fail(error, send, task.id)

    async def _submit(self, request: Request, terms: Terms) -> Task:
        try:
            return await self._intake.submit(request, terms)
        except UnsupportedParameter as error:
            raise renamed(error, NAMES) from error

    async def _whole(self, asked: Asked, log: Subscription, receive: Receive, send: Send) -> None:
        collector = Collector()
        answer = collector.add_all(await log.next(PROMPTLY))
        if answer is None:
            async with self._watch(asked.task, receive):
                while answer is None:
                    answer = collector.add_all(await log.next(self._keepalive))
        response = answered(asked.task, asked.body, answer, self._now())
        await respond(send, 200, encode_object(response), asked.headers)

    async def _stream(self, asked: Asked, log: Subscription, receive: Receive, send: Send) -> None:
        """Stream the answer. Raises the error that it ends with while no status has been sent."""
        events = ResponseStream(asked.task, asked.body, now=self._now)
        async with self._watch(asked.task, receive):
            entries = await log.next(COMMIT_AFTER)
            if entries and isinstance(entries[-1][1], Error):
                raise entries[-1][1].error
            headers = stream_headers(self._place(asked.task, entries)) + asked.headers
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while True:
                data = events.encode(entries) or encode_comment(self._place(asked.task, entries))
                await send({"type": "http.response.body", "body": data, "more_body": not events.over})
                if events.over:
                    return
                entries = await log.next(self._keepalive)

    def _place(self, task: Task, entries: Sequence[Entry]) -> Place | None:
        """Say where a task stands that is silent."""
        return None if entries else self._service.place(task.id)

    def _watch(self, task: Task, receive: Receive) -> CallerWatch:
        """Cancel the task when its caller goes."""
        return CallerWatch(receive, lambda: self._service.cancel(task.id))


def _headers(task: Task, dropped: Sequence[str]) -> Headers:
    names = [*dropped, *[NAMES.get(name, name) for name in task.dropped]]
    return [id_header(task.id), *dropped_header(names)]
