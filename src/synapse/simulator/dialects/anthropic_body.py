"""The request of Anthropic's messages, and what is wrong with one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from synapse.simulator.calls import ToolCall, read_calls
from synapse.simulator.dialects.base import Ask, Form
from synapse.simulator.instance import instance_of
from synapse.simulator.pictures import describe, seen

_LEAST_BUDGET = 1024
_SAMPLING = ("temperature", "top_p", "top_k")
WITHOUT_SAMPLING = "2026-10-21"
"""The version of the API from which on sampling cannot be asked for."""


class Source(msgspec.Struct):
    """Where a picture is, or the picture itself."""

    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""

    @property
    def sight(self) -> str:
        """What there is to see. Raises `ValueError` where it is no base64."""
        return describe(self.media_type, self.data) if self.type == "base64" else self.url


class Block(msgspec.Struct):
    """A piece of a message, of which only that is named here that the simulator minds."""

    type: str
    text: str | None = None
    content: str | list[Block] | None = None
    """Of the result of a tool."""
    source: Source | None = None
    """Of a picture or a document."""
    id: str = ""
    """Of a call."""
    tool_use_id: str = ""
    """Of the call whose result it is."""


class Message(msgspec.Struct):
    """A message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """Its content; a mere text is a block of text."""
        return [Block("text", self.content)] if isinstance(self.content, str) else self.content


class Thinking(msgspec.Struct):
    """Whether to think, and how long."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None


class Format(msgspec.Struct):
    """The form of the answer's text."""

    type: str
    schema: dict[str, object] = {}


class OutputConfig(msgspec.Struct):
    """What the answer is to be like."""

    format: Format | None = None


class Tool(msgspec.Struct):
    """A tool; those of the provider's own have a type of their own."""

    name: str
    type: str | None = None


class Choice(msgspec.Struct):
    """Which tools are to be called."""

    type: Literal["auto", "any", "tool", "none"]
    disable_parallel_tool_use: bool = False


class CountBody(msgspec.Struct):
    """A request to count the tokens of another."""

    model: str
    messages: list[Message]
    system: str | list[Block] | None = None


class Body(CountBody, kw_only=True):
    """A request. Any other field is let pass."""

    max_tokens: Annotated[int, msgspec.Meta(ge=0)]
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    tools: list[Tool] | None = None
    tool_choice: Choice | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


decode = msgspec.json.Decoder(Body).decode
decode_count = msgspec.json.Decoder(CountBody).decode


def explain(error: str) -> str:
    """Turn what the decoder says into what the API does: `messages.0.role: Field required`."""
    reason, _, path = error.partition(" - at `$")
    steps = path.rstrip("`").replace("[", ".").replace("]", "").strip(".")
    if "missing required field" in reason:
        name = reason.split("`")[1]
        return f"{steps}.{name}: Field required" if steps else f"{name}: Field required"
    return f"{steps}: {reason}" if steps else reason


def find_mistake(body: Body, version: str) -> str | None:
    """Return what is wrong with a request that could be read, if anything is."""
    if not body.messages:
        return "messages: at least one message is required"
    if version >= WITHOUT_SAMPLING:
        for name in _SAMPLING:
            if getattr(body, name) is not None:
                return f"{name}: Extra inputs are not permitted"
    return _wrong_thinking(body) or _wrong_text(body) or _wrong_results(body)


def ask_of(body: Body) -> Ask:
    """Say what a request asks. Raises `ValueError` for a picture that is no base64."""
    thinking = body.thinking
    said = [text for message in body.messages if message.role == "user" and (text := _text(message.blocks))]
    return Ask(
        model=body.model,
        form=Form.SSE if body.stream else Form.PLAIN,
        prompt=said[-1] if said else "",
        input_tokens=words_of(body),
        max_tokens=body.max_tokens,
        stop=tuple(body.stop_sequences or ()),
        thoughts=thinking is not None and thinking.type != "disabled" and thinking.display != "omitted",
        text=_decided(body),
        calls=_calls(body),
    )


def words_of(body: CountBody) -> int:
    """Count the words of all texts."""
    system = [Block("text", body.system)] if isinstance(body.system, str) else body.system or []
    blocks = [block for message in body.messages for block in message.blocks]
    return sum([len(text.split()) for block in (*system, *blocks) for text in _texts(block)])


def _calls(body: Body) -> tuple[ToolCall, ...]:
    choice, last = body.tool_choice, body.messages[-1]
    if not body.tools or last.role != "user" or (choice is not None and choice.type == "none"):
        return ()
    if any(block.type == "tool_result" for block in last.blocks):
        return ()
    parallel = choice is None or not choice.disable_parallel_tool_use
    return read_calls(_text(last.blocks), [tool.name for tool in body.tools], parallel=parallel)


def _decided(body: Body) -> str | None:
    """Return the text that the request itself decides: by its schema, its pictures, or what its last tools gave."""
    wanted = body.output_format or (body.output_config.format if body.output_config is not None else None)
    if wanted is not None:
        return instance_of(wanted.schema)
    last = body.messages[-1]
    pictures = [block.source.sight for block in last.blocks if block.type == "image" and block.source is not None]
    if last.role == "user" and (sight := seen(_text(last.blocks), pictures)) is not None:
        return sight
    results = [block for block in last.blocks if block.type == "tool_result"]
    return "\n".join(["".join(_texts(block)) for block in results]) or None


def _wrong_thinking(body: Body) -> str | None:
    thinking = body.thinking
    if thinking is None or thinking.type != "enabled":
        return None
    if thinking.budget_tokens is None:
        return "thinking.enabled.budget_tokens: Field required"
    if thinking.budget_tokens < _LEAST_BUDGET:
        return f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}"
    if thinking.budget_tokens >= body.max_tokens:
        return "`max_tokens` must be greater than `thinking.budget_tokens`."
    return None


def _wrong_text(body: Body) -> str | None:
    for message in body.messages:
        if any(block.type == "text" and not block.text for block in message.blocks):
            return "messages: text content blocks must be non-empty"
    return None


def _wrong_results(body: Body) -> str | None:
    """Tell whether calls and results do not belong together: the next message begins with one result of each call."""
    called: list[str] = []
    for number, message in enumerate(body.messages):
        blocks = message.blocks
        given = [block.tool_use_id for block in blocks if block.type == "tool_result"]
        for name in given:
            if name not in called:
                return f"messages.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {name}."
        first = [block.tool_use_id for block in blocks[: len(called)] if block.type == "tool_result"]
        if lacking := [name for name in called if name not in first]:
            return (
                f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(lacking)}."
            )
        called = [block.id for block in blocks if block.type == "tool_use"]
    return None


def _text(blocks: list[Block]) -> str:
    return "".join([block.text for block in blocks if block.type == "text" and block.text])


def _texts(block: Block) -> list[str]:
    """Return the texts of a block, and of those in it."""
    if isinstance(block.content, str):
        return [block.content]
    inner = [text for part in block.content or () for text in _texts(part)]
    return [block.text, *inner] if block.text else inner
