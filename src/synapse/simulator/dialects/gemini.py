"""Google's Gemini API: generateContent, streamGenerateContent, batchEmbedContents and models, in v1 and v1beta."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from synapse.simulator.dialects import gemini_embeddings
from synapse.simulator.dialects import gemini_errors as errors
from synapse.simulator.dialects.base import (
    Ask,
    Form,
    Generate,
    Headers,
    Models,
    Refusal,
    Reply,
    Request,
    Stream,
    Target,
)
from synapse.simulator.dialects.gemini_answer import STREAM_HEADERS, Chunks, frame, plain
from synapse.simulator.dialects.gemini_models import list_models, show_model
from synapse.simulator.dialects.gemini_schema import Body, Content, Problem, check
from synapse.simulator.dialects.gemini_tools import calls_of, decided, find_breach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.simulator.faults import FaultKind
    from synapse.simulator.quota import Standing, Violation
    from synapse.simulator.text import Answer

NAME = "gemini"
ZONE = "America/Los_Angeles"
MODELS_NEED_KEY = True

_VERSIONS = ("v1", "v1beta", "v1alpha")
_FORMS = {"generateContent": Form.PLAIN, "streamGenerateContent": Form.ARRAY}
_VECTORS = "batchEmbedContents"
_MAX_CANDIDATES = 8
_decode = msgspec.json.Decoder().decode


def route(request: Request) -> Target | None:
    """Find `models/{model}:{method}`, `models` and `models/{model}` below a version, below anything."""
    head, found, tail = request.path.partition("/models")
    version = head.rpartition("/")[2]
    if not found or version not in _VERSIONS or (tail and tail[0] != "/"):
        return None
    if request.method == "POST":
        return _route_generate(request, tail[1:], version)
    if request.method != "GET" or (version == "v1" and not key(request)):
        return None
    return Models(tail[1:].removeprefix("models/") or None, version)


def key(request: Request) -> str | None:
    """Take the key from its header, or from the query."""
    return request.header(b"x-goog-api-key") or request.parameter("key")


def refuse(target: Target, found: str | None) -> Reply:
    """Give the error of a request without a key, or with one that nobody has."""
    form = target.form if isinstance(target, Generate) else Form.PLAIN
    return errors.invalid_key(form) if found else errors.missing_key(form)


def span(model: str) -> str:
    """Return the model: each has limits of its own."""
    return model


def read(request: Request, target: Generate, body: bytes) -> Ask:
    """Read a request as the API does: strictly."""
    if target.vectors:
        return _known(request, target, gemini_embeddings.read(target, body))
    content = parse(body, target.form)
    texts = [_texts(message) for message in content["contents"]]
    config = content.get("generationConfig", {})
    thinking = config.get("thinkingConfig", {})
    words = sum(map(_count_words, texts)) + _count_words(_texts(content.get("systemInstruction", {})))
    roles = [message.get("role") for message in content["contents"]]
    spoken = [text for role, text in zip(roles, texts, strict=True) if text and role != "model"]
    if breach := find_breach(content, target.model):
        raise Refusal(errors.error(400, breach, form=target.form))
    try:
        text = decided(content)
    except ValueError:
        problem = Problem("contents", "Invalid value at 'contents' (TYPE_BYTES), Base64 decoding failed")
        raise errors.invalid_request([problem], target.form) from None
    ask = Ask(
        model=target.model,
        form=target.form,
        prompt="".join(spoken[-1]) if spoken else "",
        input_tokens=words,
        max_tokens=config.get("maxOutputTokens"),
        stop=tuple(config.get("stopSequences", ())),
        count=config.get("candidateCount", 1),
        thoughts=thinking.get("includeThoughts", False) and thinking.get("thinkingBudget") != 0,
        version=target.version,
        text=text,
        calls=calls_of(content),
    )
    return _known(request, target, ask)


def parse(body: bytes, form: Form) -> Body:
    """Decode a request, with every name in camelCase. Raises `Refusal` for what the API does not know."""
    try:
        decoded = _decode(body)
    except ValueError:
        raise errors.invalid_request([Problem("", "Invalid JSON payload received. Unexpected token.")], form) from None
    problems: list[Problem] = []
    content = cast("Body", check(decoded, problems))
    if problems or _find_problems(content, problems):
        raise errors.invalid_request(problems, form)
    return content


def reply(ask: Ask, answer: Answer) -> Reply:
    """Give the answer in one piece."""
    return Reply(200, plain(ask, answer), errors.JSON_HEADERS)


def stream(ask: Ask, answer: Answer) -> Stream:
    """Give the answer as a series of partial answers, each with the usage so far."""
    chunks = Chunks(ask, answer)
    events = frame(chunks.events(), ask.form)
    if ask.form is Form.ARRAY:
        return Stream(errors.JSON_HEADERS, events, chunks.count, tail=(b"]",))
    return Stream(STREAM_HEADERS, events, chunks.count)


def embed(ask: Ask) -> Reply:
    """Give the vectors of texts."""
    return gemini_embeddings.reply(ask)


def broken(form: Form) -> bytes:
    """Return a partial answer that breaks off."""
    start = b'{"candidates": [{"content": {"parts": [{"te'
    return start if form is Form.ARRAY else b"data: %b\r\n\r\n" % start


def fault(ask: Ask, kind: FaultKind) -> Reply:
    """Give an error status that has nothing to do with the request."""
    return errors.fault(kind, ask.form)


def over_quota(ask: Ask, violations: Sequence[Violation], _standing: Standing, now: float) -> Reply:
    """Give the 429 that lists every quota the request would break."""
    return errors.over_quota(ask.model, violations, now, ask.form)


def allowance(_standing: Standing, _now: float) -> Headers:
    """Return no headers: the API tells nothing of what is left."""
    return []


def not_found(_target: Target, form: Form, message: str) -> Reply:
    """Give the 404 of a model that is not there."""
    return errors.error(404, message, form=form)


def models(request: Request, target: Models, recorded: bytes | None) -> Reply:
    """Give a page of the models, or one of them."""
    return list_models(request, recorded) if target.name is None else show_model(target, recorded)


def _route_generate(request: Request, tail: str, version: str) -> Generate | None:
    model, _, method = tail.rpartition(":")
    form = _FORMS.get(method)
    if model and method == _VECTORS:
        return Generate(model.removeprefix("models/"), Form.PLAIN, version, vectors=True)
    if not model or form is None:
        return None
    if form is Form.ARRAY and request.parameter("alt") == "sse":
        form = Form.SSE
    return Generate(model.removeprefix("models/"), form, version)


def _find_problems(content: Body, problems: list[Problem]) -> list[Problem]:
    """Add what is wrong with a request whose fields are all known."""
    config = content.get("generationConfig", {})
    thinking = config.get("thinkingConfig", {})
    if not content.get("contents"):
        problems.append(Problem("contents", "* GenerateContentRequest.contents: contents is not specified"))
    if not 1 <= config.get("candidateCount", 1) <= _MAX_CANDIDATES:
        text = f"The candidate count must be from 1 to {_MAX_CANDIDATES}."
        problems.append(Problem("generation_config.candidate_count", text))
    if config.get("maxOutputTokens", 1) < 1:
        text = "The maximum of output tokens must be positive."
        problems.append(Problem("generation_config.max_output_tokens", text))
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        problems.append(Problem("generation_config", "You can only set one of thinking budget and thinking level."))
    return problems


def _known(request: Request, target: Generate, ask: Ask) -> Ask:
    """Return what is asked. Raises `Refusal` where there is no such model."""
    if target.model.startswith("missing"):
        raise Refusal(not_found(target, target.form, _no_such_model(request, target)))
    return ask


def _no_such_model(request: Request, target: Generate) -> str:
    method = request.path.rpartition(":")[2]
    return (
        f"models/{target.model} is not found for API version {target.version}, or is not supported for {method}. "
        "Call ModelService.ListModels to see the list of available models and their supported methods."
    )


def _texts(message: Content) -> list[str]:
    return [part["text"] for part in message.get("parts", ()) if "text" in part]


def _count_words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)
