"""What is sent, and what comes back, with both clients."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synapse import GenerationConfig, GenerationResult, InvalidRequest, PayloadTooLarge, Usage
from synapse.protos import generate_pb2 as pb
from synapse.testing.grpc_server import ScriptedServer, chunk, keepalive

if TYPE_CHECKING:
    from conftest import Connect

PNG = b"\x89PNG\r\n\x1a\n and so on"
TASK = {"prompt": "Why?", "model_code": "sim/echo"}
LAST = pb.Response(
    chunk="!",
    finish_reason="stop",
    usage=pb.Usage(input_tokens=1, output_tokens=2, thinking_tokens=3, cached_tokens=4, total_tokens=5),
    task_id="t-1",
)


async def test_pieces_come_in_order_and_the_last_says_how_it_ended(connect: Connect) -> None:
    """Pieces, keepalives and the end are told apart; the end has reason, usage and id."""
    async with ScriptedServer([keepalive(), chunk("Hel"), chunk("lo"), LAST]) as server:
        results = [result async for result in connect(server.target).generate_task(**TASK, stream=True)]

    assert results == [
        GenerationResult(is_keep_alive=True),
        GenerationResult(text="Hel"),
        GenerationResult(text="lo"),
        GenerationResult(
            text="!",
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=2, thinking_tokens=3, cached_tokens=4, total_tokens=5),
            task_id="t-1",
        ),
    ]


async def test_each_piece_comes_as_soon_as_it_is_sent(connect: Connect) -> None:
    """A piece is there while the server still holds back the next."""
    held_back = asyncio.Event()
    async with ScriptedServer([chunk("first"), held_back, chunk("second")]) as server:
        results = connect(server.target).generate_task(**TASK)

        first = await anext(results)
        held_back.set()
        second = await anext(results)

    assert (first.text, second.text) == ("first", "second")


async def test_a_server_that_knows_only_the_first_fields_is_understood(connect: Connect) -> None:
    """Without finish_reason, usage and task_id there is still the text."""
    async with ScriptedServer([keepalive(), chunk("old"), chunk(" times")]) as server:
        result = await connect(server.target).generate(**TASK)

    assert result == GenerationResult(text="old times", finish_reason=None, usage=None, task_id="")


async def test_only_the_first_fields_are_sent_where_nothing_else_was_asked_for(connect: Connect) -> None:
    """A server that knows only the published fields meets no others."""
    async with ScriptedServer([chunk("")]) as server:
        await connect(server.target).generate(**TASK, config={"top_k": 4}, images=[PNG])

    assert {field.number for field, _ in server.requests[0].ListFields()} <= {1, 2, 3, 4, 5}


async def test_generate_returns_the_whole_answer_and_asks_for_it_whole(connect: Connect) -> None:
    """Keepalives leave no trace; the end's fields are kept; the request says stream=false."""
    async with ScriptedServer([keepalive(), chunk("Hello"), keepalive(), LAST]) as server:
        result = await connect(server.target).generate(**TASK)

    assert (result.text, result.is_keep_alive, result.finish_reason) == ("Hello!", False, "stop")
    assert (result.usage, result.task_id) == (Usage(1, 2, 3, 4, 5), "t-1")
    assert server.requests[0].stream is False


