"""Callers who are told apart by their keys, from the configuration to the log."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from callers import Answer, calling, encoded, stream_over_rest
from dialect import answering, refusal, said
from stack import eventually, openai

from synapse.protos import generate_pb2 as pb

if TYPE_CHECKING:
    from process import Process
    from stack import Launch, Start

    from synapse.testing.upstream import Call

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODELS = {"simulator": {"tokens_per_second": 0, "codes": ["sim/echo", "sim/lorem"]}}
CALLERS = [
    {"name": "app", "key_env": "APP_KEY", "models": ["sim/echo"]},
    {"name": "ops", "sha256": hashlib.sha256(b"key-of-ops").hexdigest(), "band": "batch", "admin": True},
]
ENVIRON = {"APP_KEY": "key-of-app"}
BODY: dict[str, object] = {"prompt": "Say it.", "model_code": "sim/echo"}


async def fetch(
    process: Process, path: str, key: str | None, *, method: str = "GET", body: dict[str, object] | None = None
) -> Answer:
    """Ask over HTTP with a key, or without."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    data = None if body is None else encoded(body)
    async with process.caller.request(method, f"{process.http}{path}", headers=headers, data=data) as response:
        return Answer(response.status, dict(response.headers), await response.read())


def call(process: Process, key: str | None, **fields: object) -> grpc.aio.UnaryStreamCall:
    """Call GenerateTask with a key, or without."""
    start = process.channel.unary_stream(
        "/synapse.Generate/GenerateTask",
        request_serializer=pb.Request.SerializeToString,
        response_deserializer=pb.Response.FromString,
    )
    metadata = () if key is None else (("authorization", f"Bearer {key}"),)
    return start(pb.Request(**{**BODY, **fields}), metadata=metadata)  # type: ignore[arg-type]


async def test_callers_are_known_on_both_ports_and_in_the_log(launch: Launch) -> None:
    """A key is taken from the environment or known by its digest; the log has names and never a key."""
    process = await launch(MODELS, environ=ENVIRON, server={"callers": CALLERS})

    app = await fetch(process, "/generate", "key-of-app", method="POST", body=BODY)
    ops = [message async for message in call(process, "key-of-ops", model_code="sim/lorem")]
    strangers = [await fetch(process, "/generate", key, method="POST", body=BODY) for key in (None, "key-of-nobody")]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(process, "key-of-nobody").read()
    process.child.terminate()
    await process.ended()

    assert app.status == 200
    assert "".join(message.chunk for message in ops)
    assert [answer.status for answer in strangers] == [401, 401]
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert [(line["caller"], line["model"]) for line in process.events("task")] == [
        ("app", "sim/echo"),
        ("ops", "sim/lorem"),
    ]
    assert "key-of" not in process.log


async def test_a_caller_sees_and_uses_what_is_its_own(launch: Launch) -> None:
    """Models are listed and answered by what the caller may use; the keys are for admins alone."""
    process = await launch(MODELS, environ=ENVIRON, server={"callers": CALLERS})

    app, ops = [await fetch(process, "/models", key) for key in ("key-of-app", "key-of-ops")]
    forbidden = await fetch(process, "/generate", "key-of-app", method="POST", body={**BODY, "model_code": "sim/lorem"})
    keys = [await fetch(process, "/admin/keys", key) for key in (None, "key-of-app", "key-of-ops")]

    assert (app.json, ops.json) == ({"models": ["sim/echo"]}, {"models": ["sim/echo", "sim/lorem"]})
    assert (forbidden.status, forbidden.error.type) == (403, "permission_denied")
    assert [answer.status for answer in keys] == [401, 403, 200]
    assert "keys" in keys[2].json
    assert (await fetch(process, "/readyz", None)).status == 200


async def test_a_connection_outlives_a_refusal(launch: Launch) -> None:
    """Who forgot the key may send the next request over the same connection, though nobody read its first body."""
    process = await launch(MODELS, environ=ENVIRON, server={"callers": CALLERS})
    port = int(process.http.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    content = encoded({**BODY, "prompt": "x" * 100_000})

    statuses = []
    for key in (b"", b"authorization: Bearer key-of-app\r\n"):
        writer.write(b"POST /generate HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n" % (key, len(content)))
        writer.write(content)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        statuses.append(head.split()[1])
    writer.close()

    assert statuses == [b"401", b"200"]


async def test_a_request_may_wait_behind_the_more_urgent(start: Start) -> None:
    """Of two that wait, the one with the more urgent priority runs first, though it came later."""
    release = asyncio.Event()
    stack = await start([release, *said("First.")], answering("Next."), worker={"concurrency_multiplier": 1})
    tasks = [asyncio.create_task(stream_over_rest(stack))]
    await stack.upstream.called(1)
    for number, priority in enumerate(("standard", "interactive"), start=1):
        tasks.append(asyncio.create_task(stream_over_rest(stack, prompt=priority, priority=priority)))
        await eventually(lambda number=number: stack.app.broker.stats().waiting == number)  # type: ignore[misc]

    release.set()
    await asyncio.gather(*tasks)

    prompts = [json.loads(call.body)["messages"][0]["content"] for call in stack.upstream.calls[1:]]
    assert prompts == ["interactive", "standard"]


async def test_a_waiting_stream_says_where_it_stands(start: Start) -> None:
    """Its place counts down as those before it go; the answer follows in the same stream."""
    first, second = asyncio.Event(), asyncio.Event()
    stack = await start(
        [first, *said("First.")],
        [second, *said("Second.")],
        answering("Third."),
        worker={"concurrency_multiplier": 1},
        server={"keepalive_seconds": 0.05},
    )
    before = [asyncio.create_task(stream_over_rest(stack))]
    await stack.upstream.called(1)
    before.append(asyncio.create_task(stream_over_rest(stack)))
    await eventually(lambda: stack.app.broker.stats().waiting == 1)
    waiting = aiter(calling(stack, stream=True))

    assert (await anext(waiting)).position == 2
    first.set()
    while (message := await anext(waiting)).position == 2:
        assert message.type == pb.Response.KEEPALIVE
    assert message.position == 1
    second.set()
    rest = [message async for message in waiting]

    assert "".join(message.chunk for message in rest) == "Third."
    assert (rest[-1].position, rest[-1].model_code) == (0, "m")
    await asyncio.gather(*before)


async def test_an_answer_may_come_from_a_fallback(start: Start) -> None:
    """Where the first choice does not exist any more, the next one answers, and is named."""

    def answer(request: Call) -> list[bytes]:
        if b'"gone"' in request.body:
            return refusal(404, "no such model")
        return answering("Here.")(request)

    stack = await start(answer, models=lambda upstream: {"up": openai(upstream, "gone", "here")})

    async with stack.caller.post(
        f"{stack.http}/generate", json={"prompt": "Say it.", "model_code": "gone", "fallbacks": ["here"]}
    ) as response:
        body = await response.json()

    assert (body["text"], body["model_code"]) == ("Here.", "here")
