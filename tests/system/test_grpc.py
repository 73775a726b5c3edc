"""The gRPC port, as its callers meet it, those of years ago included."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from callers import calling, stream_over_grpc, stream_over_rest
from dialect import USAGE, answering, delta, said
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from stack import eventually, openai

from synapse.protos import generate_pb2 as pb
from synapse.testing.upstream import HANG, events, head

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from stack import Stack, Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE_SLOT = {"concurrency_multiplier": 1}


def usage(message: pb.Response) -> dict[str, float | None]:
    """Return the usage of a message as plain numbers."""
    cost = message.usage.cost if message.usage.HasField("cost") else None
    return {**{name: getattr(message.usage, name) for name in USAGE}, "cost": cost}


async def test_a_whole_answer_is_one_message(start: Start) -> None:
    """It has the text, the task's id, the reason and the usage."""
    stack = await start(answering("All is well."))

    messages = [message async for message in calling(stack)]

    (message,) = messages
    assert (message.type, message.chunk, message.finish_reason) == (pb.Response.CHUNK, "All is well.", "stop")
    assert usage(message) == USAGE
    assert message.task_id.startswith("task_")


async def test_a_stream_is_a_message_for_each_piece_that_comes(start: Start) -> None:
    """Words are passed on as they come; the last message has the reason and the usage, and the text come with them."""
    heard = asyncio.Event()
    stack = await start([head(), *events(delta("All")), heard, *said(" is well.")[1:]])
    answer = aiter(calling(stack, stream=True))

    messages = [await anext(answer)]
    heard.set()
    messages += [message async for message in answer]

    assert [message.chunk for message in messages] == ["All", " is well."]
    assert [message.HasField("finish_reason") for message in messages] == [False, True]
    assert (messages[-1].finish_reason, usage(messages[-1])) == ("stop", USAGE)
    assert len({message.task_id for message in messages}) == 1


async def test_models_are_listed_in_the_order_of_the_configuration(start: Start) -> None:
    """Every code of every provider."""
    stack = await start(
        models=lambda upstream: {"up": openai(upstream, "z", "a"), "sim": {"type": "simulator", "codes": ["sim/echo"]}}
    )

    assert await stack.client.list_models() == ["z", "a", "sim/echo"]


