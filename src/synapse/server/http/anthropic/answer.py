"""A whole answer, as clients read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from synapse.domain.events import FinishReason
from synapse.domain.request import Text, Thinking, ToolCall
from synapse.domain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from synapse.domain.answer import Answer, Block
    from synapse.domain.events import Finish
    from synapse.domain.task import Task

_REASONS: Final[Mapping[FinishReason, str]] = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}


class OutputDetails(msgspec.Struct):
    """What the output consisted of."""

    thinking_tokens: int


class UsageData(msgspec.Struct):
    """What an answer took. All of the input is the sum of the three counts of it."""

    input_tokens: int
    """Neither read from the provider's cache nor written into it."""
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    """Thoughts included."""
    output_tokens_details: OutputDetails | UnsetType = UNSET
    cost: float | UnsetType = UNSET
    """US dollars; Synapse's own field, where the price is known."""


class Refusal(msgspec.Struct, tag_field="type", tag="refusal"):
    """Why there is no answer; providers do not say it in Anthropic's categories."""

    category: None = None
    explanation: None = None


class Ending(msgspec.Struct):
    """Why an answer ended."""

    stop_reason: str
    stop_sequence: str | None
    stop_details: Refusal | None


class TextData(msgspec.Struct, tag_field="type", tag="text"):
    """A piece of text."""

    text: str


class ThinkingData(msgspec.Struct, tag_field="type", tag="thinking"):
    """Thoughts. The signature is empty where their provider signs nothing."""

    thinking: str
    signature: str


class RedactedData(msgspec.Struct, tag_field="type", tag="redacted_thinking"):
    """Thoughts, sealed."""

    data: str


class ToolUseData(msgspec.Struct, tag_field="type", tag="tool_use"):
    """A tool call."""

    id: str
    name: str
    input: msgspec.Raw
    """An object."""
    signature: str | UnsetType = UNSET
    """Synapse's own: the proof some providers want back with the call."""


BlockData = TextData | ThinkingData | RedactedData | ToolUseData


class MessageData(msgspec.Struct):
    """An answer."""

    id: str
    model: str
    """The code of the model that answered: a fallback's where one did."""
    content: list[BlockData]
    stop_reason: str | None
    stop_sequence: str | None
    stop_details: Refusal | None
    usage: UsageData
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def message(task: Task, answer: Answer) -> MessageData:
    """Write an answer."""
    finish = answer.finish
    blocks = answer.blocks or ((Text(answer.text),) if answer.text else ())
    content = list(_content(task, blocks))
    end = ending(finish, called=any(isinstance(data, ToolUseData) for data in content))
    return MessageData(
        message_id(task),
        finish.fallen_to or task.request.model,
        content,
        end.stop_reason,
        end.stop_sequence,
        end.stop_details,
        usage_data(finish.usage),
    )


def _content(task: Task, blocks: Sequence[Block]) -> Iterator[BlockData]:
    calls = 0
    for block in blocks:
        match block:
            case Text(text):
                yield TextData(text)
            case ToolCall(id, name):
                yield ToolUseData(id or call_id(task, calls), name, _input(block.arguments), block.signature or UNSET)
                calls += 1
            case Thinking(redacted=str(redacted)):
                yield RedactedData(redacted)
            case Thinking(text, signature) if text or signature:
                yield ThinkingData(text, signature or "")
            case _:
                pass


def _input(arguments: str) -> msgspec.Raw:
    """Return a call's arguments, an object whatever the model wrote: a limit may have cut it short.

    What is none stands in one, by the name that Anthropic's documents give it there.
    """
    if not arguments.strip():
        return msgspec.Raw(b"{}")
    try:
        _decode_object(arguments)
    except (msgspec.MsgspecError, RecursionError):
        return msgspec.Raw(_encode({"INVALID_JSON": arguments}))
    return msgspec.Raw(arguments.encode())


def message_id(task: Task) -> str:
    """Return the id of the answer to a task."""
    return f"msg_{task.id.removeprefix('task_')}"


def call_id(task: Task, position: int) -> str:
    """Make an id for a call whose provider has given it none."""
    return f"toolu_{task.id.removeprefix('task_')}_{position}"


def ending(finish: Finish, *, called: bool) -> Ending:
    """Say why an answer ended. Clients go on with tools only where that is the reason, and not all providers say so."""
    if finish.reason is FinishReason.STOP and called:
        return Ending("tool_use", None, None)
    if finish.reason is FinishReason.STOP and finish.stop_sequence is not None:
        return Ending("stop_sequence", finish.stop_sequence, None)
    return Ending(_REASONS[finish.reason], None, Refusal() if finish.reason is FinishReason.CONTENT_FILTER else None)


def usage_data(usage: Usage) -> UsageData:
    """Say what an answer took."""
    return UsageData(
        max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        usage.cache_write_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        OutputDetails(usage.thinking_tokens) if usage.thinking_tokens else UNSET,
        UNSET if usage.cost is None else usage.cost,
    )
