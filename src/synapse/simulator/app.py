"""The simulator: an ASGI application that answers as providers do."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.clock import Clock, SystemClock
from synapse.simulator.decision import Mind
from synapse.simulator.delivery import AT_ONCE, Delivery
from synapse.simulator.dialects import anthropic, find, openai
from synapse.simulator.dialects.base import Count, Dialect, Generate, Models, Refusal, Reply, Request, Stream
from synapse.simulator.options import Options
from synapse.simulator.replay.library import Library
from synapse.simulator.replay.recordings import takes_forms
from synapse.simulator.server import listen
from synapse.simulator.stats import Counter, Stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

    from synapse.simulator.connection import Connection
    from synapse.simulator.decision import Decision

_JSON = [(b"content-type", b"application/json")]


class Simulator:
    """Answers as Gemini, OpenAI, OpenRouter and Anthropic do, without a model behind it."""

    def __init__(self, options: Options | None = None, *, clock: Clock | None = None) -> None:
        """Take how to answer. Raises `ValueError` where a directory to replay holds what is no recording."""
        self._options = options if options is not None else Options()
        self._clock = clock if clock is not None else SystemClock()
        replay = self._options.replay
        self._library = None if replay is None else Library.load(replay, self._options.seed)
        self._mind = Mind(self._options, self._library, self._clock.now())
        self._counter = Counter()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Listen in the running event loop while the block lasts; yield the URL. Raises `OSError` for a taken port."""
        async with listen(self, self._options.host, self._options.port) as url:
            yield url

    def stats(self) -> Stats:
        """Return what has been seen."""
        accounts = self._mind.accounts
        return self._counter.stats(accounts.stats(), accounts.started_at)

    def reset(self) -> None:
        """Begin anew: counts, quotas and all that is random. What is being answered goes on."""
        self._counter.reset()
        self._mind = Mind(self._options, self._library, self._clock.now())

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = await _read(receive)
        if body is None:
            return
        connection: Connection = scope["state"]["connection"]
        request = Request(scope["method"], scope["path"], scope["query_string"], scope["headers"])
        dialect, target = find(request) or (openai, None)
        if self._library is not None and target is not None and not takes_forms(dialect, target):
            target = None
        if isinstance(target, Generate):
            decision = self._mind.decide(dialect, target, request, body, self._clock.now())
            await self._deliver(decision, connection, send)
        else:
            answer = self._answer_other(dialect, target, request, body)
            await self._send(answer, Delivery(AT_ONCE, connection, self._clock, send))

    async def _deliver(self, decision: Decision, connection: Connection, send: ASGISendCallable) -> None:
        tallies = self._counter.tallies(decision.key, decision.model)
        if decision.fault is not None:
            self._counter.fault(decision.fault)
        for tally in tallies:
            tally.enter(rate_limited=decision.rate_limited, over_quota=decision.over_quota)
        stayed = False
        try:
            delivery = Delivery(decision.plan, connection, self._clock, send)
            stayed = await self._send(decision.answer, delivery, decision.tokens)
        finally:
            for tally in tallies:
                tally.leave(disconnected=not stayed)
            if decision.account is not None:
                decision.account.leave()

    async def _send(self, answer: Reply | Stream, delivery: Delivery, tokens: int = 1) -> bool:
        if isinstance(answer, Reply):
            return await delivery.reply(answer, tokens)
        return await delivery.stream(answer)

    def _answer_other(
        self, dialect: Dialect, target: Models | Count | None, request: Request, body: bytes
    ) -> Reply | Stream:
        if request.path == "/_simulator/stats" and request.method == "GET":
            return Reply(200, msgspec.json.encode(self.stats()), _JSON)
        if request.path == "/_simulator/reset" and request.method == "POST":
            self.reset()
            return Reply(200, b"{}", _JSON)
        if isinstance(target, Count):
            return self._answer_count(dialect, target, request, body)
        if target is not None:
            return self._answer_models(dialect, target, request)
        recorded = self._library.exact(request, body) if self._library is not None else None
        return recorded or openai.error(404, f"Invalid URL ({request.method} {request.path})")

    def _answer_count(self, dialect: Dialect, target: Count, request: Request, body: bytes) -> Reply:
        try:
            self._mind.check_key(dialect, request, target)
            return anthropic.count_tokens(request, body)
        except Refusal as refusal:
            return refusal.reply

    def _answer_models(self, dialect: Dialect, target: Models, request: Request) -> Reply:
        recorded = self._library.models(dialect.NAME) if self._library is not None else None
        try:
            if dialect.MODELS_NEED_KEY:
                self._mind.check_key(dialect, request, target)
            return dialect.models(request, target, recorded)
        except Refusal as refusal:
            return refusal.reply


async def _read(receive: ASGIReceiveCallable) -> bytes | None:
    """Return the whole body, or None where the caller has gone before its end."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body
