"""What a request can say of its urgency and its fallbacks, and which model is said to have answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import grpc.aio
import pytest

from synapse.domain.caller import Band
from synapse.domain.errors import InvalidRequest
from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.usage import Usage
from synapse.server.prompt import check_priority

if TYPE_CHECKING:
    from conftest import Open

BODY = {"prompt": "Why?", "model_code": "a"}
DELTA = ((1, 1), Delta("Because."))
PRIORITY = "expected one of interactive, standard, batch"


def ending(fallen_to: str | None) -> tuple[tuple[tuple[int, int], object], ...]:
    """Return the log of an answer."""
    return (DELTA, ((1, 2), Finish(FinishReason.STOP, Usage(3, 5), fallen_to)))


@pytest.mark.parametrize("band", list(Band))
async def test_a_priority_is_the_name_of_a_band(open_ports: Open, band: Band) -> None:
    """On both ports."""
    ports = await open_ports()
    ports.broker.script = ending(None)

    await ports.fetch("/generate", method="POST", body={**BODY, "priority": band.value})
    await ports.call(priority=band.value).read()

    assert [task.band for task in ports.broker.tasks] == [band, band]


async def test_without_a_priority_the_task_has_its_callers(open_ports: Open) -> None:
    """Also where null or nothing says so."""
    ports = await open_ports()
    ports.broker.script = ending(None)

    for body in (BODY, {**BODY, "priority": None, "fallbacks": None}):
        await ports.fetch("/generate", method="POST", body=body)
    await ports.call(priority="").read()

    assert {(task.band, tuple(route.code for route in task.fallbacks)) for task in ports.broker.tasks} == {
        (Band.INTERACTIVE, ("b", "c"))
    }
    assert check_priority(None) is None


@pytest.mark.parametrize("value", ["urgent", "Batch", " batch", "b" * 10_000])
async def test_any_other_priority_is_refused(open_ports: Open, value: str) -> None:
    """The message has the field, the beginning of the value, and what was expected."""
    ports = await open_ports()

    _, body = await ports.fetch("/generate", method="POST", body={**BODY, "priority": value[:500]})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ports.call(priority=value).read()

    message = f"priority: got {value[:40]!r}, {PRIORITY}"
    assert json.loads(body)["error"] == {"type": "invalid_request", "message": message, "field": "priority"}
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, message)
    assert ports.broker.tasks == []


def test_an_empty_priority_is_none_of_the_three() -> None:
    """In JSON, where leaving it out is another thing."""
    with pytest.raises(InvalidRequest, match=f"^priority: got '', {PRIORITY}$"):
        check_priority("")


async def test_fallbacks_are_model_codes(open_ports: Open) -> None:
    """They replace the configured ones; an empty list in JSON means none, which protobuf cannot say."""
    ports = await open_ports()
    ports.broker.script = ending(None)

    for fallbacks in (["c"], []):
        await ports.fetch("/generate", method="POST", body={**BODY, "fallbacks": fallbacks})
        await ports.call(fallbacks=fallbacks).read()

    assert [[route.code for route in task.fallbacks] for task in ports.broker.tasks] == [["c"], ["c"], [], ["b", "c"]]


@pytest.mark.parametrize(
    ("fallbacks", "field", "message"),
    [
        (["b", "d"], "fallbacks[1]", "fallbacks[1]: there is no model 'd'. The models are: a, b, c"),
        (["a"], "fallbacks[0]", "fallbacks[0]: 'a' is asked for already; name each model once"),
    ],
)
async def test_a_bad_fallback_is_refused(open_ports: Open, fallbacks: list[str], field: str, message: str) -> None:
    """With its place in the list."""
    ports = await open_ports()

    _, body = await ports.fetch("/generate", method="POST", body={**BODY, "fallbacks": fallbacks})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ports.call(fallbacks=fallbacks).read()

    assert json.loads(body)["error"] == {"type": "invalid_request", "message": message, "field": field}
    assert caught.value.details() == message
    assert dict(caught.value.trailing_metadata() or ())["synapse-field"] == field


@pytest.mark.parametrize("fallbacks", ['"b"', "[5]", "{}"])
async def test_fallbacks_of_another_type_are_refused(open_ports: Open, fallbacks: str) -> None:
    """By the words for JSON that breaks the schema."""
    ports = await open_ports()

    _, body = await ports.fetch("/generate", method="POST", body={**BODY, "fallbacks": json.loads(fallbacks)})

    assert json.loads(body)["error"]["field"] in {"fallbacks", "fallbacks[0]"}


@pytest.mark.parametrize(("fallen_to", "code"), [(None, "a"), ("b", "b")])
async def test_an_answer_names_the_model_that_gave_it(open_ports: Open, fallen_to: str | None, code: str) -> None:
    """The asked one or a fallback; in the whole answer and in the last of a stream, on both ports."""
    ports = await open_ports()
    ports.broker.script = ending(fallen_to)

    _, whole = await ports.fetch("/generate", method="POST", body=BODY)
    _, stream = await ports.fetch("/generate", method="POST", body={**BODY, "stream": True})
    messages = [await ports.call(stream=streamed).read() for streamed in (False, True)]

    assert json.loads(whole)["model_code"] == code
    last = json.loads(stream.decode().rpartition("data: ")[2])
    assert (last["text"], last["model_code"], last["finish_reason"]) == ("", code, "stop")
    assert [message.model_code for message in messages] == [code, code]
