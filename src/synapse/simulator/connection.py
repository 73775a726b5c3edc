"""A caller's connection: uvicorn's, which can also be waited on and hung up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from synapse.domain.clock import Clock


class Connection(HttpToolsProtocol):
    """Hands itself to the application as `scope["state"]["connection"]`.

    A stream waits between two tokens for whichever comes first, its time or the caller's going. The standard way, a
    task that waits for `http.disconnect`, costs every stream a task.
    """

    gone = False
    """Whether the caller has closed the connection, or we have."""
    _sleeper: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin. The narrower type of transport is uvicorn's."""
        super().connection_made(transport)
        self.app_state = {"connection": self}

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake up whoever rests."""
        self.gone = True
        self._wake()
        super().connection_lost(exc)

    async def rest(self, seconds: float | None, clock: Clock) -> bool:
        """Wait so many seconds, or for ever, or until the caller goes; return whether the caller is still there."""
        if self.gone:
            return False
        self._sleeper = self.loop.create_future()
        timer = None if seconds is None else clock.call_later(seconds, self._wake)
        try:
            await self._sleeper
        finally:
            if timer is not None:
                timer.cancel()
        return not self.gone

    async def hang_up(self, clock: Clock) -> None:
        """Send what is still to be sent, close the connection, and return when it is closed."""
        self.transport.close()
        await self.rest(None, clock)

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)
