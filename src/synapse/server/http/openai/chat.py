"""`POST /v1/chat/completions`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.answer import Answer, Collector
from synapse.domain.errors import SynapseError, UnsupportedParameter
from synapse.domain.events import Error
from synapse.server.http.asgi import CallerWatch, respond
from synapse.server.http.explain import renamed
from synapse.server.http.intake import dropped_header
from synapse.server.http.native import COMMIT_AFTER, PROMPTLY
from synapse.server.http.openai.chat_answer import encode_answers
from synapse.server.http.openai.chat_request import ChatBody, chat_request, decode_body
from synapse.server.http.openai.chat_stream import ChatStream
from synapse.server.http.openai.choices import ManyChoices, OneChoice
from synapse.server.http.openai.errors import fail, id_header
from synapse.server.http.openai.terms import read_terms
from synapse.server.http.openai.unsaid import leave_out
from synapse.server.http.sse import encode_comment, stream_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.brokers.base import Place
    from synapse.domain.request import Request
    from synapse.domain.task import Task
    from synapse.server.http.asgi import Headers, Receive, Scope, Send
    from synapse.server.http.intake import Intake, Terms
    from synapse.server.http.openai.choices import Batch

    Choices = OneChoice | ManyChoices

NAMES: Final[Mapping[str, str]] = {
    "reasoning": "reasoning_effort",
    "images": "messages",
    "image_urls": "messages",
    "audio": "messages",
    "documents": "messages",
}
"""What a part of a request that cannot be honoured is called here, where that is another name."""


class Asked(msgspec.Struct, frozen=True):
    """A request that became tasks: one for each choice."""

    tasks: tuple[Task, ...]
    body: ChatBody
    headers: Headers
    """Those that every answer to it has."""


class ChatApi:
    """The route."""

    def __init__(self, intake: Intake, *, keepalive_seconds: float) -> None:
        """Take the way to the service, and after how long a silence a stream shows that it lives."""
        self._intake = intake
        self._service = intake.service
        self._keepalive = keepalive_seconds

    async def completions(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/chat/completions`. Raises `SynapseError` as long as there is no task."""
        caller = self._intake.caller(scope)
        body = await self._intake.read(scope, receive, decode_body)
        terms = read_terms(caller, body, scope)
        dropped = leave_out(body, drop=terms.drop)
        count = body.n or 1
        request = await self._intake.prepare(chat_request(body))
        if count == 1:
            task = await self._submit(request, terms)
            async with self._service.follow(task) as log:
                await self._answer(Asked((task,), body, _headers((task,), dropped)), OneChoice(log), receive, send)
            return
        async with AsyncExitStack() as following:
            tasks, logs = [], []
            for index in range(count):
                tasks.append(await self._submit(_variant(request, index), terms))
                logs.append(await following.enter_async_context(self._service.follow(tasks[-1])))
            together = await following.enter_async_context(ManyChoices(logs))
            await self._answer(Asked(tuple(tasks), body, _headers(tasks, dropped)), together, receive, send)

    async def _submit(self, request: Request, terms: Terms) -> Task:
        try:
            return await self._intake.submit(request, terms)
        except UnsupportedParameter as error:
            raise renamed(error, NAMES) from error

    async def _answer(self, asked: Asked, choices: Choices, receive: Receive, send: Send) -> None:
        answer = self._stream if asked.body.stream else self._whole
        try:
            await answer(asked, choices, receive, send)
        except SynapseError as error:
            await fail(error, send, asked.tasks[0].id)

    async def _whole(self, asked: Asked, choices: Choices, receive: Receive, send: Send) -> None:
        gathered = Gathered(len(asked.tasks))
        if not gathered.add(await choices.next(PROMPTLY)):
            async with self._watch(asked, receive):
                while not gathered.add(await choices.next(self._keepalive)):
                    pass
        await respond(send, 200, encode_answers(asked.tasks, gathered.answers), asked.headers)

    async def _stream(self, asked: Asked, choices: Choices, receive: Receive, send: Send) -> None:
        """Stream the answers. Raises the error that one of them ends with while no status has been sent."""
        options = asked.body.stream_options
        chunks = ChatStream(asked.tasks, include_usage=bool(options is not None and options.include_usage))
        async with self._watch(asked, receive):
            batches = await choices.next(COMMIT_AFTER)
            _raise_error(batches)
            headers = stream_headers(self._place(asked, batches)) + asked.headers
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            while True:
                data = chunks.encode(batches) or encode_comment(self._place(asked, batches))
                await send({"type": "http.response.body", "body": data, "more_body": not chunks.over})
                if chunks.over:
                    return
                batches = await choices.next(self._keepalive)

    def _place(self, asked: Asked, batches: Sequence[Batch]) -> Place | None:
        """Say where the first that is silent stands, when all are."""
        if any(entries for _, entries in batches):
            return None
        return self._service.place(asked.tasks[batches[0][0]].id)

    def _watch(self, asked: Asked, receive: Receive) -> CallerWatch:
        """Cancel all tasks when their caller goes."""

        async def cancel() -> None:
            for task in asked.tasks:
                await self._service.cancel(task.id)

        return CallerWatch(receive, cancel)


class Gathered:
    """The answers to all tasks, as they become whole."""

    def __init__(self, count: int) -> None:
        """Expect so many."""
        self._collectors = [Collector() for _ in range(count)]
        self._whole: dict[int, Answer] = {}

    @property
    def answers(self) -> list[Answer]:
        """All of them in order."""
        return [self._whole[index] for index in range(len(self._collectors))]

    def add(self, batches: Sequence[Batch]) -> bool:
        """Take what has come; return whether all are whole. Raises the error that one of the logs ends with."""
        for index, entries in batches:
            answer = self._collectors[index].add_all(entries)
            if answer is not None:
                self._whole[index] = answer
        return len(self._whole) == len(self._collectors)


def _variant(request: Request, index: int) -> Request:
    """Return the request for one of several choices: with one seed for all they would all be the same."""
    sampling = request.sampling
    if not index or sampling.seed is None:
        return request
    return msgspec.structs.replace(request, sampling=msgspec.structs.replace(sampling, seed=sampling.seed + index))


def _headers(tasks: Sequence[Task], dropped: Sequence[str]) -> Headers:
    names = [*dropped, *[NAMES.get(name, name) for name in tasks[0].dropped]]
    return [id_header(tasks[0].id), *dropped_header(names)]


def _raise_error(batches: Sequence[Batch]) -> None:
    for _, entries in batches:
        if entries and isinstance(entries[-1][1], Error):
            raise entries[-1][1].error
