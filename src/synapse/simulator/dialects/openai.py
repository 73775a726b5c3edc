"""OpenAI's chat completions, embeddings and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.quota import Measure
from synapse.simulator.dialects import chat, chat_embeddings
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
from synapse.simulator.dialects.openai_answer import DONE, STREAM_HEADERS, Chunks, plain
from synapse.simulator.faults import FaultKind
from synapse.simulator.quota import Allowance, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.simulator.quota import Standing
    from synapse.simulator.text import Answer

NAME = "openai"
ZONE = "UTC"
MODELS_NEED_KEY = True

_JSON: Headers = [(b"content-type", b"application/json")]
_VERSION: Headers = [(b"openai-version", b"2020-10-01"), (b"openai-processing-ms", b"1")]
_NAMES = ("gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano")
_SECOND = 1000
"""In milliseconds."""
_FAULTS = {
    FaultKind.RATE_LIMITED: (429, "Rate limit reached.", "rate_limit_error", "rate_limit_exceeded"),
    FaultKind.INTERNAL: (500, "The server had an error while processing your request.", "server_error", None),
    FaultKind.UNAVAILABLE: (503, "The server is overloaded.", "service_unavailable_error", "server_is_overloaded"),
}
_QUOTAS = {
    Measure.RPM: ("requests", "requests per min (RPM)"),
    Measure.TPM: ("tokens", "tokens per min (TPM)"),
    Measure.RPD: ("requests", "requests per day (RPD)"),
    Measure.TPD: ("tokens", "tokens per day (TPD)"),
    Measure.CONCURRENCY: ("requests", "concurrent requests"),
}


route = chat.route
key = chat.bearer


def refuse(_target: Target, found: str | None) -> Reply:
    """Give the error of a request without a key, or with one that nobody has."""
    if not found:
        return error(401, "You didn't provide an API key in an Authorization header with Bearer auth.")
    return error(401, f"Incorrect API key provided: …{found[-4:]}.", code="invalid_api_key")


def span(model: str) -> str:
    """Return the model: each has limits of its own."""
    return model


def read(_request: Request, target: Generate, body: bytes) -> Ask:
    """Read a request, letting unknown fields pass."""
    take = chat_embeddings.read if target.vectors else chat.read
    ask = take(body, lambda mistake: _refuse(400, mistake.message, mistake.param, mistake.code))
    if ask.model.startswith("missing"):
        message = f"The model `{ask.model}` does not exist or you do not have access to it."
        raise Refusal(not_found(target, ask.form, message))
    return ask


def reply(ask: Ask, answer: Answer) -> Reply:
    """Give the answer in one piece."""
    return Reply(200, plain(ask, answer), [*_JSON, *_VERSION, _request_id(answer)])


def embed(ask: Ask) -> Reply:
    """Give the vectors of texts."""
    return _reply(200, chat_embeddings.answer(ask))


def stream(ask: Ask, answer: Answer) -> Stream:
    """Give the answer token by token, between a chunk that tells the role and one that tells how it ended."""
    chunks = Chunks(ask, answer)
    headers = [*STREAM_HEADERS, *_VERSION, _request_id(answer)]
    tail = [*chunks.ends(), *chunks.usage(), DONE]
    return Stream(headers, chunks.deltas(), answer.output_tokens, lead=chunks.roles(), tail=tail)


def broken(_form: Form) -> bytes:
    """Return a chunk that breaks off."""
    return b'data: {"id":"chatcmpl-","object":"chat.completion.ch\n\n'


def fault(_ask: Ask, kind: FaultKind) -> Reply:
    """Give an error status that has nothing to do with the request."""
    status, message, type_, code = _FAULTS[kind]
    return error(status, message, type_, code=code)


def over_quota(ask: Ask, violations: Sequence[Violation], standing: Standing, now: float) -> Reply:
    """Give the 429 of the first quota that the request would break."""
    first = violations[0]
    type_, quota = _QUOTAS[first.measure]
    wait = max(violation.opens_in for violation in violations)
    numbers = "" if first.limit is None else f": Limit {first.limit}, Used {first.used}"
    message = (
        f"Rate limit reached for {ask.model} in organization org-simulator on {quota}{numbers}. "
        f"Please try again in {go_duration(wait)}."
    )
    refusal = error(429, message, type_, code="rate_limit_exceeded")
    retry = [(b"retry-after", b"%d" % -(-wait // 1)), (b"retry-after-ms", b"%d" % (wait * 1000))]
    refusal.headers = [*refusal.headers, *allowance(standing, now), *retry]
    return refusal


def allowance(standing: Standing, _now: float) -> Headers:
    """Return the headers that tell what is left of the requests and of the tokens."""
    headers: Headers = []
    for name, left in (("requests", standing.requests), ("tokens", standing.tokens)):
        if left is not None:
            headers += _allowance(name, left)
    return headers


def not_found(_target: Target, _form: Form, message: str) -> Reply:
    """Give the 404 of a model that is not there."""
    return error(404, message, code="model_not_found")


def models(_request: Request, target: Models, recorded: bytes | None) -> Reply:
    """Give the models, or one of them; without recordings there is any but `missing…`."""
    if recorded is not None:
        return Reply(200, recorded, _JSON)
    if target.name is None:
        return _reply(200, {"object": "list", "data": [_entry(name) for name in _NAMES]})
    if target.name.startswith("missing"):
        return not_found(target, Form.PLAIN, f"The model '{target.name}' does not exist")
    return _reply(200, _entry(target.name))


def error(
    status: int, message: str, type_: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> Reply:
    """Give an error."""
    return _reply(status, {"error": {"message": message, "type": type_, "param": param, "code": code}})


def go_duration(seconds: float) -> str:
    """Write a duration as Go does: `6ms`, `1.5s`, `1m26.4s`, `24h0m0s`."""
    milliseconds = round(seconds * _SECOND)
    if milliseconds < _SECOND:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / _SECOND:.3f}".rstrip("0").rstrip(".") + "s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text


def _refuse(status: int, message: str, param: str | None = None, code: str | None = None) -> Refusal:
    return Refusal(error(status, message, param=param, code=code))


def _allowance(name: str, left: Allowance) -> Headers:
    return [
        (f"x-ratelimit-limit-{name}".encode(), b"%d" % left.limit),
        (f"x-ratelimit-remaining-{name}".encode(), b"%d" % left.remaining),
        (f"x-ratelimit-reset-{name}".encode(), go_duration(left.resets_in).encode()),
    ]


def _request_id(answer: Answer) -> tuple[bytes, bytes]:
    return b"x-request-id", f"req_{answer.id}".encode()


def _entry(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "simulator"}


def _reply(status: int, content: object) -> Reply:
    return Reply(status, msgspec.json.format(msgspec.json.encode(content), indent=2), [*_JSON])
