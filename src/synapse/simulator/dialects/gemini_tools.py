"""What a request of Gemini's API asks of tools and of the form of the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.calls import ToolCall, read_calls
from synapse.simulator.instance import instance_of
from synapse.simulator.pictures import describe, seen

if TYPE_CHECKING:
    from synapse.simulator.dialects.gemini_schema import Body, Content, FunctionResponse, Part

SIGNED = 3.0
"""From this version on calls are signed, and their signatures are looked for."""
_VERSION = re.compile(r"gemini-(\d+(?:\.\d+)?)")
_RESULTS = ("output", "result", "error")


def calls_of(content: Body) -> tuple[ToolCall, ...]:
    """Return the calls that the last message asks for."""
    last = content["contents"][-1]
    mode = content.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode", "AUTO")
    if last.get("role") == "model" or mode == "NONE":
        return ()
    parts = last.get("parts", [])
    if any("functionResponse" in part for part in parts):
        return ()
    declared = [one for tool in content.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    names = [one["name"] for one in declared if "name" in one]
    return read_calls("".join([part["text"] for part in parts if "text" in part]), names)


def decided(content: Body) -> str | None:
    """Return the text that the request itself decides: by its schema, its pictures, or what its last tools gave.

    Raises `ValueError` for a picture that is no base64.
    """
    config = content.get("generationConfig", {})
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema is not None:
        return instance_of(schema)
    if config.get("responseMimeType") == "application/json":
        return "{}"
    parts = content["contents"][-1].get("parts", [])
    text = "".join([part["text"] for part in parts if "text" in part])
    if (
        sight := seen(text, [_sight(part) for part in parts if "inlineData" in part or "fileData" in part])
    ) is not None:
        return sight
    results = [_told(part["functionResponse"]) for part in parts if "functionResponse" in part]
    return "\n".join(results) or None


def find_breach(content: Body, model: str) -> str | None:
    """Return what of the calls and results of a conversation the API would not take, if anything.

    Each call has one result, all in the next message; from 3 on the first call of a message is signed, in this turn.
    """
    messages = content["contents"]
    turn = max([number for number, message in enumerate(messages) if _speaks(message)], default=0)
    for number, message in enumerate(messages):
        parts = message.get("parts", [])
        calls = [part for part in parts if "functionCall" in part]
        if not calls:
            continue
        if number > turn and version(model) >= SIGNED and "thoughtSignature" not in calls[0]:
            name = calls[0]["functionCall"].get("name", "")
            return (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools "
                f"to work correctly. Additional data, function call `default_api:{name}`, position {number + 1}."
            )
        after = messages[number + 1].get("parts", []) if number + 1 < len(messages) else []
        if sum("functionResponse" in part for part in after) != len(calls):
            return (
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
    return None


def version(model: str) -> float:
    """Return the version in a model's name; 0 where there is none."""
    found = _VERSION.match(model)
    return float(found[1]) if found else 0.0


def _speaks(message: Content) -> bool:
    """Tell whether a message is the user's own words, with which a turn begins."""
    return message.get("role") != "model" and not any("functionResponse" in part for part in message.get("parts", []))


def _sight(part: Part) -> str:
    if "inlineData" in part:
        blob = part["inlineData"]
        return describe(blob.get("mimeType", ""), blob.get("data", ""))
    return part["fileData"].get("fileUri", "")


def _told(result: FunctionResponse) -> str:
    """Return the text of a result; all of it, where it is none of the usual names."""
    response = result.get("response", {})
    for name in _RESULTS:
        if isinstance(text := response.get(name), str):
            return text
    return msgspec.json.encode(response).decode()
