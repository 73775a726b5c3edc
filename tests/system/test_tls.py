"""Both ports with a certificate."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio
import trustme

from synapse import AsyncClient, Client, ConnectionFailed

if TYPE_CHECKING:
    from pathlib import Path

    from process import Process
    from stack import Launch, Tree

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIMULATOR: Tree = {"simulator": {"codes": ["sim/echo"], "tokens_per_second": 0}}


@pytest.fixture
def authority() -> trustme.CA:
    """Return who is trusted."""
    return trustme.CA()


@pytest_asyncio.fixture(loop_scope="session")
async def server(launch: Launch, authority: trustme.CA, tmp_path: Path) -> Process:
    """Run `synapse serve` with a certificate of that authority; paths are relative to the configuration file."""
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    return await launch(SIMULATOR, server={"tls": {"cert": "cert.pem", "key": "key.pem"}})


async def test_rest_is_answered_over_tls(server: Process, authority: trustme.CA) -> None:
    """The ready line says https, and who trusts the authority is answered, whole and streamed."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    body = {"prompt": "Say it.", "model_code": "sim/echo"}

    assert server.http.startswith("https://127.0.0.1:")
    async with server.caller.post(f"{server.http}/generate", json=body, ssl=context) as response:
        assert (await response.json())["text"] == "Say it."
    async with server.caller.post(f"{server.http}/generate", json={**body, "stream": True}, ssl=context) as response:
        assert b'data: {"text":"Say it."}' in await response.read()


async def test_rest_without_trust_is_refused_by_the_caller(server: Process) -> None:
    """The certificate is the one that was given, not one that anybody has."""
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await server.caller.get(f"{server.http}/models")


async def test_grpc_is_answered_over_tls(server: Process, authority: trustme.CA) -> None:
    """Both clients connect with the authority's certificate."""
    root = authority.cert_pem.bytes()

    async with AsyncClient(server.grpc, root_certificates=root) as client:
        assert (await client.generate(prompt="Say it.", model_code="sim/echo")).text == "Say it."
    assert await asyncio.to_thread(ask_in_a_thread, server.grpc, root) == "Say it."


def ask_in_a_thread(target: str, root: bytes) -> str:
    """Ask with the client for threads."""
    with Client(target, root_certificates=root) as client:
        return client.generate(prompt="Say it.", model_code="sim/echo").text


async def test_grpc_without_trust_or_without_tls_is_refused(server: Process) -> None:
    """A stranger's authority is as little use as no TLS at all, and the error says that there is no connection."""
    for client in (AsyncClient(server.grpc, root_certificates=trustme.CA().cert_pem.bytes()), AsyncClient(server.grpc)):
        async with client:
            with pytest.raises(ConnectionFailed):
                await client.list_models(timeout=5)
