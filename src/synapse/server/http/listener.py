"""uvicorn, run by us: it neither takes the signals nor owns the loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from synapse.server.http.app import HttpApp


@contextlib.asynccontextmanager
async def listening(app: HttpApp, host: str, port: int, *, tls: tuple[str, str] | None = None) -> AsyncIterator[int]:
    """Serve the application while the block runs; yields the port, which is a free one where 0 was asked for.

    On leaving, connections that answer still get a moment to finish.
    """
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        backlog=2048,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    listener = _bind(host, port)
    try:
        await server.startup(sockets=[listener])
        ticking = asyncio.get_running_loop().create_task(server.main_loop())
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await ticking
            await server.shutdown(sockets=[listener])
    finally:
        listener.close()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"cannot listen on {host}:{port} for HTTP: {exc.strerror}") from exc
    listener.settimeout(0)
    return listener
