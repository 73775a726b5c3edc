"""The items of a streamed response that have begun and not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.server.http.openai.parts import call_id, extra
from synapse.server.http.openai.responses_events import (
    ARGUMENTS_DELTA,
    NO_LOGPROBS,
    SUMMARY_DELTA,
    TEXT_DELTA,
    ArgumentsDone,
    ItemAdded,
    ItemDone,
    PartAdded,
    PartDone,
    SummaryAdded,
    SummaryDone,
    SummaryTextDone,
    TextDone,
    delta_head,
    one_line,
)
from synapse.server.http.openai.responses_output import (
    CallItem,
    MessageItem,
    ReasoningItem,
    SummaryPart,
    TextPart,
    item_id,
    item_status,
    message_item,
)

if TYPE_CHECKING:
    import msgspec

    from synapse.domain.events import CallDelta, Thought
    from synapse.server.http.openai.responses_events import EventWriter

_GOES_ON = "in_progress"


class OpenMessage:
    """A text."""

    __slots__ = ("_head", "_id", "_index", "_logprobs", "_task_id", "_texts", "_writer")

    def __init__(self, writer: EventWriter, task_id: str, index: int) -> None:
        """Write that it begins, as the item of that index."""
        self._writer, self._task_id, self._index = writer, task_id, index
        self._id = item_id("msg", task_id, index)
        self._head = delta_head(TEXT_DELTA, self._id, index)
        self._texts: list[str] = []
        self._logprobs: list[msgspec.Raw] = []
        writer.write(ItemAdded(output_index=index, item=MessageItem(self._id, _GOES_ON)))
        writer.write(PartAdded(item_id=self._id, output_index=index, part=TextPart("")))

    def add(self, text: str) -> None:
        """Write its next piece."""
        if text:
            self._texts.append(text)
            self._writer.write_delta(self._head, text, NO_LOGPROBS)

    def add_logprobs(self, content: msgspec.Raw) -> None:
        """Write how probable the last piece was: into its event, where that is at hand."""
        self._logprobs.append(content)
        more = b',"logprobs":%b' % one_line(bytes(content))
        if not self._writer.add_to_delta(self._head, NO_LOGPROBS, more):
            self._writer.write_delta(self._head, "", more)

    def item(self, *, complete: bool) -> MessageItem:
        """Return it as far as it is."""
        return message_item(self._task_id, self._index, "".join(self._texts), self._logprobs, complete=complete)

    def end(self, *, complete: bool) -> MessageItem:
        """Write that it has ended."""
        item = self.item(complete=complete)
        (part,) = item.content
        self._writer.write(TextDone(item_id=self._id, output_index=self._index, text=part.text, logprobs=part.logprobs))
        self._writer.write(PartDone(item_id=self._id, output_index=self._index, part=part))
        self._writer.write(ItemDone(output_index=self._index, item=item))
        return item


class OpenCall:
    """A tool call."""

    __slots__ = ("_arguments", "_call_id", "_head", "_id", "_index", "_name", "_signature", "_writer", "position")

    def __init__(self, writer: EventWriter, task_id: str, index: int, number: int, first: CallDelta) -> None:
        """Write that it begins, as the item of that index and the call of that number."""
        self._writer, self._index = writer, index
        self._id = item_id("fc", task_id, index)
        self._head = delta_head(ARGUMENTS_DELTA, self._id, index)
        self._call_id, self._name = first.id or call_id(task_id, number), first.name or ""
        self._signature = first.signature
        self._arguments: list[str] = []
        self.position = first.position
        """Its place among the calls, as the log has it."""
        item = CallItem(self._id, _GOES_ON, self._call_id, self._name, extra_content=extra(self._signature))
        writer.write(ItemAdded(output_index=index, item=item))

    def add(self, delta: CallDelta) -> None:
        """Write the next piece of its arguments."""
        self._signature = delta.signature or self._signature
        if delta.arguments:
            self._arguments.append(delta.arguments)
            self._writer.write_delta(self._head, delta.arguments)

    def item(self, *, complete: bool) -> CallItem:
        """Return it as far as it is."""
        return CallItem(
            self._id,
            item_status(complete=complete),
            self._call_id,
            self._name,
            "".join(self._arguments),
            extra(self._signature),
        )

    def end(self, *, complete: bool) -> CallItem:
        """Write that it has ended."""
        item = self.item(complete=complete)
        self._writer.write(ArgumentsDone(item_id=self._id, output_index=self._index, arguments=item.arguments))
        self._writer.write(ItemDone(output_index=self._index, item=item))
        return item


class OpenThoughts:
    """Thoughts."""

    __slots__ = ("_head", "_id", "_index", "_signature", "_texts", "_writer")

    def __init__(self, writer: EventWriter, task_id: str, index: int) -> None:
        """Write that they begin, as the item of that index."""
        self._writer, self._index = writer, index
        self._id = item_id("rs", task_id, index)
        self._head = delta_head(SUMMARY_DELTA, self._id, index)
        self._texts: list[str] = []
        self._signature: str | None = None
        writer.write(ItemAdded(output_index=index, item=ReasoningItem(self._id)))
        writer.write(SummaryAdded(item_id=self._id, output_index=index, part=SummaryPart("")))

    def add(self, thought: Thought) -> None:
        """Write their next piece."""
        self._signature = thought.signature
        if thought.text:
            self._texts.append(thought.text)
            self._writer.write_delta(self._head, thought.text)

    def item(self, *, complete: bool) -> ReasoningItem:
        """Return them as far as they are; they have no status."""
        del complete
        return ReasoningItem(self._id, (SummaryPart("".join(self._texts)),), self._signature)

    def end(self, *, complete: bool) -> ReasoningItem:
        """Write that they have ended."""
        item = self.item(complete=complete)
        (part,) = item.summary
        self._writer.write(SummaryTextDone(item_id=self._id, output_index=self._index, text=part.text))
        self._writer.write(SummaryDone(item_id=self._id, output_index=self._index, part=part))
        self._writer.write(ItemDone(output_index=self._index, item=item))
        return item


def write_whole(writer: EventWriter, index: int, item: ReasoningItem) -> None:
    """Write an item that begins and ends at once."""
    writer.write(ItemAdded(output_index=index, item=item))
    writer.write(ItemDone(output_index=index, item=item))
