"""Gemini's batchEmbedContents: a vector for each of many texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from synapse.simulator.dialects import gemini_errors as errors
from synapse.simulator.dialects.base import Ask, Form, Reply
from synapse.simulator.dialects.gemini_schema import Problem, check
from synapse.simulator.vectors import vector

if TYPE_CHECKING:
    from synapse.simulator.dialects.base import Generate
    from synapse.simulator.dialects.gemini_schema import EmbedRequest

_MOST = 100
_LENGTH = 3072
_decode = msgspec.json.Decoder().decode


def read(target: Generate, body: bytes) -> Ask:
    """Read a request as the API does: strictly. Raises `Refusal` for what it would not take."""
    requests = _parse(body)
    problems = [problem for number, one in enumerate(requests) for problem in _problems(target.model, number, one)]
    if not 1 <= len(requests) <= _MOST:
        problems.append(Problem("requests", f"* BatchEmbedContentsRequest.requests: 1 to {_MOST} requests are allowed"))
    if problems:
        raise errors.invalid_request(problems, Form.PLAIN)
    texts = tuple([_text(one) for one in requests])
    return Ask(
        model=target.model,
        form=Form.PLAIN,
        prompt="",
        input_tokens=sum([len(text.split()) for text in texts]),
        version=target.version,
        inputs=texts,
        dimensions=requests[0].get("outputDimensionality", _LENGTH),
    )


def reply(ask: Ask) -> Reply:
    """Give the vectors, in the order of the texts. Nothing is told of usage."""
    embeddings = [{"values": vector(text, ask.dimensions)} for text in ask.inputs]
    content = msgspec.json.encode({"embeddings": embeddings})
    return Reply(200, msgspec.json.format(content, indent=2) + b"\n", [*errors.JSON_HEADERS])


def _parse(body: bytes) -> list[EmbedRequest]:
    try:
        decoded = _decode(body)
    except ValueError:
        problem = Problem("", "Invalid JSON payload received. Unexpected token.")
        raise errors.invalid_request([problem], Form.PLAIN) from None
    problems: list[Problem] = []
    content = cast("dict[str, list[EmbedRequest]]", check(decoded, problems, "Batch"))
    if problems:
        raise errors.invalid_request(problems, Form.PLAIN)
    return content.get("requests", [])


def _problems(model: str, number: int, request: EmbedRequest) -> list[Problem]:
    """Find what is wrong with one request whose fields are all known."""
    where = f"requests[{number}]"
    problems = []
    if request.get("model", "") != f"models/{model}":
        problems.append(Problem(f"{where}.model", f"model does not match the model of the address: models/{model}"))
    if not _text(request):
        problems.append(Problem(f"{where}.content", "content is empty"))
    if request.get("outputDimensionality", 1) < 1:
        problems.append(Problem(f"{where}.output_dimensionality", "The output dimension must be positive."))
    return problems


def _text(request: EmbedRequest) -> str:
    return "".join([part["text"] for part in request.get("content", {}).get("parts", ()) if "text" in part])
