"""`POST /v1/embeddings`."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from synapse.domain.answer import Answer, Collector
from synapse.domain.errors import InvalidRequest, ProviderFailed, SynapseError
from synapse.domain.request import Embedding, Request
from synapse.server.http.asgi import CallerWatch, respond
from synapse.server.http.intake import dropped_header
from synapse.server.http.native import PROMPTLY
from synapse.server.http.openai.errors import fail, id_header
from synapse.server.http.openai.terms import Wishes, read_terms

if TYPE_CHECKING:
    from synapse.brokers.base import Subscription
    from synapse.domain.task import Task
    from synapse.domain.usage import Usage
    from synapse.server.http.asgi import Receive, Scope, Send
    from synapse.server.http.intake import Intake

_MOST_INPUTS = 2048
_SILENCE: Final = 60.0
"""Seconds between two looks at a log in which nothing stands yet; nothing depends on them."""


class EmbeddingsBody(Wishes, kw_only=True, gc=False):
    """The body of a request. Fields that are not here are ignored."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    safety_identifier: str | None = None


class Vector(msgspec.Struct, kw_only=True, gc=False):
    """One vector."""

    object: str = "embedding"
    index: int
    embedding: str | tuple[float, ...]


class VectorUsage(msgspec.Struct, gc=False):
    """Tokens."""

    prompt_tokens: int
    total_tokens: int
    cost: float | msgspec.UnsetType = msgspec.UNSET
    """US dollars; Synapse's own field, where the price is known."""


class EmbeddingsAnswer(msgspec.Struct, kw_only=True, gc=False):
    """The answer."""

    object: str = "list"
    data: list[Vector]
    model: str
    """The code of the model that answered."""
    usage: VectorUsage


_decode = msgspec.json.Decoder(EmbeddingsBody).decode
_encode = msgspec.json.Encoder().encode


class EmbeddingsApi:
    """The route."""

    def __init__(self, intake: Intake) -> None:
        """Take the way to the service."""
        self._intake = intake

    async def create(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /v1/embeddings`. Raises `SynapseError` as long as there is no task."""
        caller = self._intake.caller(scope)
        body = await self._intake.read(scope, receive, _decode)
        task = await self._intake.submit(_request(body), read_terms(caller, body, scope))
        try:
            async with self._intake.service.follow(task) as log:
                answer = await self._collect(task, log, receive)
            data = _encode(_answer(task, answer, base64=body.encoding_format == "base64"))
        except SynapseError as error:
            await fail(error, send, task.id)
            return
        await respond(send, 200, data, [id_header(task.id), *dropped_header(task.dropped)])

    async def _collect(self, task: Task, log: Subscription, receive: Receive) -> Answer:
        collector = Collector()
        answer = collector.add_all(await log.next(PROMPTLY))
        if answer is None:
            async with CallerWatch(receive, lambda: self._intake.service.cancel(task.id)):
                while answer is None:
                    answer = collector.add_all(await log.next(_SILENCE))
        return answer


def _request(body: EmbeddingsBody) -> Request:
    embedding = Embedding(_texts(body.input), body.dimensions)
    return Request(body.model, (), embedding=embedding, safety_user=body.safety_identifier or body.user)


def _texts(given: str | list[str | int | list[int]]) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else tuple([_text(each, index) for index, each in enumerate(given)])
    if not 1 <= len(texts) <= _MOST_INPUTS:
        raise InvalidRequest(f"input: got {len(texts)} texts, expected 1 to {_MOST_INPUTS}", field="input")
    if "" in texts:
        field = "input" if isinstance(given, str) else f"input[{texts.index('')}]"
        raise InvalidRequest(f"{field}: it is empty; leave it out, or send a text", field=field)
    return texts


def _text(given: str | int | list[int], index: int) -> str:
    if isinstance(given, str):
        return given
    field = f"input[{index}]"
    raise InvalidRequest(
        f"{field}: these are token ids, which mean something to one model only; send text "
        "(with langchain-openai: check_embedding_ctx_length=False)",
        field=field,
    )


def _answer(task: Task, answer: Answer, *, base64: bool) -> EmbeddingsAnswer:
    """Put the vectors together. Raises `InvalidRequest` or `ProviderFailed` where there is not one for each text."""
    model = answer.finish.fallen_to or task.request.model
    asked = len(task.request.embedding.inputs) if task.request.embedding is not None else 0
    if not answer.vectors:
        raise InvalidRequest(f"model: {model} makes no embeddings; ask one that does", field="model")
    if len(answer.vectors) != asked:
        raise ProviderFailed(f"{model} answered {asked} texts with {len(answer.vectors)} vectors: ask again")
    vectors = [
        Vector(index=index, embedding=packed(vector) if base64 else vector)
        for index, vector in enumerate(answer.vectors)
    ]
    return EmbeddingsAnswer(data=vectors, model=model, usage=_usage(answer.finish.usage))


def _usage(usage: Usage) -> VectorUsage:
    cost = msgspec.UNSET if usage.cost is None else usage.cost
    return VectorUsage(usage.input_tokens, usage.total_tokens or usage.input_tokens, cost)


def packed(vector: tuple[float, ...]) -> str:
    """Write a vector as its clients unpack it: 32-bit floats, the least byte first, in base64."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return b64encode(floats.tobytes()).decode("ascii")
