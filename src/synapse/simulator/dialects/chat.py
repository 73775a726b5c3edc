"""The request of chat completions, which OpenAI and OpenRouter read alike."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

import msgspec

from synapse.simulator.calls import ToolCall, read_calls
from synapse.simulator.dialects.base import Ask, Form, Generate, Models, Request, Target
from synapse.simulator.dialects.chat_body import ChatBody, Message, decode
from synapse.simulator.instance import instance_of
from synapse.simulator.pictures import seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.simulator.dialects.base import Refusal

Body = TypeVar("Body")


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with a request."""

    message: str
    param: str | None = None
    code: str | None = None


def route(request: Request) -> Target | None:
    """Find `chat/completions`, `embeddings`, `models` and `models/{model}` below anything."""
    path = request.path
    if request.method == "POST" and path.endswith("/embeddings"):
        return Generate(vectors=True)
    if request.method == "POST":
        return Generate() if path.endswith("/chat/completions") else None
    if request.method != "GET":
        return None
    _, found, name = path.partition("/models")
    if not found or (name and name[0] != "/"):
        return None
    return Models(name[1:] or None)


def bearer(request: Request) -> str | None:
    """Return the key of a request, as far as it has one."""
    scheme, _, key = (request.header(b"authorization") or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def decoded(body: bytes, decode: Callable[[bytes], Body], refuse: Callable[[Mistake], Refusal]) -> Body:
    """Decode a request. Raises what `refuse` makes of what is wrong with it."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise refuse(_explain(str(error))) from None
    except ValueError:
        raise refuse(Mistake("We could not parse the JSON body of your request.")) from None


def read(body: bytes, refuse: Callable[[Mistake], Refusal]) -> Ask:
    """Read a request. Raises what `refuse` makes of what is wrong with it."""
    content = decoded(body, decode, refuse)
    if content.stream_options is not None and not content.stream:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refuse(Mistake(message, "stream_options"))
    if (breach := _find_breach(content.messages)) is not None:
        raise refuse(Mistake(breach, "messages"))
    try:
        return _ask(content)
    except ValueError:
        raise refuse(Mistake("You uploaded an unsupported image. It is no base64.", "messages")) from None


def _ask(content: ChatBody) -> Ask:
    texts = [message.text for message in content.messages]
    said = [text for text, message in zip(texts, content.messages, strict=True) if text and message.role == "user"]
    options = content.stream_options
    stop = content.stop or ()
    return Ask(
        model=content.model,
        form=Form.SSE if content.stream else Form.PLAIN,
        prompt=said[-1] if said else "",
        input_tokens=sum([len(text.split()) for text in texts]),
        max_tokens=content.max_completion_tokens or content.max_tokens,
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        count=content.n or 1,
        thoughts=_thinks(content),
        include_usage=options is not None and options.include_usage is True,
        text=_decided(content),
        calls=_calls(content),
    )


def _find_breach(messages: list[Message]) -> str | None:
    """Tell whether calls and results do not belong together: the next messages are one result of each call."""
    lacking: list[str] = []
    for number, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id not in lacking:
                return (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    f"'tool_calls' (messages[{number}])."
                )
            lacking.remove(message.tool_call_id)
            continue
        if lacking:
            break
        lacking = [call.id for call in message.tool_calls or ()]
    if lacking:
        return (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(lacking)}"
        )
    return None


def _thinks(content: ChatBody) -> bool:
    if content.reasoning is not None:
        return content.reasoning.shown
    return content.reasoning_effort not in (None, "none")


def _calls(content: ChatBody) -> tuple[ToolCall, ...]:
    last = content.messages[-1]
    if not content.tools or content.tool_choice == "none" or last.role != "user":
        return ()
    names = [tool.function.name for tool in content.tools if tool.function is not None]
    return read_calls(last.text, names, parallel=content.parallel_tool_calls is not False)


def _decided(content: ChatBody) -> str | None:
    """Return the text that the request itself decides: by its schema, its pictures, or what its last tools gave."""
    wanted = content.response_format
    if wanted is not None and wanted.type == "json_object":
        return "{}"
    if wanted is not None and wanted.json_schema is not None:
        return instance_of(wanted.json_schema.schema)
    last = content.messages[-1]
    if last.role == "user" and (sight := seen(last.text, last.pictures)) is not None:
        return sight
    results = takewhile(lambda message: message.role == "tool", reversed(content.messages))
    return "\n".join([message.text for message in results][::-1]) or None


def _explain(error: str) -> Mistake:
    """Turn what the decoder says into what is wrong with which parameter."""
    reason, _, path = error.partition(" - at `$.")
    param = path.rstrip("`") or None
    if "missing required field" in reason:
        name = f"{param}.{reason.split('`')[1]}" if param else reason.split("`")[1]
        return Mistake(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    code = "invalid_type" if ", got" in reason else "invalid_value"
    return Mistake(f"Invalid value for '{param}': {reason.lower()}.", param, code)
