"""The key by which a server knows the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio
import pytest

from synapse import InvalidRequest
from synapse.protos import generate_pb2 as pb
from synapse.testing.grpc_server import ScriptedServer, chunk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Connect

TASK = {"prompt": "Why?", "model_code": "sim/echo"}
VARIABLE = "SYNAPSE_API_KEY"


class Models(grpc.GenericRpcHandler):
    """Lists no models, and remembers what went along with the question."""

    def __init__(self) -> None:
        """Begin before the first question."""
        self.target = ""
        self.metadata: dict[str, str | bytes] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Answer any method."""
        self.metadata = dict(handler_call_details.invocation_metadata)

        async def answer(_: bytes, __: object) -> bytes:
            return pb.ListModelsResponse().SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    """Run a server that answers `list_models`."""
    handler = Models()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    handler.target = f"localhost:{server.add_insecure_port('localhost:0')}"
    await server.start()
    yield handler
    await server.stop(None)


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


async def sent(connect: Connect, **server: object) -> str | bytes | None:
    """Return the `authorization` that comes along with a task."""
    async with ScriptedServer([chunk("so")]) as scripted:
        await connect(scripted.target, **server).generate(**TASK)
    return scripted.metadata[0].get("authorization")


async def test_a_key_goes_along_with_a_task(connect: Connect) -> None:
    """It is a bearer of the header that the REST port reads, too."""
    assert await sent(connect, api_key="team-blue-1") == "Bearer team-blue-1"


async def test_a_key_goes_along_when_the_models_are_listed(connect: Connect, models: Models) -> None:
    """Which models there are depends on who asks."""
    await connect(models.target, api_key="team-blue-1").list_models()

    assert models.metadata["authorization"] == "Bearer team-blue-1"


async def test_the_key_is_that_of_the_variable(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says nothing sends the key of the environment, without the line end that files leave there."""
    monkeypatch.setenv(VARIABLE, "team-red-2\n")

    assert await sent(connect) == "Bearer team-red-2"


@pytest.mark.parametrize(
    ("server", "authorization"),
    [
        ({"api_key": "team-blue-1"}, "Bearer team-blue-1"),
        ({"metadata": {"Authorization": "Bearer mine"}}, "Bearer mine"),
        ({"api_key": ""}, None),
    ],
    ids=["api_key", "metadata", "an empty one"],
)
async def test_what_is_given_wins_over_the_variable(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, server: dict[str, object], authorization: str | None
) -> None:
    """One key goes along, the one that was meant; an empty one means none."""
    monkeypatch.setenv(VARIABLE, "team-red-2")

    assert await sent(connect, **server) == authorization


async def test_without_a_key_none_is_sent(connect: Connect) -> None:
    """A server that tells no callers apart gets no header."""
    assert await sent(connect) is None


def test_two_keys_are_refused(connect: Connect) -> None:
    """Nobody could tell which of them counts."""
    with pytest.raises(InvalidRequest) as caught:
        connect("localhost:1", api_key="my-secret", metadata={"authorization": "Bearer my-secret"})

    assert caught.value.field == "api_key"
    assert "my-secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["my-secret é", "my secret"])
def test_what_cannot_be_a_key_is_refused_unseen(connect: Connect, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The error says where it stands, and never shows it."""
    with pytest.raises(InvalidRequest, match="api_key is no key") as given:
        connect("localhost:1", api_key=key)
    monkeypatch.setenv(VARIABLE, key)
    with pytest.raises(InvalidRequest, match="SYNAPSE_API_KEY is no key") as found:
        connect("localhost:1")

    assert key not in f"{given.value} {found.value}"
