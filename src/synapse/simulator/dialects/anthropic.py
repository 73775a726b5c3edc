"""Anthropic's messages, the counting of their tokens, and models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import msgspec

from synapse.domain.quota import Measure
from synapse.simulator.dialects import chat
from synapse.simulator.dialects.anthropic_answer import PING, STREAM_HEADERS, count, end, events, plain, start
from synapse.simulator.dialects.anthropic_body import (
    CountBody,
    ask_of,
    decode,
    decode_count,
    explain,
    find_mistake,
    words_of,
)
from synapse.simulator.dialects.base import (
    Ask,
    Count,
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
from synapse.simulator.faults import FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synapse.simulator.quota import Allowance, Standing, Violation
    from synapse.simulator.text import Answer

Content = TypeVar("Content", bound=CountBody)

NAME = "anthropic"
ZONE = "UTC"
MODELS_NEED_KEY = True

_JSON: Headers = [(b"content-type", b"application/json")]
_FINAL: Headers = [(b"x-should-retry", b"false")]
_NAMES = ("claude-opus-4-7", "claude-sonnet-5", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001")
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_FAULTS = {
    FaultKind.RATE_LIMITED: (429, "This request would exceed your account's rate limit. Please try again later."),
    FaultKind.INTERNAL: (500, "Internal server error"),
    FaultKind.UNAVAILABLE: (529, "Overloaded"),
}
_QUOTAS = {
    Measure.RPM: "requests per minute",
    Measure.TPM: "input tokens per minute",
    Measure.RPD: "requests per day",
    Measure.TPD: "input tokens per day",
    Measure.CONCURRENCY: "concurrent connections",
}


def route(request: Request) -> Target | None:
    """Find `messages` and the counting of their tokens; and models, below `anthropic` or where a version is told."""
    path = request.path
    if request.method == "POST" and path.endswith("/v1/messages/count_tokens"):
        return Count()
    if request.method == "POST":
        return Generate() if path.endswith("/v1/messages") else None
    _, found, name = path.partition("/v1/models")
    own = path.startswith("/anthropic/") or request.header(b"anthropic-version") is not None
    if request.method != "GET" or not own or not found or (name and name[0] != "/"):
        return None
    return Models(name[1:] or None)


def key(request: Request) -> str | None:
    """Take the key from its own header, or from the one of newer versions; where both are, the former counts."""
    return request.header(b"x-api-key") or chat.bearer(request)


def refuse(_target: Target, found: str | None) -> Reply:
    """Give the error of a request without a key, or with one that nobody has."""
    return error(401, "invalid x-api-key" if found else "x-api-key header is required")


def span(model: str) -> str:
    """Return the model: each has limits of its own."""
    return model


def read(request: Request, _target: Generate, body: bytes) -> Ask:
    """Read a request, letting unknown fields pass."""
    version = _version(request)
    content = _decoded(body, decode)
    if wrong := find_mistake(content, version):
        raise Refusal(error(400, wrong))
    try:
        return ask_of(content)
    except ValueError:
        raise Refusal(error(400, "messages: image source base64 data is invalid")) from None


def count_tokens(request: Request, body: bytes) -> Reply:
    """Tell how many tokens a request has. Raises `Refusal` for what the provider would not take."""
    _version(request)
    return _reply(200, {"input_tokens": words_of(_decoded(body, decode_count))})


def reply(ask: Ask, answer: Answer) -> Reply:
    """Give the answer in one piece."""
    return Reply(200, plain(ask, answer), [*_JSON, _request_id(answer.id)])


def stream(ask: Ask, answer: Answer) -> Stream:
    """Give the answer event by event; it is opened at once, and kept open by pings."""
    return Stream(
        [*STREAM_HEADERS, _request_id(answer.id)],
        events(answer),
        count(answer),
        opening=start(ask, answer),
        tail=end(ask, answer),
        heartbeat=PING,
    )


def embed(_ask: Ask) -> Reply:
    """Give the error of a route that there is not: none here is for vectors."""
    return error(404, "Not Found")


def broken(_form: Form) -> bytes:
    """Return an event that breaks off."""
    return b'event: content_block_delta\ndata: {"type":"content_block_del\n\n'


def fault(_ask: Ask, kind: FaultKind) -> Reply:
    """Give an error status that has nothing to do with the request; too much to do is 529 here, not 503."""
    return error(*_FAULTS[kind])


def over_quota(ask: Ask, violations: Sequence[Violation], standing: Standing, now: float) -> Reply:
    """Give the 429 of the first quota that the request would break."""
    first = violations[0]
    limit = "" if first.limit is None else f" of {first.limit:,} {_QUOTAS[first.measure]}"
    refusal = error(429, f"This request would exceed the rate limit{limit} of your organization (model: {ask.model}).")
    wait = max(violation.opens_in for violation in violations)
    refusal.headers = [*refusal.headers, *allowance(standing, now), (b"retry-after", b"%d" % -(-wait // 1))]
    return refusal


def allowance(standing: Standing, now: float) -> Headers:
    """Return the headers that tell what is left of the requests and of the tokens."""
    headers: Headers = []
    for names, left in ((("requests",), standing.requests), (("input-tokens", "tokens"), standing.tokens)):
        if left is not None:
            headers += [header for name in names for header in _allowance(name, left, now)]
    return headers


def not_found(_target: Target, _form: Form, message: str) -> Reply:
    """Give the 404 of a model that is not there."""
    return error(404, message)


def models(_request: Request, target: Models, recorded: bytes | None) -> Reply:
    """Give the models, or one of them; without recordings there is any but `missing…`."""
    if recorded is not None:
        return Reply(200, recorded, [*_JSON])
    if target.name is None:
        page = {"data": [_entry(name) for name in _NAMES], "has_more": False}
        return _reply(200, {**page, "first_id": _NAMES[0], "last_id": _NAMES[-1]})
    if target.name.startswith("missing"):
        return error(404, f"model: {target.name}")
    return _reply(200, _entry(target.name))


def error(status: int, message: str) -> Reply:
    """Give an error, with the id of its request in the body too."""
    name = uuid4().hex
    content = {"type": _TYPES[status], "message": message}
    refusal = _reply(status, {"type": "error", "error": content, "request_id": f"req_{name}"})
    refusal.headers += [_request_id(name), *(_FINAL if status in (400, 401) else ())]
    return refusal


def _version(request: Request) -> str:
    """Return the version of the API that is asked for. Raises `Refusal` where there is none."""
    version = request.header(b"anthropic-version")
    if version is None:
        raise Refusal(error(400, "anthropic-version: header is required"))
    return version


def _decoded(body: bytes, decode: Callable[[bytes], Content]) -> Content:
    """Decode a request. Raises `Refusal` where it cannot be read, and where there is no such model."""
    try:
        content = decode(body)
    except msgspec.ValidationError as mistake:
        raise Refusal(error(400, explain(str(mistake)))) from None
    except ValueError:
        raise Refusal(error(400, "The request body is not valid JSON")) from None
    if content.model.startswith("missing"):
        raise Refusal(error(404, f"model: {content.model}"))
    return content


def _allowance(name: str, left: Allowance, now: float) -> Headers:
    moment = datetime.fromtimestamp(now + left.resets_in, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        (f"anthropic-ratelimit-{name}-limit".encode(), b"%d" % left.limit),
        (f"anthropic-ratelimit-{name}-remaining".encode(), b"%d" % left.remaining),
        (f"anthropic-ratelimit-{name}-reset".encode(), moment.encode()),
    ]


def _request_id(name: str) -> tuple[bytes, bytes]:
    return b"request-id", f"req_{name}".encode()


def _entry(name: str) -> dict[str, object]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"}


def _reply(status: int, content: object) -> Reply:
    return Reply(status, msgspec.json.encode(content), [*_JSON])
