"""`POST /v1/embeddings`."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.errors import ProviderFailed
from synapse.domain.events import Error, Finish, FinishReason, Vectors
from synapse.domain.request import Embedding, Request
from synapse.domain.usage import Usage
from synapse.server.http.openai.embeddings import packed
from synapse.testing import FakeClock

if TYPE_CHECKING:
    from conftest import Open, Ports

PATH = "/v1/embeddings"
FINISH = ((1, 2), Finish(FinishReason.STOP, Usage(input_tokens=4, total_tokens=4)))
TWO = (((1, 1), Vectors(((0.5, -0.25), (1.0, 0.0)))), FINISH)


async def when(holds: Callable[[], bool]) -> None:
    """Wait until something holds that happens in the loop without the passing of time."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for; the test's timeout ends it
        await asyncio.sleep(0.001)


async def embed(ports: Ports, **fields: object) -> tuple[int, dict[str, object]]:
    """Ask for vectors; return status and body."""
    response, body = await ports.fetch(PATH, method="POST", body={"model": "a", "input": ["x", "y"]} | fields)
    assert response.headers["x-request-id"]
    return response.status, json.loads(body)


async def test_each_text_has_its_vector(open_ports: Open) -> None:
    """In order, as floats where nothing else is asked for."""
    ports = await open_ports()
    ports.broker.script = TWO

    for form in ({}, {"encoding_format": "float"}, {"encoding_format": None}):
        assert await embed(ports, **form) == (
            200,
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]},
                    {"object": "embedding", "index": 1, "embedding": [1.0, 0.0]},
                ],
                "model": "a",
                "usage": {"prompt_tokens": 4, "total_tokens": 4},
            },
        )


async def test_base64_is_of_floats_of_four_bytes_the_least_first(open_ports: Open) -> None:
    """The official client asks for it by itself, and unpacks so; eight bytes each would be twice the dimensions."""
    ports = await open_ports()
    ports.broker.script = TWO

    _, body = await embed(ports, encoding_format="base64")

    packs = [b64decode(vector["embedding"]) for vector in body["data"]]  # type: ignore[attr-defined]
    assert [struct.unpack("<2f", pack) for pack in packs] == [(0.5, -0.25), (1.0, 0.0)]


@given(st.lists(st.floats(allow_nan=False)))
def test_any_number_can_be_packed(numbers: list[float]) -> None:
    """What is too large for four bytes is infinite."""
    unpacked = struct.unpack(f"<{len(numbers)}f", b64decode(packed(tuple(numbers))))

    for number, found in zip(numbers, unpacked, strict=True):
        assert math.isclose(number, found, rel_tol=1e-6, abs_tol=1e-37) or (math.isinf(found) and abs(number) > 3e38)


@pytest.mark.parametrize("given", ["x", ["x"]])
async def test_the_request_has_texts_and_no_messages(open_ports: Open, given: object) -> None:
    """One or many, and the dimensions."""
    ports = await open_ports()
    ports.broker.script = (((1, 1), Vectors(((0.5,),))), FINISH)

    assert (await embed(ports, input=given, dimensions=1, user="u", service_tier="flex"))[0] == 200

    (task,) = ports.broker.tasks
    assert task.request == Request("a", (), embedding=Embedding(("x",), 1), safety_user="u")
    assert task.band.value == "batch"


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]], ["x", [1]]])
async def test_token_ids_are_refused_in_clear_words(open_ports: Open, given: list[object]) -> None:
    """Some clients send them without being asked to; the message says how to stop that."""
    status, body = await embed(await open_ports(), input=given)

    error: dict[str, str] = body["error"]  # type: ignore[assignment]
    index = 1 if given[0] == "x" else 0
    assert (status, error["param"]) == (400, f"input[{index}]")
    assert "token ids" in error["message"]
    assert "check_embedding_ctx_length=False" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"input": ""}, "input", "input: it is empty"),
        ({"input": ["x", ""]}, "input[1]", "input[1]: it is empty"),
        ({"input": []}, "input", "input: got 0 texts, expected 1 to 2048"),
        ({"input": None}, "input", "input: expected str | array, got null"),
        ({"dimensions": 0}, "dimensions", "dimensions: expected int >= 1"),
        ({"dimensions": 10**30}, "dimensions", "dimensions: expected int <= 2147483647"),
        ({"encoding_format": "int8"}, "encoding_format", "encoding_format: Invalid enum value 'int8'"),
    ],
)
async def test_what_cannot_be_turned_into_vectors_is_refused(
    open_ports: Open, fields: dict[str, object], param: str, message: str
) -> None:
    """With the field that is wrong."""
    ports = await open_ports()

    status, body = await embed(ports, **fields)

    error: dict[str, str] = body["error"]  # type: ignore[assignment]
    assert (status, error["param"]) == (400, param)
    assert error["message"].startswith(message)


@pytest.mark.parametrize(
    ("script", "status", "message"),
    [
        ((FINISH,), 400, "model: a makes no embeddings; ask one that does"),
        ((((1, 1), Vectors(((0.5,),))), FINISH), 502, "a answered 2 texts with 1 vectors: ask again"),
        ((((1, 1), Error(ProviderFailed("it is on fire"))),), 502, "it is on fire"),
    ],
)
async def test_an_answer_without_a_vector_for_each_text_is_an_error(
    open_ports: Open, script: tuple[tuple[tuple[int, int], Finish], ...], status: int, message: str
) -> None:
    """The official client would fail at an empty list in its own way."""
    ports = await open_ports()
    ports.broker.script = script

    found, body = await embed(ports)

    assert (found, body["error"]["message"]) == (status, message)  # type: ignore[index]


async def test_a_caller_who_goes_takes_the_task_along(open_ports: Open, clock: FakeClock) -> None:
    """While it waits."""
    ports = await open_ports()
    asking = asyncio.ensure_future(embed(ports))
    await when(lambda: clock.timers == 1)
    clock.advance(0.1)
    await when(lambda: clock.timers == 1)

    asking.cancel()

    await when(lambda: ports.broker.logs[-1].ended)