async def test_everything_a_caller_gives_arrives(connect: Connect, tmp_path: Path) -> None:
    """Prompt, model, stream, config, images, times and metadata reach the server."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(PNG)
    config = GenerationConfig(temperature=0.5, top_p=0.25, top_k=4, output_length=64)
    async with ScriptedServer([chunk("")]) as server:
        client = connect(server.target, metadata={"X-Team": "blue"})
        task = client.generate_task(
            **TASK,
            stream=True,
            config=config,
            images=[b"GIF89a", picture, str(picture)],
            max_wait=0,
            timeout=30.5,
        )
        _ = [result async for result in task]

    assert server.requests == [
        pb.Request(
            prompt="Why?",
            model_code="sim/echo",
            stream=True,
            config=pb.GenerationConfig(temperature=0.5, top_p=0.25, top_k=4, output_length=64),
            images=[b"GIF89a", PNG, PNG],
            max_wait=0,
            timeout=30.5,
        )
    ]
    assert server.metadata[0]["x-team"] == "blue"


async def test_a_mapping_is_as_good_as_a_config(connect: Connect) -> None:
    """Names of a mapping are those of GenerationConfig; None leaves a choice open."""
    async with ScriptedServer([chunk("")]) as server:
        await connect(server.target).generate(**TASK, config={"temperature": 1, "output_length": 9, "top_p": None})

    assert server.requests[0].config == pb.GenerationConfig(temperature=1, output_length=9)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"config": {"temprature": 0.5}}, "config.temprature"),
        ({"config": {"temperature": "hot"}}, "config.temperature"),
        ({"config": GenerationConfig(output_length=2**31)}, "config.output_length"),
        ({"config": GenerationConfig(output_length=1.5)}, "config.output_length"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "half a pair \ud800"}, "prompt"),
        ({"model_code": 7}, "model_code"),
        ({"images": PNG}, "images"),
        ({"images": "picture.png"}, "images"),
        ({"images": [PNG, 7]}, "images[1]"),
        ({"images": ["no/such/file.png"]}, "images[0]"),
        ({"images": ["nul\0byte"]}, "images[0]"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"max_wait": -1}, "max_wait"),
        ({"max_wait": float("inf")}, "max_wait"),
    ],
)
async def test_what_cannot_be_sent_is_refused_by_name(connect: Connect, wrong: dict[str, object], field: str) -> None:
    """A wrong name or value never reaches the server, and the error says which it was."""
    async with ScriptedServer([chunk("")]) as server:
        with pytest.raises(InvalidRequest) as caught:
            await connect(server.target).generate(**{**TASK, **wrong})

    assert caught.value.field == field
    assert field in caught.value.message
    assert server.requests == []


async def test_an_unknown_config_name_is_answered_with_the_known_ones(connect: Connect) -> None:
    """Who mistyped a name can read the right one."""
    with pytest.raises(InvalidRequest, match="temperature, top_p, top_k, output_length"):
        await connect("localhost:1").generate(**TASK, config={"temprature": 1})


async def test_a_prompt_is_never_in_an_error(connect: Connect) -> None:
    """A prompt that cannot be sent is described, not shown."""
    with pytest.raises(InvalidRequest) as caught:
        await connect("localhost:1").generate(prompt=["my secret"], model_code="m")

    assert "secret" not in str(caught.value)


async def test_a_hundred_megabytes_go_both_ways(connect: Connect) -> None:
    """The largest messages that servers take are sent and received."""
    image, text = bytes(100_000_000), "x" * 100_000_000
    async with ScriptedServer([chunk(text)]) as server:
        result = await connect(server.target).generate(**TASK, images=[image])

    assert result.text == text
    assert server.requests[0].images[0] == image


async def test_a_request_beyond_the_limit_is_refused_before_it_is_sent(connect: Connect) -> None:
    """More than 100 MiB is PayloadTooLarge, at once."""
    async with ScriptedServer([chunk("")]) as server:
        with pytest.raises(PayloadTooLarge, match="at most 104857600"):
            await connect(server.target).generate(**TASK, images=[bytes(104_857_600)])

    assert server.requests == []


async def test_an_answer_beyond_the_limit_is_an_error(connect: Connect) -> None:
    """A message that is too large is PayloadTooLarge, though the server named no error."""
    async with ScriptedServer([chunk("x" * 104_857_600)]) as server:
        with pytest.raises(PayloadTooLarge, match="larger than max"):
            await connect(server.target).generate(**TASK)


async def test_models_are_listed_in_the_servers_order(connect: Connect) -> None:
    """The list is the server's."""
    async with ScriptedServer(models=["sim/lorem", "sim/echo"]) as server:
        assert await connect(server.target).list_models() == ["sim/lorem", "sim/echo"]


async def test_one_client_carries_many_tasks_at_once(connect: Connect) -> None:
    """Tasks of one client wait for the server together, not for one another."""
    go = asyncio.Event()
    async with ScriptedServer([keepalive(), go, chunk("done")]) as server:
        client = connect(server.target)
        streams = [client.generate_task(**TASK) for _ in range(8)]
        for stream in streams:
            await anext(stream)

        go.set()
        answers = [[result.text async for result in stream] for stream in streams]

    assert answers == [["done"]] * 8
    assert len(server.requests) == 8
