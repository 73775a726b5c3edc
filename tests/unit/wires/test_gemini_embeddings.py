"""Vectors from Gemini."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from synapse.domain.credential import Credential
from synapse.domain.events import Finish, FinishReason, Vectors
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Embedding, Request
from synapse.domain.usage import Usage
from synapse.providers.wires import gemini
from synapse.testing.wire_contract import check_classify, check_garbage

assert gemini.WIRE.embeddings is not None
WIRE = gemini.WIRE.embeddings
KEY = Credential("project", "AIza-a-key")


def _asking(*texts: str, dimensions: int | None = None, **extras: object) -> Request:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in extras.items()}
    return Request("code", (), embedding=Embedding(texts, dimensions), extras=raw or None)


def _body(request: Request, model: str = "gemini-embedding-001") -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(WIRE.encode(request, model, KEY).body)
    return body


def _text(text: str) -> dict[str, object]:
    return {"parts": [{"text": text}]}


def _heard(body: bytes) -> tuple[list[object], Finish | Failure]:
    decoder = WIRE.decoder()
    return list(decoder.feed(body)), decoder.end()


@pytest.mark.parametrize("model", ["gemini-embedding-001", "models/gemini-embedding-001"])
def test_each_text_is_a_request_that_names_the_model(model: str) -> None:
    """It has to be the model of the address, with the prefix that it has there."""
    call = WIRE.encode(_asking("a", "b"), model, KEY)

    assert call.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert call.headers == {"content-type": "application/json", "x-goog-api-key": "AIza-a-key"}
    assert msgspec.json.decode(call.body) == {
        "requests": [
            {"model": "models/gemini-embedding-001", "content": _text("a")},
            {"model": "models/gemini-embedding-001", "content": _text("b")},
        ]
    }


def test_dimensions_are_said_with_each_text() -> None:
    """Where they are asked for."""
    assert [each["outputDimensionality"] for each in _body(_asking("a", "b", dimensions=768))["requests"]] == [768, 768]


@pytest.mark.parametrize(
    "extras",
    [
        {"google": {"task_type": "RETRIEVAL_QUERY", "title": "T"}},
        {"task_type": "RETRIEVAL_QUERY", "title": "T", "store": True},
        {"taskType": "RETRIEVAL_QUERY", "google": {"title": "T"}},
    ],
)
def test_what_the_vectors_are_for_is_said_with_each_text(extras: dict[str, object]) -> None:
    """By Gemini's names, in either spelling; what other wires know is not for Gemini."""
    (sent,) = _body(_asking("a", **extras))["requests"]

    assert sent == {
        "model": "models/gemini-embedding-001",
        "content": _text("a"),
        "taskType": "RETRIEVAL_QUERY",
        "title": "T",
    }


def test_an_answer_has_a_vector_for_each_text() -> None:
    """In the order of the texts, as they were given: shortened ones of older models are not of length 1."""
    body = json.dumps({"embeddings": [{"values": [0.5, -1, 2e-3]}, {"values": [1.0, 0, 0]}]}).encode()

    assert _heard(body) == (
        [Vectors(((0.5, -1.0, 0.002), (1.0, 0.0, 0.0)))],
        Finish(FinishReason.STOP, Usage()),
    )


def test_tokens_are_told_by_newer_models() -> None:
    """gemini-embedding-2 says what it has read, gemini-embedding-001 does not."""
    answer = {"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": 4, "promptTokenDetails": []}}

    assert _heard(json.dumps(answer).encode())[1] == Finish(FinishReason.STOP, Usage(input_tokens=4, total_tokens=4))


@pytest.mark.parametrize("counts", [None, [], {"promptTokenCount": {}}, {}])
def test_tokens_that_cannot_be_read_are_none(counts: object) -> None:
    """The vectors are what counts."""
    answer = {"embeddings": [{"values": [1.0]}], "usageMetadata": counts}

    assert _heard(json.dumps(answer).encode())[1] == Finish(FinishReason.STOP, Usage())


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b'{"embeddings":[]}', b'{"embeddings":null}', b'{"embeddings":[{}]}', b"", b'{"embeddings":[{"val'],
)
def test_an_answer_without_vectors_is_a_failure(body: bytes) -> None:
    """Nothing, an empty list and half an answer are none."""
    end = _heard(body)[1]

    assert isinstance(end, Failure)
    assert end.kind is FailureClass.TRANSIENT


@pytest.mark.parametrize("wrapped", [True, False])
def test_an_error_with_a_good_status_is_classified(*, wrapped: bool) -> None:
    """Alone or in a list, as Gemini sends some."""
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}

    signals, end = _heard(json.dumps([error] if wrapped else error).encode())

    assert signals == [Failure(FailureClass.OVERLOADED, "The model is overloaded.")]
    assert end == signals[0]


def test_vectors_keep_the_contract_of_wires() -> None:
    """Garbage is a failure and never an exception, and every error status is classified."""
    check_garbage(WIRE)
    check_classify(WIRE)
