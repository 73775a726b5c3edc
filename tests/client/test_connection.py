"""Reaching a server, and not reaching one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from synapse import AsyncClient, Client, ConnectionFailed, InvalidRequest, SynapseError
from synapse.testing.grpc_server import ScriptedServer, chunk, keepalive

if TYPE_CHECKING:
    from conftest import Connect

TASK = {"prompt": "Why?", "model_code": "sim/echo"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make a certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def credentials(authority: trustme.CA) -> grpc.ServerCredentials:
    """Make what a server for localhost proves itself with."""
    certificate = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    return grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])


@pytest.fixture
def unused_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def silent_listener() -> AsyncIterator[str]:
    """Accept connections and say nothing."""
    gone = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(hold, "localhost", 0) as server:
        yield f"localhost:{server.sockets[0].getsockname()[1]}"
        gone.set()


@pytest.mark.parametrize("call", ["generate", "list_models"])
async def test_a_server_that_is_not_there_is_an_error_at_once(connect: Connect, unused_port: int, call: str) -> None:
    """The error names the address and says how to start a server."""
    client = connect(f"localhost:{unused_port}")

    with pytest.raises(ConnectionFailed) as caught:
        await asyncio.wait_for(getattr(client, call)(**(TASK if call == "generate" else {})), 2)

    assert f"localhost:{unused_port}" in caught.value.message
    assert "synapse serve" in caught.value.message
    assert (caught.value.row.http, caught.value.row.grpc) == (503, "UNAVAILABLE")


async def test_a_listener_that_never_answers_is_given_up() -> None:
    """An address that takes the connection and says nothing does not hang the caller for long."""
    async with silent_listener() as target, AsyncClient(target) as client:
        with Client(target) as threaded:
            calls = (client.generate(**TASK), asyncio.to_thread(threaded.generate, **TASK))
            outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 9)

    assert [type(outcome) for outcome in outcomes] == [ConnectionFailed, ConnectionFailed]


async def test_a_client_finds_a_server_that_starts_later(connect: Connect, unused_port: int) -> None:
    """One failure does not keep a client from the server that comes up."""
    target = f"localhost:{unused_port}"
    client = connect(target)
    with pytest.raises(ConnectionFailed):
        await client.list_models()

    async with ScriptedServer(models=["sim/echo"], port=unused_port), asyncio.timeout(6):
        while True:
            try:
                models = await client.list_models()
            except ConnectionFailed:
                await asyncio.sleep(0.05)
            else:
                break

    assert models == ["sim/echo"]


async def test_a_server_that_dies_is_an_error(connect: Connect) -> None:
    """A broken connection ends the loop with ConnectionFailed."""
    async with ScriptedServer([keepalive(), asyncio.Event()]) as server:
        results = connect(server.target).generate_task(**TASK)
        await anext(results)

        await server.stop()

        with pytest.raises(ConnectionFailed, match=server.target):
            await anext(results)


async def test_nothing_is_connected_before_it_is_used(connect: Connect) -> None:
    """A client for an address where nothing listens can be made and closed."""
    client = connect("localhost:1")
    await client.aclose()


async def test_tls_is_spoken_with_a_server_whose_authority_is_given(
    connect: Connect, authority: trustme.CA, credentials: grpc.ServerCredentials
) -> None:
    """Root certificates turn TLS on."""
    async with ScriptedServer([chunk("safe")], credentials=credentials) as server:
        client = connect(server.target, root_certificates=authority.cert_pem.bytes())

        assert (await client.generate(**TASK)).text == "safe"


async def test_a_prefix_turns_tls_on(
    connect: Connect, authority: trustme.CA, credentials: grpc.ServerCredentials
) -> None:
    """`https://` before the address is enough to say so."""
    async with ScriptedServer([chunk("safe")], credentials=credentials) as server:
        client = connect(f"https://{server.target}", root_certificates=authority.cert_pem.bytes())

        assert (await client.generate(**TASK)).text == "safe"


async def test_a_server_of_an_unknown_authority_is_not_trusted(
    connect: Connect, credentials: grpc.ServerCredentials
) -> None:
    """`tls=True` without its authority ends in ConnectionFailed, and nothing is sent."""
    async with ScriptedServer([chunk("never")], credentials=credentials) as server:
        with pytest.raises(ConnectionFailed):
            await connect(server.target, tls=True).generate(**TASK)

    assert server.requests == []


@pytest.mark.parametrize(
    "metadata", [{"bad key": "x"}, {"authorization": "Bearer my-secret\n"}, [("key", "my-secret é")]]
)
async def test_metadata_that_cannot_be_sent_is_refused_unseen(connect: Connect, metadata: object) -> None:
    """The error says which key, and never shows the value."""
    with pytest.raises(InvalidRequest) as caught:
        connect("localhost:1", metadata=metadata)

    assert caught.value.field == "metadata"
    assert "my-secret" not in str(caught.value)


def test_connection_failed_is_in_the_tree() -> None:
    """Whoever catches SynapseError catches it."""
    assert issubclass(ConnectionFailed, SynapseError)
