"""The OpenAPI document, made from the table of the routes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import synapse
from synapse.domain import errors
from synapse.server.http import explain
from synapse.server.http.anthropic import errors as anthropic_errors
from synapse.server.http.openai import errors as openai_errors
from synapse.server.http.openapi.operations import ANTHROPIC, NATIVE, OPENAI, OPERATIONS, OPERATORS, PORTS, Health
from synapse.server.http.openapi.schemas import Schemas

if TYPE_CHECKING:
    import msgspec

    from synapse.server.http.openapi.operations import Operation, Port
    from synapse.server.http.openapi.schemas import Json

_ENVELOPES: Final[Mapping[str, type[msgspec.Struct]]] = {
    NATIVE.tag: explain.ErrorAnswer,
    OPERATORS.tag: explain.ErrorAnswer,
    OPENAI.tag: openai_errors.ErrorAnswer,
    ANTHROPIC.tag: anthropic_errors.ErrorAnswer,
}
_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    NATIVE.tag: {code: code for code in errors.ERRORS},
    OPERATORS.tag: {code: code for code in errors.ERRORS},
    OPENAI.tag: {code: row.code or row.type for code, row in openai_errors.ROWS.items()},
    ANTHROPIC.tag: {code: row.type for code, row in anthropic_errors.ROWS.items()},
}
"""What each error is called, by port."""
_NUMBER: Final = {"type": "number", "minimum": 0}
_TEXT: Final = {"type": "string"}
_TASK_HEADERS: Final = (
    ("X-Synapse-Max-Wait", _NUMBER, "Seconds that the task may wait; stronger than `max_wait` in the body."),
    ("X-Synapse-Timeout", _NUMBER, "Seconds that the task may take; stronger than `timeout` in the body."),
)
_DROP_HEADER: Final = (
    "X-Synapse-Drop-Unsupported",
    {"enum": ["true", "false", "1", "0"]},
    "Whether to leave out what the model's provider cannot honour; stronger than `drop_unsupported` in the body.",
)
_DESCRIPTION: Final = (
    "A task queue for LLM generation: a caller never sees a rate limit. OpenAI's and Anthropic's clients work as they "
    "are, and so does Synapse's own API."
)


def build(*, needs_key: bool) -> Json:
    """Make the document. `needs_key` says whether callers are told apart by keys."""
    schemas = Schemas([*_types(), *_ENVELOPES.values()])
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas, needs_key=needs_key)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Synapse", "version": synapse.__version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": port.tag, "description": port.description} for port in PORTS],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _types() -> list[type[msgspec.Struct]]:
    return [kind for each in OPERATIONS for kind in (each.takes, each.gives) if kind is not None]


def _operation(operation: Operation, schemas: Schemas, *, needs_key: bool) -> Json:
    told: Json = {
        "operationId": _id(operation),
        "tags": [operation.port.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, schemas, needs_key=needs_key),
        "security": [{"bearer": []}, {"apiKey": []}] if needs_key and not operation.open else [],
    }
    if operation.description:
        told["description"] = operation.description
    if operation.takes is not None:
        content = {"schema": schemas.reference(operation.takes), "example": operation.example}
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    return told


def _id(operation: Operation) -> str:
    words = re.findall(r"[a-z0-9]+", operation.path)
    return "_".join([operation.method, *words])


def _parameters(operation: Operation) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in re.findall(r"\{(\w+)\}", operation.path)
    ]
    if operation.task:
        headers = _TASK_HEADERS if operation.port is NATIVE else (*_TASK_HEADERS, _DROP_HEADER)
        found += [
            {"name": name, "in": "header", "required": False, "schema": schema, "description": text}
            for name, schema, text in headers
        ]
    return found


def _responses(operation: Operation, schemas: Schemas, *, needs_key: bool) -> Json:
    content: Json = {"application/json": {"schema": schemas.reference(operation.gives)}}
    if operation.streams:
        content["text/event-stream"] = {"schema": _TEXT, "example": operation.streams}
    answer: Json = {"description": "The answer." if operation.gives is not Health else "Yes.", "content": content}
    headers = _answer_headers(operation)
    if headers:
        answer["headers"] = headers
    return {"200": answer, **_failures(operation, schemas, needs_key=needs_key)}


def _answer_headers(operation: Operation) -> Json:
    port = operation.port
    headers: Json = {}
    if port.request_id is not None and (operation.task or port is not NATIVE):
        headers[port.request_id] = {"schema": _TEXT, "description": "The id of the task, or of the request alone."}
    if operation.task and port is not NATIVE:
        headers["x-synapse-dropped"] = {"schema": _TEXT, "description": "What was left out, where anything was."}
    return headers


def _failures(operation: Operation, schemas: Schemas, *, needs_key: bool) -> Json:
    kinds: tuple[type[errors.SynapseError], ...] = (*operation.fails, errors.InternalError)
    if needs_key and not operation.open:
        kinds = (errors.Unauthenticated, errors.PermissionDenied, *kinds)
    by_status: dict[int, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(errors.ERRORS[kind.code].http, []).append(kind.code)
    return {str(status): _failure(status, by_status[status], operation.port, schemas) for status in sorted(by_status)}


def _failure(status: int, codes: Sequence[str], port: Port, schemas: Schemas) -> Json:
    called = list(dict.fromkeys(f"`{_TYPES[port.tag][code]}`" for code in codes))
    schema = schemas.reference(_ENVELOPES[port.tag])
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(called)}.",
        "content": {"application/json": {"schema": schema}},
    }
