"""Listens for callers, in the running event loop, for as long as a block lasts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from uvicorn import Config
from uvicorn.server import ServerState

from synapse.simulator.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from uvicorn._types import ASGI3Application

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75


@asynccontextmanager
async def listen(app: ASGI3Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an ASGI application and yield its URL. Leaving the block drops all connections and ends all answers.

    Not uvicorn's own `Server`: that takes over the signals of the process, looks ten times a second whether it is to
    stop, and waits for answers that will never end. Raises `OSError` where the port cannot be had.
    """
    config = Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(config, state, {}), host, port, backlog=_BACKLOG)
    try:
        yield _url(server)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.gather(*state.tasks)
        await server.wait_closed()


def _url(server: asyncio.Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