async def test_what_is_asked_reaches_the_provider(start: Start) -> None:
    """Every field of the request goes out; single-precision numbers as the decimal ones that were meant."""
    stack = await start(answering("All is well."))
    config = {"temperature": 0.7, "top_p": 0.95, "top_k": 40, "output_length": 123}

    await stream_over_grpc(stack, prompt="Grüße 👍", config=config)

    assert json.loads(stack.upstream.calls[0].body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Grüße 👍"}],
        "temperature": 0.7,
        "top_p": 0.95,
        "top_k": 40,
        "max_tokens": 123,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_a_waiting_call_shows_that_it_lives(start: Start, stream: bool) -> None:  # noqa: FBT001
    """KEEPALIVE messages come while the task waits for its turn."""
    release = asyncio.Event()
    stack = await start(
        [release, *said("First.")], answering("Next."), worker=ONE_SLOT, server={"keepalive_seconds": 0.05}
    )
    first = asyncio.create_task(stream_over_rest(stack))
    await stack.upstream.called(1)
    answer = aiter(calling(stack, stream=stream))

    alive = [await anext(answer) for _ in range(3)]
    release.set()
    rest = [message async for message in answer if message.type == pb.Response.CHUNK]

    assert [message.type for message in alive] == [pb.Response.KEEPALIVE] * 3
    assert {message.chunk for message in alive} == {""}
    assert {message.task_id for message in alive} == {rest[0].task_id}
    assert "".join(message.chunk for message in rest) == "Next."
    await first


async def test_a_silent_stream_shows_that_it_lives(start: Start) -> None:
    """KEEPALIVE messages come while the provider is silent between two words."""
    stack = await start([head(), *events(delta("All")), HANG], server={"keepalive_seconds": 0.05})
    call = calling(stack, stream=True)

    messages = [await call.read() for _ in range(4)]

    assert [message.chunk for message in messages] == ["All", "", "", ""]
    assert [message.type for message in messages] == [pb.Response.CHUNK] + [pb.Response.KEEPALIVE] * 3
    call.cancel()


@pytest.mark.parametrize("stream", [True, False])
async def test_waits_and_timeouts_can_be_chosen(start: Start, stream: bool) -> None:  # noqa: FBT001
    """`max_wait` and `timeout` of a request end it with DEADLINE_EXCEEDED and the error's own name."""
    stack = await start([HANG], worker=ONE_SLOT)
    busy = asyncio.create_task(stream_over_grpc(stack, timeout=0.4))
    await stack.upstream.called(1)
    call = calling(stack, stream=stream, max_wait=0.05)

    with pytest.raises(grpc.aio.AioRpcError) as waited:
        await call.read()
    worked = (await busy).failed

    assert waited.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert dict(waited.value.trailing_metadata() or ())["synapse-error"] == "expired"
    assert worked.type == "timed_out"


async def test_a_full_queue_is_resource_exhausted(start: Start) -> None:
    """The trailing metadata says when to come back."""
    stack = await start([HANG], worker=ONE_SLOT, queue={"max_size": 1})
    calls = [calling(stack, stream=True)]
    await stack.upstream.called(1)
    calls.append(calling(stack, stream=True))
    await eventually(lambda: stack.app.broker.stats().held == 2)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await calling(stack).read()

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(refused.value.trailing_metadata() or ())["retry-after"] == "1.000"
    for call in calls:
        call.cancel()


async def test_health_is_told_in_the_standard_way(start: Start) -> None:
    """Both the server and its service are serving."""
    stack = await start()
    health = health_pb2_grpc.HealthStub(stack.channel)

    answers = [await health.Check(health_pb2.HealthCheckRequest(service=name)) for name in ("", "synapse.Generate")]

    assert {answer.status for answer in answers} == {health_pb2.HealthCheckResponse.SERVING}


async def test_services_are_listed_by_reflection(start: Start) -> None:
    """Tools find out by themselves what there is, and how to ask for it."""
    stack = await start()
    reflection = reflection_pb2_grpc.ServerReflectionStub(stack.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="synapse.Generate"),
    ]

    listed, found = [answer async for answer in reflection.ServerReflectionInfo(iter(asked))]

    names = {service.name for service in listed.list_services_response.service}
    assert {"synapse.Generate", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names
    file = descriptor_pb2.FileDescriptorProto.FromString(found.file_descriptor_response.file_descriptor_proto[0])
    assert [method.name for method in file.service[0].method] == ["GenerateTask", "ListModels"]


FieldType = descriptor_pb2.FieldDescriptorProto
PUBLISHED = {
    "GenerationConfig": [
        ("temperature", FieldType.TYPE_FLOAT),
        ("top_p", FieldType.TYPE_FLOAT),
        ("top_k", FieldType.TYPE_FLOAT),
        ("output_length", FieldType.TYPE_INT32),
    ],
    "Request": [
        ("prompt", FieldType.TYPE_STRING),
        ("model_code", FieldType.TYPE_STRING),
        ("stream", FieldType.TYPE_BOOL),
        ("config", FieldType.TYPE_MESSAGE),
        ("images", FieldType.TYPE_BYTES),
    ],
    "Response": [("type", FieldType.TYPE_INT32), ("chunk", FieldType.TYPE_STRING)],
    "ListModelsRequest": [],
    "ListModelsResponse": [("models", FieldType.TYPE_STRING)],
}
"""The contract as it was first published: each message's fields, numbered from 1."""
REPEATED = {"images", "models"}


def published(name: str) -> type[Message]:
    """Return a message's class as a client of the first days has it, without anything added since."""
    file = descriptor_pb2.FileDescriptorProto(name="published.proto", package="synapse", syntax="proto3")
    for message, fields in PUBLISHED.items():
        kind = file.message_type.add(name=message)
        for number, (field, field_type) in enumerate(fields, start=1):
            label = FieldType.LABEL_REPEATED if field in REPEATED else FieldType.LABEL_OPTIONAL
            added = kind.field.add(name=field, number=number, type=field_type, label=label)
            if field_type == FieldType.TYPE_MESSAGE:
                added.type_name = ".synapse.GenerationConfig"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"synapse.{name}"))


async def ask_as_of_old(stack: Stack, **fields: object) -> list[Message]:
    """Call GenerateTask with the published contract alone; return what comes."""
    start = stack.channel.unary_stream(
        "/synapse.Generate/GenerateTask",
        request_serializer=published("Request").SerializeToString,
        response_deserializer=published("Response").FromString,
    )
    return [message async for message in start(published("Request")(model_code="m", **fields))]


async def test_an_old_client_reads_a_whole_answer(start: Start) -> None:
    """What was added since is ignored: one message, type CHUNK, the whole text."""
    stack = await start(answering("All is well."))

    (message,) = await ask_as_of_old(stack, prompt="Say it.", config={"temperature": 0.5, "output_length": 9})

    assert (message.type, message.chunk) == (0, "All is well.")  # type: ignore[attr-defined]
    body = json.loads(stack.upstream.calls[0].body)
    assert (body["temperature"], body["max_tokens"]) == (0.5, 9)


async def test_an_old_client_reads_a_stream(start: Start) -> None:
    """All its messages are chunks, and joined they are the text."""
    stack = await start(answering("All is well."))

    messages = await ask_as_of_old(stack, prompt="Say it.", stream=True, images=[b"\x89PNG\r\n\x1a\n"])

    assert {message.type for message in messages} == {0}  # type: ignore[attr-defined]
    assert "".join(message.chunk for message in messages) == "All is well."  # type: ignore[attr-defined]
    assert b"data:image/png;base64," in stack.upstream.calls[0].body


async def test_an_old_client_lists_the_models(start: Start) -> None:
    """The list is a repeated string, as ever."""
    stack = await start()
    ask = stack.channel.unary_unary(
        "/synapse.Generate/ListModels",
        request_serializer=published("ListModelsRequest").SerializeToString,
        response_deserializer=published("ListModelsResponse").FromString,
    )

    assert list((await ask(published("ListModelsRequest")())).models) == ["m"]
