"""The items of an answer as clients of the Responses API read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from synapse.domain.request import Text, Thinking, ToolCall
from synapse.server.http.openai.parts import Extra, call_id, extra

if TYPE_CHECKING:
    from synapse.domain.answer import Answer, Block


class TextPart(msgspec.Struct):
    """A text of a message."""

    text: str
    logprobs: Sequence[msgspec.Raw] = ()
    annotations: tuple[()] = ()
    type: str = "output_text"


class MessageItem(msgspec.Struct, tag_field="type", tag="message"):
    """What the model said."""

    id: str
    status: str
    content: tuple[TextPart, ...] = ()
    role: str = "assistant"


class CallItem(msgspec.Struct, tag_field="type", tag="function_call"):
    """A tool call."""

    id: str
    status: str
    call_id: str
    """What joins it to its result."""
    name: str
    arguments: str = ""
    extra_content: Extra | UnsetType = UNSET
    """What is to be sent back with it."""


class SummaryPart(msgspec.Struct):
    """Thoughts."""

    text: str
    type: str = "summary_text"


class ReasoningItem(msgspec.Struct, tag_field="type", tag="reasoning"):
    """What the model thought, to be sent back as it is.

    Thoughts that are signed have a summary, which can be empty; those that are sealed have none.
    """

    id: str
    summary: tuple[SummaryPart, ...] = ()
    encrypted_content: str | None = None
    content: tuple[()] = ()


Item = MessageItem | CallItem | ReasoningItem

_decode_tokens = msgspec.json.Decoder(list[msgspec.Raw]).decode


def item_id(prefix: str, task_id: str, index: int) -> str:
    """Make the id of an item: it is the same each time, and no other item has it."""
    return f"{prefix}_{task_id.removeprefix('task_')}_{index}"


def item_status(*, complete: bool) -> str:
    """Say whether an item is whole."""
    return "completed" if complete else "incomplete"


def tokens(logprobs: Sequence[msgspec.Raw]) -> list[msgspec.Raw]:
    """Join arrays of how probable tokens were."""
    return [token for piece in logprobs for token in _decode_tokens(piece)]


def message_item(
    task_id: str, index: int, text: str, logprobs: Sequence[msgspec.Raw] = (), *, complete: bool = True
) -> MessageItem:
    """Write a text that has ended."""
    part = TextPart(text, tokens(logprobs))
    return MessageItem(item_id("msg", task_id, index), item_status(complete=complete), (part,))


def call_item(task_id: str, index: int, position: int, call: ToolCall, *, complete: bool = True) -> CallItem:
    """Write a call that has ended; `position` is its place among the calls."""
    return CallItem(
        item_id("fc", task_id, index),
        item_status(complete=complete),
        call.id or call_id(task_id, position),
        call.name,
        call.arguments,
        extra(call.signature),
    )


def reasoning_item(task_id: str, index: int, thinking: Thinking) -> ReasoningItem:
    """Write a block of thoughts."""
    name = item_id("rs", task_id, index)
    if thinking.redacted is not None:
        return ReasoningItem(name, (), thinking.redacted)
    return ReasoningItem(name, (SummaryPart(thinking.text),), thinking.signature)


def output_items(task_id: str, answer: Answer, *, complete: bool) -> list[Item]:
    """Write a whole answer. One of nothing is an empty message; of one that is not complete the last item is not."""
    blocks: Sequence[Block] = answer.blocks or (Text(answer.text),)
    items: list[Item] = []
    calls = 0
    logprobs = answer.logprobs
    for index, block in enumerate(blocks):
        whole = complete or index < len(blocks) - 1
        match block:
            case Text(text):
                items.append(message_item(task_id, index, text, logprobs, complete=whole))
                logprobs = ()
            case ToolCall():
                items.append(call_item(task_id, index, calls, block, complete=whole))
                calls += 1
            case Thinking():
                items.append(reasoning_item(task_id, index, block))
    return items
