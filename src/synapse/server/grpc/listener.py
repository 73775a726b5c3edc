"""The gRPC server: our service, and the standard ones for health and reflection."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from synapse.server.callers import EVERYBODY, Callers
from synapse.server.grpc.generate import SERVICE, GenerateService
from synapse.server.sockets import bind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from synapse.service import Service

MESSAGE_LIMIT = 100 * 1024 * 1024
"""Bytes of one message, either way; what the published contract promises."""
_FRAMING = 1024 * 1024
"""Bytes on top of that for what surrounds a payload of the full size."""


def _is_news(record: logging.LogRecord) -> bool:
    """Tell whether a line of gRPC's is to be logged: it takes a caller that goes before it has read for a fault."""
    return not record.getMessage().startswith("ExecuteBatchError")


class GrpcPort:
    """The running server."""

    def __init__(self, port: int, status: health.aio.HealthServicer) -> None:
        """Take the port it listens on and the health service."""
        self.port = port
        self._status = status

    async def refuse(self) -> None:
        """Tell health checks that nothing new is taken."""
        await self._status.enter_graceful_shutdown()


@contextlib.asynccontextmanager
async def listening(
    service: Service,
    host: str,
    port: int,
    *,
    keepalive_seconds: float,
    tls: tuple[str, str] | None = None,
    callers: Callers = EVERYBODY,
) -> AsyncIterator[GrpcPort]:
    """Serve those who may call while the block runs; the port is a free one where 0 was asked for.

    Health and reflection are for everybody.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", MESSAGE_LIMIT + _FRAMING),
            ("grpc.max_send_message_length", MESSAGE_LIMIT + _FRAMING),
            ("grpc.so_reuseport", 0),
        )
    )
    generate = GenerateService(service, keepalive_seconds=keepalive_seconds, callers=callers)
    server.add_generic_rpc_handlers((generate.handlers(),))
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    bound = _bind(server, host, port, tls)
    await server.start()
    for name in ("", SERVICE):
        await status.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield GrpcPort(bound, status)
    finally:
        await server.stop(grace=1.0)


def _bind(server: grpc.aio.Server, host: str, port: int, tls: tuple[str, str] | None) -> int:
    bind(host, port, "gRPC").close()  # gRPC would keep the reason of a refusal to itself
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls is None:
            return server.add_insecure_port(address)
        certificate, key = (Path(path).read_bytes() for path in tls)
        return server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    except RuntimeError as exc:
        raise OSError(f"cannot listen on {address} for gRPC: {exc}") from exc
