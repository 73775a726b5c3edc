"""A whole answer as clients read it: every key is there, for the official client checks none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from synapse.domain.caller import Band
from synapse.domain.request import Thinking
from synapse.server.http.openai.parts import Call, Called, Detail, call_id, completion_id, detail, extra
from synapse.server.http.openai.usage import CompletionUsage, completion_usage, sum_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.domain.answer import Answer
    from synapse.domain.task import Task


class ChatMessage(msgspec.Struct, kw_only=True, gc=False):
    """What the model said."""

    role: str = "assistant"
    content: str | None
    """None where it only calls tools."""
    refusal: None = None
    annotations: tuple[()] = ()
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[Detail] | UnsetType = UNSET
    """Where a block of thoughts is signed or sealed; they are to be sent back with the message."""
    tool_calls: list[Call] | UnsetType = UNSET


class ChatLogprobs(msgspec.Struct, gc=False):
    """How probable each token was."""

    content: list[msgspec.Raw]
    refusal: None = None


class ChatChoice(msgspec.Struct, gc=False):
    """One of the answers."""

    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: str


class ChatCompletion(msgspec.Struct, kw_only=True, gc=False):
    """All answers."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    """The code of the model that answered: a fallback's where one did."""
    choices: list[ChatChoice]
    usage: CompletionUsage
    service_tier: str
    system_fingerprint: None = None


_encode = msgspec.json.Encoder().encode
_decode_tokens = msgspec.json.Decoder(list[msgspec.Raw]).decode


def encode_answers(tasks: Sequence[Task], answers: Sequence[Answer]) -> bytes:
    """Write the answers of tasks that belong together."""
    first = tasks[0]
    return _encode(
        ChatCompletion(
            id=completion_id(first.id),
            created=int(first.created_at),
            model=answers[0].finish.fallen_to or first.request.model,
            choices=[_choice(index, task, answers[index]) for index, task in enumerate(tasks)],
            usage=completion_usage(sum_up([answer.finish.usage for answer in answers])),
            service_tier=service_tier(first),
        )
    )


def service_tier(task: Task) -> str:
    """Return the tier in which a task was queued."""
    return "flex" if task.band is Band.BATCH else "default"


def _choice(index: int, task: Task, answer: Answer) -> ChatChoice:
    message = ChatMessage(content=answer.text) if not answer.blocks else _message(task, answer)
    logprobs = ChatLogprobs(_tokens(answer)) if answer.logprobs else None
    return ChatChoice(index, message, logprobs, answer.finish.reason)


def _message(task: Task, answer: Answer) -> ChatMessage:
    calls = [
        Call(
            Called(call.arguments, call.name),
            id=call.id or call_id(task.id, position),
            type="function",
            extra_content=extra(call.signature),
        )
        for position, call in enumerate(answer.calls)
    ]
    return ChatMessage(
        content=answer.text or (None if calls else ""),
        reasoning_content=answer.thoughts or UNSET,
        reasoning_details=_details(answer) or UNSET,
        tool_calls=calls or UNSET,
    )


def _details(answer: Answer) -> list[Detail]:
    """Return the blocks of thoughts, where one of them is more than its text."""
    blocks = [block for block in answer.blocks if isinstance(block, Thinking)]
    if all(block.signature is None and block.redacted is None for block in blocks):
        return []
    return [detail(block, index) for index, block in enumerate(blocks)]


def _tokens(answer: Answer) -> list[msgspec.Raw]:
    return [token for piece in answer.logprobs for token in _decode_tokens(piece)]
