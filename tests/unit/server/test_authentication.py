"""Who is let in, on both ports, and to what."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from synapse.domain.caller import ANONYMOUS, Band, Caller
from synapse.domain.events import Delta, Finish, FinishReason
from synapse.server.callers import Callers

if TYPE_CHECKING:
    from conftest import Open

APP = Caller("app", band=Band.STANDARD, models=frozenset({"a", "b"}))
OPS = Caller("ops", admin=True)
CALLERS = Callers({hashlib.sha256(caller.name.encode()).digest(): caller for caller in (APP, OPS)})
"""Their keys are their names."""
BODY = {"prompt": "Why?", "model_code": "a"}
ANSWER = (((1, 1), Delta("Because.")), ((1, 2), Finish(FinishReason.STOP)))
NO_KEY = "no key came along, and this server answers only callers it knows"
WRONG_KEY = "the key that came along is that of no caller of this server"


async def test_a_known_caller_is_answered_over_http(open_ports: Open) -> None:
    """Whichever header its key comes in; its tasks are its own."""
    ports = await open_ports(CALLERS)
    ports.broker.script = ANSWER

    answers = [
        await ports.fetch("/generate", method="POST", body=BODY, headers=headers)
        for headers in ({"Authorization": "Bearer app"}, {"x-api-key": "ops"})
    ]

    assert [(response.status, json.loads(body)["text"]) for response, body in answers] == [(200, "Because.")] * 2
    assert [(task.caller, task.band) for task in ports.broker.tasks] == [(APP, Band.STANDARD), (OPS, Band.INTERACTIVE)]


async def test_a_known_caller_is_answered_over_grpc(open_ports: Open) -> None:
    """Its key comes in the call's metadata."""
    ports = await open_ports(CALLERS)
    ports.broker.script = ANSWER

    messages = [message async for message in ports.call(key="app")]

    assert [message.chunk for message in messages] == ["Because."]
    assert [task.caller for task in ports.broker.tasks] == [APP]


async def test_without_callers_everybody_is_answered(open_ports: Open) -> None:
    """A key that comes along is not looked at."""
    ports = await open_ports()
    ports.broker.script = ANSWER

    response, _ = await ports.fetch("/generate", method="POST", body=BODY, headers={"x-api-key": "whatever"})
    messages = [message async for message in ports.call(key="whatever")]

    assert response.status == 200
    assert len(messages) == 1
    assert [task.caller for task in ports.broker.tasks] == [ANONYMOUS, ANONYMOUS]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, NO_KEY),
        ({"Authorization": "Basic YXBw"}, NO_KEY),
        ({"Authorization": "Bearer secret"}, WRONG_KEY),
        ({"x-api-key": "secret"}, WRONG_KEY),
    ],
)
async def test_a_stranger_is_refused_over_http(open_ports: Open, headers: dict[str, str], message: str) -> None:
    """With 401, the scheme to use, and never the key; also where the request itself is wrong."""
    ports = await open_ports(CALLERS)

    for method, path in (("POST", "/generate"), ("GET", "/models"), ("GET", "/admin/keys")):
        response, body = await ports.fetch(path, method=method, headers=headers, body={})

        assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")
        error = json.loads(body)["error"]
        assert error["type"] == "unauthenticated"
        assert error["message"].startswith(message)
        assert b"secret" not in body
    assert ports.broker.tasks == []


@pytest.mark.parametrize(("key", "message"), [(None, NO_KEY), ("secret", WRONG_KEY)])
async def test_a_stranger_is_refused_over_grpc(open_ports: Open, key: str | None, message: str) -> None:
    """With UNAUTHENTICATED, for either method."""
    ports = await open_ports(CALLERS)

    with pytest.raises(grpc.aio.AioRpcError) as generating:
        await ports.call(key=key).read()
    with pytest.raises(grpc.aio.AioRpcError) as listing:
        await ports.list_models(key=key)

    for caught in (generating, listing):
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert (caught.value.details() or "").startswith(message)
        assert dict(caught.value.trailing_metadata() or ())["synapse-error"] == "unauthenticated"
    assert ports.broker.tasks == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_who_asks_how_the_server_is_needs_no_key(open_ports: Open, path: str) -> None:
    """Load balancers have none."""
    ports = await open_ports(CALLERS)

    assert (await ports.fetch(path))[0].status == 200


async def test_grpcs_health_and_reflection_need_no_key(open_ports: Open) -> None:
    """Nor do the tools that ask for them."""
    ports = await open_ports(CALLERS)
    health = health_pb2_grpc.HealthStub(ports.channel)
    reflection = reflection_pb2_grpc.ServerReflectionStub(ports.channel)
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]

    status = (await health.Check(health_pb2.HealthCheckRequest(service="synapse.Generate"))).status
    (listed,) = [answer async for answer in reflection.ServerReflectionInfo(iter(asked))]

    assert status == health_pb2.HealthCheckResponse.SERVING
    assert "synapse.Generate" in {service.name for service in listed.list_services_response.service}


@pytest.mark.parametrize(("key", "models"), [("app", ["a", "b"]), ("ops", ["a", "b", "c"])])
async def test_a_caller_sees_the_models_it_may_use(open_ports: Open, key: str, models: list[str]) -> None:
    """The same on both ports."""
    ports = await open_ports(CALLERS)

    _, body = await ports.fetch("/models", headers={"Authorization": f"Bearer {key}"})

    assert json.loads(body) == {"models": models}
    assert await ports.list_models(key=key) == models


async def test_a_model_of_others_is_forbidden(open_ports: Open) -> None:
    """With 403 and PERMISSION_DENIED; the message names those that are allowed."""
    ports = await open_ports(CALLERS)
    body = {**BODY, "model_code": "c"}

    response, answer = await ports.fetch("/generate", method="POST", body=body, headers={"x-api-key": "app"})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ports.call(key="app", model_code="c").read()

    message = "model_code: the caller 'app' may not use the model 'c'; it may use a, b"
    assert response.status == 403
    assert json.loads(answer)["error"] == {"type": "permission_denied", "message": message, "field": "model_code"}
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.PERMISSION_DENIED, message)


async def test_a_strangers_body_is_not_waited_for(open_ports: Open) -> None:
    """It is refused on its headers alone, however much it would send."""
    ports = await open_ports(CALLERS)

    async def endless() -> AsyncIterator[bytes]:
        yield b'{"prompt": "'
        await refused.wait()

    refused = asyncio.Event()
    async with ports.session.post(f"{ports.http}/generate", data=endless()) as response:
        refused.set()

    assert response.status == 401
