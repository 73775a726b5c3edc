"""uvicorn, run by us: it neither takes the signals nor owns the loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import uvicorn

from synapse.server.sockets import bind

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
    listener = bind(host, port, "HTTP")
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
