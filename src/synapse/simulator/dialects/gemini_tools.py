"""What a request of Gemini's API asks of tools and of the form of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.calls import ToolCall, read_calls
from synapse.simulator.instance import instance_of
from synapse.simulator.pictures import describe, seen

if TYPE_CHECKING:
    from synapse.simulator.dialects.gemini_schema import Body, FunctionResponse, Part

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
