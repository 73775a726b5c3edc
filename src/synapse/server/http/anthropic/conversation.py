"""From a client's conversation to messages of the domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Message, Role, Text, Thinking, ToolCall, ToolResult
from synapse.server.http.anthropic.blocks import (
    AssistantTurn,
    DocumentBlock,
    ImageBlock,
    RedactedBlock,
    SystemTurn,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserTurn,
    cache_of,
)
from synapse.server.http.anthropic.media import document, image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from synapse.domain.request import Image, ImageUrl, Part
    from synapse.server.http.anthropic.blocks import Turn

_LONGEST_SHOWN = 80
_ROLES: Final = {UserTurn: Role.USER, AssistantTurn: Role.ASSISTANT, SystemTurn: Role.SYSTEM}


def messages(system: str | list[TextBlock] | None, turns: Sequence[Turn]) -> tuple[Message, ...]:
    """Read a conversation. Raises `InvalidRequest` with the place of what is wrong."""
    said = list(_Reader().read(turns))
    if all(message.role is Role.SYSTEM for message in said):
        raise _wrong("messages", "they are empty; there is nothing to answer")
    instructions = tuple([part for part in _texts(system or "") if part.text])
    return (Message(Role.SYSTEM, instructions), *said) if instructions else tuple(said)


class _Reader:
    """Reads turn after turn, and minds which calls are open.

    Turns of one side that follow each other are one message, as Anthropic takes them. What tools gave back comes first
    in its message: no provider goes on otherwise.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        """The tool of each call."""
        self._open: dict[str, str] = {}
        """Where each call stands that has no result yet, by its id."""
        self._role: Role | None = None
        self._parts: list[Part] = []

    def read(self, turns: Sequence[Turn]) -> Iterator[Message]:
        for index, turn in enumerate(turns):
            role = _ROLES[type(turn)]
            if role is not self._role:
                yield from self._end()
                if role is Role.ASSISTANT:
                    self._close()
                self._role = role
            self._parts += self._said(turn, f"messages[{index}]")
        yield from self._end()
        self._close()

    def _end(self) -> Iterator[Message]:
        """End a message; there is none where nothing was said."""
        parts, self._parts = self._parts, []
        if self._role is None or not parts:
            return
        if self._role is Role.USER:
            parts.sort(key=lambda part: not isinstance(part, ToolResult))
        yield Message(self._role, tuple(parts))

    def _close(self) -> None:
        if self._open:
            call, field = next(iter(self._open.items()))
            raise _wrong(
                field, f"a tool_result with tool_use_id {call[:_LONGEST_SHOWN]!r} must follow in the next message"
            )

    def _said(self, turn: Turn, field: str) -> Iterator[Part]:
        if isinstance(turn, SystemTurn):
            return iter(_texts(turn.content))
        if not turn.content and isinstance(turn, UserTurn):
            raise _wrong(f"{field}.content", "it is empty; there is nothing to answer")
        if isinstance(turn.content, str):
            return iter((Text(turn.content),)) if turn.content else iter(())
        return self._of_assistant(turn, field) if isinstance(turn, AssistantTurn) else self._of_user(turn, field)

    def _of_user(self, turn: UserTurn, field: str) -> Iterator[Part]:
        for index, block in enumerate(turn.content):
            place = f"{field}.content[{index}]"
            match block:
                case TextBlock():
                    yield _text(block)
                case ImageBlock():
                    yield image(block, place)
                case DocumentBlock():
                    yield from document(block, place)
                case ToolResultBlock():
                    yield self._result(block, place)

    def _of_assistant(self, turn: AssistantTurn, field: str) -> Iterator[Part]:
        for index, block in enumerate(turn.content):
            match block:
                case TextBlock():
                    yield _text(block)
                case ThinkingBlock(thinking, signature):
                    yield Thinking(thinking, signature or None)
                case RedactedBlock(data):
                    yield Thinking("", redacted=data)
                case ToolUseBlock():
                    yield self._call(block, f"{field}.content[{index}]")

    def _call(self, block: ToolUseBlock, field: str) -> ToolCall:
        arguments = bytes(block.input)
        if arguments[:1] != b"{":
            raise _wrong(f"{field}.input", "expected an object")
        self._names[block.id] = block.name
        self._open[block.id] = field
        return ToolCall(block.id, block.name, arguments.decode(), block.signature)

    def _result(self, block: ToolResultBlock, field: str) -> ToolResult:
        call = block.tool_use_id
        if self._open.pop(call, None) is None:
            message = f"no tool_use that waits for a result has the id {call[:_LONGEST_SHOWN]!r}"
            raise _wrong(f"{field}.tool_use_id", message)
        content: list[Text | Image | ImageUrl] = []
        if isinstance(block.content, str):
            content.append(Text(block.content))
        else:
            for index, inner in enumerate(block.content or ()):
                place = f"{field}.content[{index}]"
                content.append(_text(inner) if isinstance(inner, TextBlock) else image(inner, place))
        return ToolResult(
            call, tuple(content), self._names[call], is_error=bool(block.is_error), cache=cache_of(block.cache_control)
        )


def _text(block: TextBlock) -> Text:
    return Text(block.text, cache_of(block.cache_control))


def _texts(content: str | list[TextBlock]) -> tuple[Text, ...]:
    return (Text(content),) if isinstance(content, str) else tuple([_text(block) for block in content])


def _wrong(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {what}", field=field)
