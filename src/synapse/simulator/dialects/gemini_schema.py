"""What Gemini's API knows of a request, and what it says of anything else.

Names are accepted in camelCase and in snake_case, null stands for absence, and one element stands for a list of it, as
in the JSON form of protocol buffers as that API reads it.
"""

from __future__ import annotations

import re
from typing import TypedDict

import msgspec

Path = tuple[str | int, ...]


class Problem(msgspec.Struct, frozen=True):
    """Something in a request that the API does not take."""

    field: str
    """Where, in snake_case; empty for the request itself."""
    text: str


class Blob(TypedDict, total=False):
    """Bytes in a request."""

    mimeType: str
    data: str


class FunctionCall(TypedDict, total=False):
    """A call that was made."""

    name: str


class FunctionResponse(TypedDict, total=False):
    """What a tool gave."""

    name: str
    response: dict[str, object]


class Part(TypedDict, total=False):
    """A piece of a message."""

    text: str
    inlineData: Blob
    fileData: dict[str, str]
    functionCall: FunctionCall
    functionResponse: FunctionResponse
    thoughtSignature: str


class Content(TypedDict, total=False):
    """A message."""

    role: str
    parts: list[Part]


class ThinkingConfig(TypedDict, total=False):
    """How the model thinks."""

    includeThoughts: bool
    thinkingBudget: int
    thinkingLevel: str


class GenerationConfig(TypedDict, total=False):
    """How the model answers."""

    candidateCount: int
    maxOutputTokens: int
    stopSequences: list[str]
    thinkingConfig: ThinkingConfig
    responseMimeType: str
    responseSchema: dict[str, object]
    responseJsonSchema: dict[str, object]


class FunctionDeclaration(TypedDict, total=False):
    """A function that may be called."""

    name: str


class Tool(TypedDict, total=False):
    """Functions that may be called; any other tool is let pass."""

    functionDeclarations: list[FunctionDeclaration]


class FunctionCallingConfig(TypedDict, total=False):
    """Whether functions are to be called."""

    mode: str


class ToolConfig(TypedDict, total=False):
    """How tools are to be used."""

    functionCallingConfig: FunctionCallingConfig


class EmbedRequest(TypedDict, total=False):
    """A text of which a vector is wanted."""

    model: str
    content: Content
    outputDimensionality: int


class Body(TypedDict, total=False):
    """A request, of which only that is named here that the simulator minds."""

    contents: list[Content]
    systemInstruction: Content
    generationConfig: GenerationConfig
    tools: list[Tool]
    toolConfig: ToolConfig


def _fields(text: str) -> dict[str, tuple[str, str]]:
    """Read `name:kind` pairs into a table from both spellings of the name."""
    table = {}
    for pair in text.split():
        name, _, kind = pair.partition(":")
        table[name] = table[snake_case(name)] = (name, kind or "any")
    return table


def snake_case(name: str) -> str:
    """Spell a camelCase name the other way."""
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)


_SCALARS: dict[str, tuple[str, type | tuple[type, ...]]] = {
    "string": ("TYPE_STRING", str),
    "bool": ("TYPE_BOOL", bool),
    "int": ("TYPE_INT32", int),
    "float": ("TYPE_FLOAT", (int, float)),
}
_MESSAGES = {
    "Request": _fields(
        "model:string contents:Content* systemInstruction:Content tools:Tool* toolConfig:ToolConfig "
        "safetySettings:SafetySetting* generationConfig:GenerationConfig cachedContent:string serviceTier:string "
        "labels store:bool continuationToken:string"
    ),
    "Batch": _fields("model:string requests:EmbedRequest*"),
    "EmbedRequest": _fields(
        "model:string content:Content taskType:string title:string outputDimensionality:int embedContentConfig"
    ),
    "Content": _fields("parts:Part* role:string"),
    "Part": _fields(
        "text:string inlineData:Blob fileData:FileData functionCall:FunctionCall functionResponse:FunctionResponse "
        "executableCode codeExecutionResult toolCall toolResponse thought:bool thoughtSignature:string videoMetadata "
        "mediaResolution partMetadata"
    ),
    "Blob": _fields("mimeType:string data:string displayName:string"),
    "FileData": _fields("mimeType:string fileUri:string displayName:string"),
    "FunctionCall": _fields("id:string name:string args"),
    "FunctionResponse": _fields("id:string name:string response parts willContinue:bool scheduling:string"),
    "Tool": _fields(
        "functionDeclarations:FunctionDeclaration* googleSearch googleSearchRetrieval codeExecution urlContext "
        "computerUse googleMaps fileSearch mcpServers"
    ),
    "FunctionDeclaration": _fields(
        "name:string description:string behavior:string parameters parametersJsonSchema response responseJsonSchema"
    ),
    "ToolConfig": _fields("functionCallingConfig:FunctionCallingConfig retrievalConfig"),
    "FunctionCallingConfig": _fields("mode:string allowedFunctionNames:string*"),
    "SafetySetting": _fields("category:string threshold:string"),
    "GenerationConfig": _fields(
        "temperature:float topP:float topK:float candidateCount:int maxOutputTokens:int stopSequences:string* seed:int "
        "presencePenalty:float frequencyPenalty:float responseLogprobs:bool logprobs:int responseMimeType:string "
        "responseSchema responseJsonSchema responseModalities:string* thinkingConfig:ThinkingConfig imageConfig "
        "speechConfig mediaResolution:string enableEnhancedCivicAnswers:bool"
    ),
    "ThinkingConfig": _fields("includeThoughts:bool thinkingBudget:int thinkingLevel:string"),
}


def check(value: object, problems: list[Problem], kind: str = "Request", path: Path = ()) -> object:
    """Return a request with every name in camelCase, adding what is wrong with it to `problems`."""
    if kind == "any":
        return value
    if kind[-1] == "*":
        items = value if isinstance(value, list) else [value]
        return [check(item, problems, kind[:-1], (*path, number)) for number, item in enumerate(items)]
    fields = _MESSAGES.get(kind)
    if fields is None:
        return _scalar(value, problems, kind, path)
    if not isinstance(value, dict):
        problems.append(_problem(path, f"Invalid value at '{spell(path)}' ({kind}), {_shown(value)}"))
        return {}
    checked = {}
    for name, item in value.items():
        known = fields.get(name)
        if known is None:
            problems.append(_unknown(name, path))
        elif item is not None:
            checked[known[0]] = check(item, problems, known[1], (*path, known[0]))
    return checked


def spell(path: Path) -> str:
    """Write a path as the API does: `contents[0].parts[1].inline_data`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{snake_case(step)}"
    return text[1:]


def _scalar(value: object, problems: list[Problem], kind: str, path: Path) -> object:
    label, types = _SCALARS[kind]
    if kind == "int" and isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
        problems.append(_problem(path, f"Invalid value at '{spell(path)}' ({label}), {_shown(value)}"))
    return value


def _unknown(name: str, path: Path) -> Problem:
    where = f" at '{spell(path)}'" if path else ""
    return _problem(path, f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')


def _problem(path: Path, text: str) -> Problem:
    return Problem(spell(path), text)


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
