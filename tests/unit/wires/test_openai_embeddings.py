"""Vectors from servers that speak like OpenAI."""

from __future__ import annotations

import json
import math
import struct
from base64 import b64encode
from random import Random

import msgspec
import pytest

from synapse.domain.credential import Credential
from synapse.domain.events import Finish, FinishReason, Vectors
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Embedding, Request, prompt_request
from synapse.domain.usage import Usage
from synapse.providers.base import Signal
from synapse.providers.wires import openai
from synapse.testing.wire_contract import check_classify, check_garbage

assert openai.WIRE.embeddings is not None
WIRE = openai.WIRE.embeddings


def _asking(*inputs: str, dimensions: int | None = None) -> Request:
    return Request("code", (), embedding=Embedding(inputs, dimensions))


def _item(embedding: object, index: int | None = 0) -> dict[str, object]:
    return {"object": "embedding", "embedding": embedding} | ({} if index is None else {"index": index})


def _signals(*items: object, **more: object) -> list[Signal]:
    decoder = WIRE.decoder()
    found = list(decoder.feed(json.dumps({"object": "list", "data": items, **more}).encode()))
    return found if found and isinstance(found[-1], Failure) else [*found, decoder.end()]


def _vector(embedding: str) -> tuple[float, ...]:
    vectors, _ = _signals(_item(embedding))
    assert isinstance(vectors, Vectors)
    return vectors.vectors[0]


def _base64(kind: str, numbers: tuple[float, ...]) -> str:
    return b64encode(struct.pack(f"<{len(numbers)}{kind}", *numbers)).decode()


def _unit(size: int, seed: int = 0) -> tuple[float, ...]:
    random = Random(seed)  # noqa: S311 - repeatable numbers, no secret
    numbers = [random.gauss(0, 1) for _ in range(size)]
    length = math.hypot(*numbers)
    return tuple([number / length for number in numbers])


def test_texts_are_sent_as_a_list_and_floats_are_asked_for() -> None:
    """Base64 would have to be trusted to be of the right width."""
    call = WIRE.encode(_asking("a", "b", dimensions=128), "text-embedding-3-small", Credential("p", "sk-a-key"))

    assert call.path == "/embeddings"
    assert call.headers == {"content-type": "application/json", "authorization": "Bearer sk-a-key"}
    assert msgspec.json.decode(call.body) == {
        "model": "text-embedding-3-small",
        "input": ["a", "b"],
        "encoding_format": "float",
        "dimensions": 128,
    }


def test_what_is_not_said_is_not_sent() -> None:
    """And extras and the end user are, where the server takes them."""
    request = msgspec.structs.replace(_asking("a"), safety_user="u1", extras={"input_type": msgspec.Raw(b'"query"')})
    mistral = openai.MISTRAL.embeddings
    assert mistral is not None

    assert msgspec.json.decode(WIRE.encode(_asking("a"), "m", None).body) == {
        "model": "m",
        "input": ["a"],
        "encoding_format": "float",
    }
    assert msgspec.json.decode(WIRE.encode(request, "m", None).body)["user"] == "u1"
    assert msgspec.json.decode(mistral.encode(request, "m", None).body) == {
        "model": "m",
        "input": ["a"],
        "encoding_format": "float",
        "input_type": "query",
    }


def test_a_request_that_is_for_none_is_refused() -> None:
    """It is a mistake of ours, and must not become an empty request."""
    with pytest.raises(ValueError, match="set its `embedding`"):
        WIRE.encode(prompt_request("code", "Hi"), "m", None)


def test_vectors_come_in_the_order_of_their_inputs() -> None:
    """Whatever order they stand in; without numbers they stand in order."""
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    end = Finish(FinishReason.STOP, Usage(input_tokens=4, total_tokens=4))
    both = Vectors(((1.0, 2.0), (3.0, 4.5)))

    assert _signals(_item([3, 4.5], 1), _item([1, 2], 0), usage=usage) == [both, end]
    assert _signals(_item([1, 2], None), _item([3, 4.5], None), usage=usage) == [both, end]


def test_openrouter_says_what_vectors_cost() -> None:
    """In the same place as for answers."""
    *_, end = _signals(_item([1.0]), usage={"prompt_tokens": 4, "total_tokens": 4, "cost": 1e-7})

    assert end == Finish(FinishReason.STOP, Usage(input_tokens=4, total_tokens=4, cost=1e-7))


@pytest.mark.parametrize("usage", [None, {}, "?"])
def test_vectors_may_come_without_usage(usage: object) -> None:
    """Then nothing is counted."""
    assert _signals(_item([1.0]), usage=usage) == [Vectors(((1.0,),)), Finish(FinishReason.STOP)]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 17, 128, 1536])
def test_base64_holds_floats_of_four_bytes(size: int) -> None:
    """Some servers send it whatever was asked for."""
    numbers = struct.unpack(f"<{size}f", struct.pack(f"<{size}f", *_unit(size)))

    assert _vector(_base64("f", numbers)) == numbers


@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("size", [8, 384, 4096])
def test_old_versions_of_vllm_send_floats_of_eight_bytes(size: int, scale: float) -> None:
    """Taken for four, they would be twice as many, half of them noise."""
    numbers = tuple([number * scale for number in _unit(size)])

    assert _vector(_base64("d", numbers)) == numbers


def test_floats_of_eight_bytes_that_were_made_from_smaller_ones_are_told_too() -> None:
    """Their lower halves are nothing or nearly so, not noise."""
    for kind in ("f", "e"):
        numbers = struct.unpack(f"<384{kind}", struct.pack(f"<384{kind}", *_unit(384)))

        assert _vector(_base64("d", numbers)) == numbers


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_floats_of_four_bytes_are_never_taken_for_wider_ones(scale: float) -> None:
    """However large they are: vectors need not be of length one."""
    for seed in range(50):
        numbers = struct.unpack("<256f", struct.pack("<256f", *[number * scale for number in _unit(256, seed)]))

        assert _vector(_base64("f", numbers)) == numbers


def test_floats_of_four_bytes_that_would_be_ordinary_wider_ones_are_not_taken_for_them() -> None:
    """Between 1 and 4 their bits are those of the upper half of an ordinary number."""
    random = Random(7)  # noqa: S311 - repeatable numbers, no secret
    numbers = struct.unpack("<256f", struct.pack("<256f", *[random.uniform(1, 4) for _ in range(256)]))

    assert _vector(_base64("f", numbers)) == numbers


@pytest.mark.parametrize(
    "items",
    [
        [],
        [_item([1.0], 0), _item([2.0], 0)],
        [_item([1.0], 1)],
        [_item("no base64!")],
        [_item("AAA=")],
        [_item({"a": 1})],
        [_item(None)],
        [_item([[1.0]])],
    ],
)
def test_what_is_no_vector_for_each_input_is_a_failure(items: list[object]) -> None:
    """Another try may go better; nothing of it is passed on."""
    (failure,) = _signals(*items)

    assert isinstance(failure, Failure)
    assert failure.kind is FailureClass.TRANSIENT


def test_an_error_may_come_with_status_200() -> None:
    """As with answers."""
    decoder = WIRE.decoder()

    (failure,) = decoder.feed(b'{"error": {"message": "No such model", "code": 404}}')

    assert failure == Failure(FailureClass.MODEL_GONE, "No such model")
    assert decoder.end() == failure


def test_nothing_is_no_answer() -> None:
    """And what is garbage, or an error, is a failure as on every wire."""
    end = WIRE.decoder().end()

    assert isinstance(end, Failure)
    check_garbage(WIRE)
    check_classify(WIRE)
