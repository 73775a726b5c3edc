"""All routes: what each is for, takes and answers. The types are those that decode bodies and encode answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from synapse.domain import errors
from synapse.server.http import admin, native
from synapse.server.http.anthropic import answer as messages_answer
from synapse.server.http.anthropic import body as messages_body
from synapse.server.http.anthropic.messages import CountAnswer
from synapse.server.http.openai import chat_answer, chat_request, embeddings, models, responses_object
from synapse.server.http.openai import responses_request as responses

Method = Literal["get", "post"]


class Port(msgspec.Struct, frozen=True):
    """Whose clients a route is for. It decides how errors are written."""

    tag: str
    description: str
    request_id: str | None = None
    """The header with the request's id."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A route with one of its methods."""

    path: str
    method: Method = "get"
    port: Port
    summary: str
    description: str = ""
    takes: type[msgspec.Struct] | None = None
    gives: type[msgspec.Struct]
    streams: str = ""
    """What a stream looks like; empty where there is none."""
    example: Mapping[str, object] = {}
    """A body."""
    fails: tuple[type[errors.SynapseError], ...] = ()
    """With what it can fail, besides what every route can."""
    open: bool = False
    """Whether it needs no key where callers have keys."""
    task: bool = False
    """Whether it makes a task, which the headers about tasks apply to."""


class Health(msgspec.Struct):
    """What a probe is told."""

    status: Literal["ok", "ready"]


NATIVE: Final = Port("native", "Synapse's own API.", "x-synapse-task-id")
OPERATORS: Final = Port("operators", "For those who run the server.")
OPENAI: Final = Port("openai", "For OpenAI's clients: base URL `/v1`.", "x-request-id")
ANTHROPIC: Final = Port("anthropic", "For Anthropic's clients: base URL `/`.", "request-id")
PORTS: Final = (NATIVE, OPENAI, ANTHROPIC, OPERATORS)

_BODY = (errors.InvalidRequest, errors.PayloadTooLarge)
_TASK = (
    *_BODY,
    errors.ModelNotFound,
    errors.QueueFull,
    errors.WaitTooLong,
    errors.ProviderFailed,
    errors.NoCredentials,
    errors.ShuttingDown,
    errors.TimedOut,
    errors.Expired,
)
_SAYS_HELLO = {"model": "sim/echo", "messages": [{"role": "user", "content": "Hello"}]}

OPERATIONS: Final = (
    Operation(
        path="/generate",
        method="post",
        port=NATIVE,
        summary="Answer a prompt",
        takes=native.GenerateBody,
        gives=native.GenerateAnswer,
        streams='id: 1-1\ndata: {"text":"Hello"}\n\nid: 1-2\ndata: {"text":"","finish_reason":"stop",...}\n\n',
        example={"prompt": "Hello", "model_code": "sim/echo"},
        fails=_TASK,
        task=True,
    ),
    Operation(path="/models", port=NATIVE, summary="List the model codes", gives=native.ModelsAnswer),
    Operation(
        path="/v1/chat/completions",
        method="post",
        port=OPENAI,
        summary="Answer a conversation",
        description="Fields that are not listed are ignored. What the model's provider cannot honour is refused, or "
        "left out where `drop_unsupported` says so.",
        takes=chat_request.ChatBody,
        gives=chat_answer.ChatCompletion,
        streams='data: {"object":"chat.completion.chunk",...}\n\ndata: [DONE]\n\n',
        example=_SAYS_HELLO,
        fails=_TASK,
        task=True,
    ),
    Operation(
        path="/v1/responses",
        method="post",
        port=OPENAI,
        summary="Answer items of input",
        description="Answers are not kept: `input` carries the whole conversation.",
        takes=responses.ResponsesBody,
        gives=responses_object.ResponseObject,
        streams='event: response.created\ndata: {"type":"response.created","sequence_number":0,...}\n\n',
        example={"model": "sim/echo", "input": "Hello"},
        fails=_TASK,
        task=True,
    ),
    Operation(
        path="/v1/embeddings",
        method="post",
        port=OPENAI,
        summary="Make vectors of texts",
        takes=embeddings.EmbeddingsBody,
        gives=embeddings.EmbeddingsAnswer,
        example={"model": "an-embedding-model", "input": ["Hello"]},
        fails=_TASK,
        task=True,
    ),
    Operation(path="/v1/models", port=OPENAI, summary="List the models", gives=models.ModelList),
    Operation(
        path="/v1/models/{id}",
        port=OPENAI,
        summary="Tell of one model",
        description="The slashes of an id may be written as `%2F` or stand as they are.",
        gives=models.Model,
        fails=(errors.ModelNotFound,),
    ),
    Operation(
        path="/v1/messages",
        method="post",
        port=ANTHROPIC,
        summary="Answer a conversation",
        description="Fields that are not listed are ignored. What the model's provider cannot honour is refused, or "
        "left out where `drop_unsupported` says so.",
        takes=messages_body.MessagesBody,
        gives=messages_answer.MessageData,
        streams='event: message_start\ndata: {"type":"message_start",...}\n\n',
        example={**_SAYS_HELLO, "max_tokens": 100},
        fails=_TASK,
        task=True,
    ),
    Operation(
        path="/v1/messages/count_tokens",
        method="post",
        port=ANTHROPIC,
        summary="Estimate the tokens of a conversation",
        description="The estimate that tasks are scheduled by; no provider is asked.",
        takes=messages_body.CountBody,
        gives=CountAnswer,
        example=_SAYS_HELLO,
        fails=(*_BODY, errors.ModelNotFound),
    ),
    Operation(
        path="/admin/keys",
        port=OPERATORS,
        summary="Tell how the providers' keys stand",
        gives=admin.KeysAnswer,
    ),
    Operation(
        path="/admin/callers",
        port=OPERATORS,
        summary="Tell what each caller has used since the start",
        gives=admin.CallersAnswer,
    ),
    Operation(path="/healthz", port=OPERATORS, summary="Say that the process lives", gives=Health, open=True),
    Operation(
        path="/readyz",
        port=OPERATORS,
        summary="Say whether new tasks are taken",
        gives=Health,
        fails=(errors.ShuttingDown,),
        open=True,
    ),
)
"""In the order in which they are read."""
