"""From a client's conversation to messages of the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Message, Role, Text, Thinking, ToolCall, ToolResult
from synapse.server.http.openai.media import AudioPart, ImagePart, audio, cache_of, document, image
from synapse.server.http.openai.turns import (
    AssistantTurn,
    CallPart,
    FunctionTurn,
    RefusalPart,
    SystemTurn,
    TextPart,
    ToolTurn,
    UserTurn,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from synapse.domain.request import Image, ImageUrl, Part
    from synapse.server.http.openai.turns import ReasoningDetail, Turn

_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def messages(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Read a conversation. Raises `InvalidRequest` that names the place."""
    if not turns:
        raise InvalidRequest("messages: there are none; there is nothing to answer", field="messages")
    return Conversation().read(turns)


class Conversation:
    """Reads turn by turn, and knows which calls wait for their results."""

    __slots__ = ("_messages", "_names", "_open", "_results")

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._messages: list[Message] = []
        self._names: dict[str, str] = {}
        """What each call so far was of."""
        self._open: dict[str, str] = {}
        """Calls without a result, with the place where they stand."""
        self._results: list[Part] = []
        """Results that stand one after the other: they are said in one message."""

    def read(self, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """Read all turns."""
        for index, turn in enumerate(turns):
            if type(turn) is UserTurn and type(turn.content) is str and not self._results and not self._open:
                self._messages.append(Message(Role.USER, (Text(turn.content),), turn.name))
            else:
                self._add(turn, f"messages[{index}]")
        self._close()
        return tuple(self._messages)

    def _add(self, turn: Turn, field: str) -> None:
        match turn:
            case ToolTurn():
                self._results.append(self._result(turn, field))
            case FunctionTurn():
                self._results.append(self._function_result(turn, field))
            case AssistantTurn():
                self._close()
                parts = tuple(self._said(turn, field))
                if not parts:
                    raise _wrong(f"{field}.content", "it is missing, and there are no tool_calls")
                self._messages.append(Message(Role.ASSISTANT, parts, turn.name))
            case UserTurn():
                self._close()
                self._messages.append(Message(Role.USER, _user_parts(turn, field), turn.name))
            case SystemTurn():
                self._close()
                self._messages.append(Message(Role.SYSTEM, _texts(turn.content), turn.name))

    def _close(self) -> None:
        """End a row of results. All calls before it must be answered: no provider goes on otherwise."""
        if self._results:
            self._messages.append(Message(Role.USER, tuple(self._results)))
            self._results = []
        if self._open:
            call, field = next(iter(self._open.items()))
            raise _wrong(field, f"a message of role tool with tool_call_id {call[:80]!r} must follow, and none does")

    def _result(self, turn: ToolTurn, field: str) -> ToolResult:
        name = self._names.get(turn.tool_call_id)
        if name is None:
            raise _wrong(f"{field}.tool_call_id", f"no call before it has the id {turn.tool_call_id[:80]!r}")
        self._open.pop(turn.tool_call_id, None)
        if isinstance(turn.content, str):
            content: tuple[Text | Image | ImageUrl, ...] = (Text(turn.content),)
        else:
            content = tuple([_text_or_image(part, f"{field}.content[{i}]") for i, part in enumerate(turn.content)])
        return ToolResult(turn.tool_call_id, content, name)

    def _function_result(self, turn: FunctionTurn, field: str) -> ToolResult:
        """Answer the call of a function. It had no id; the last open one of its name is meant."""
        calls = [call for call in self._open if self._names[call] == turn.name]
        if not calls:
            raise _wrong(f"{field}.name", f"no function_call before it is of {turn.name[:80]!r}")
        del self._open[calls[-1]]
        return ToolResult(calls[-1], (Text(turn.content or ""),), turn.name)

    def _said(self, turn: AssistantTurn, field: str) -> Iterator[Part]:
        yield from _thoughts(turn)
        if isinstance(turn.content, str):
            if turn.content:
                yield Text(turn.content)
        else:
            yield from (_spoken(part) for part in turn.content or ())
        if turn.refusal:
            yield Text(turn.refusal)
        for index, call in enumerate(turn.tool_calls or ()):
            place = f"{field}.tool_calls[{index}]"
            yield self._call(call, place, f"{place}.function")
        if turn.function_call is not None:
            call = CallPart(f"call_{len(self._messages)}", turn.function_call)
            yield self._call(call, f"{field}.function_call", f"{field}.function_call")

    def _call(self, call: CallPart, field: str, function_field: str) -> ToolCall:
        self._names[call.id] = call.function.name
        self._open[call.id] = field
        extra = call.extra_content.google if call.extra_content is not None else None
        signature = extra.thought_signature if extra is not None else None
        return ToolCall(call.id, call.function.name, call_arguments(call.function.arguments, function_field), signature)


def call_arguments(text: str, field: str) -> str:
    """Return a call's arguments, which are an object for every wire; none at all are an empty one."""
    if not text.strip():
        return "{}"
    try:
        _decode_object(text)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise _wrong(f"{field}.arguments", "expected a JSON object, as text") from exc
    return text


def _thoughts(turn: AssistantTurn) -> Iterator[Thinking]:
    if turn.reasoning_details:
        yield from (thinking for detail in turn.reasoning_details if (thinking := _thinking(detail)) is not None)
        return
    text = turn.reasoning_content or turn.reasoning
    if text:
        yield Thinking(text)


def _thinking(detail: ReasoningDetail) -> Thinking | None:
    if detail.data is not None:
        return Thinking("", redacted=detail.data)
    text = detail.text if detail.text is not None else detail.summary
    return Thinking(text or "", detail.signature) if text or detail.signature else None


def _spoken(part: TextPart | RefusalPart) -> Text:
    return Text(part.refusal) if isinstance(part, RefusalPart) else _text(part)


def _text(part: TextPart) -> Text:
    return Text(part.text, cache_of(part.cache_control))


def _texts(content: str | list[TextPart]) -> tuple[Text, ...]:
    return (Text(content),) if isinstance(content, str) else tuple([_text(part) for part in content])


def _user_parts(turn: UserTurn, field: str) -> tuple[Part, ...]:
    if isinstance(turn.content, str):
        return (Text(turn.content),)
    if not turn.content:
        raise _wrong(f"{field}.content", "it is empty; there is nothing to answer")
    parts: list[Part] = []
    for index, part in enumerate(turn.content):
        place = f"{field}.content[{index}]"
        if isinstance(part, TextPart | ImagePart):
            parts.append(_text_or_image(part, place))
        else:
            parts.append(audio(part, place) if isinstance(part, AudioPart) else document(part, place))
    return tuple(parts)


def _text_or_image(part: TextPart | ImagePart, field: str) -> Text | Image | ImageUrl:
    return _text(part) if isinstance(part, TextPart) else image(part, field)


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
