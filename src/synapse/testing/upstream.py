"""A provider that a test scripts down to the byte, over real sockets: as slow, broken and rude as providers get.

    async with Upstream([CUT], [head(), *events(b'{"a":1}'), END]) as upstream:
        config = {"type": "openai", "base_url": upstream.url}
        …
        await upstream.closed(1)

Each request gets the next script, and those after the last script get the last one again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

TASK_NAME = "upstream"
"""The name of the event loop's tasks that play a provider, for tests that count everybody else's."""
_HEAD_LIMIT = 1024 * 1024


class Ending(Enum):
    """What becomes of the connection, where it does not stay open for the next request."""

    CUT = "cut"
    """It is reset, as by a provider that dies."""
    CLOSE = "close"
    """It is closed in good order, after all that was written."""
    HANG = "hang"
    """Nothing more comes, until the other side has had enough."""


CUT, CLOSE, HANG = Ending.CUT, Ending.CLOSE, Ending.HANG


class Pause(msgspec.Struct, frozen=True):
    """A provider that takes its time."""

    seconds: float


Step = bytes | Iterable[bytes] | asyncio.Event | Pause | Ending
"""What an answer does next: write (an iterable piece by piece, none of them before there is room), wait, or end."""


class Call(msgspec.Struct, frozen=True):
    """A request as it arrived."""

    connection: int
    """Which connection it came over, from 1."""
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def key(self) -> str:
        """The API key that came along, whichever dialect it was sent in."""
        return self.headers.get("x-goog-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


Script = Sequence[Step]
Answer = Script | Callable[[Call], Script]
"""The steps of an answer, or what makes them of the request."""


class Connection:
    """One connection, and what became of it."""

    def __init__(self, number: int) -> None:
        """Take its number, from 1."""
        self.number = number
        self.written = 0
        """Bytes of answers that the system has taken."""
        self.closed_at: float | None = None
        """When the other side had closed it, on the clock of `time.monotonic`."""


class Upstream:
    """Listens on a free port of the loopback and answers as scripted."""

    def __init__(self, *answers: Answer, ssl: ssl.SSLContext | None = None) -> None:
        """Take the answers in order of the requests, and what TLS needs."""
        self.calls: list[Call] = []
        """Requests that have arrived as a whole."""
        self.connections: list[Connection] = []
        """All there have been."""
        self.open = 0
        """Connections that are open now."""
        self.in_use = 0
        """Of those, the ones whose answer is not over."""
        self.url = ""
        self._answers = answers
        self._ssl = ssl
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._waiting: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl, limit=_HEAD_LIMIT)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}" if self._ssl is None else f"https://localhost:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop all connections and stop listening."""
        self._server.close()
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    async def begin_anew(self, *answers: Answer) -> None:
        """Say goodbye on every connection, wait until all are closed, forget what was, and take other answers."""
        for writer in self._writers:
            writer.write_eof()
        await self.until(lambda: self.open == 0)
        self.calls.clear()
        self.connections.clear()
        self._answers = answers

    async def called(self, count: int) -> Call:
        """Wait until so many requests have arrived; return the last of those."""
        await self.until(lambda: len(self.calls) >= count)
        return self.calls[count - 1]

    async def closed(self, number: int) -> float:
        """Wait until the other side has closed that connection; return when that was, as `time.monotonic` tells it."""
        await self.until(lambda: len(self.connections) >= number and self.connections[number - 1].closed_at is not None)
        closed_at = self.connections[number - 1].closed_at
        assert closed_at is not None
        return closed_at

    async def standstill(self, seconds: float) -> None:
        """Wait until nothing more of any answer has been taken for so long: until all readers hold it back."""
        with contextlib.suppress(TimeoutError):
            while True:
                before = self._written
                async with asyncio.timeout(seconds):
                    await self.until(lambda before=before: self._written > before)  # type: ignore[misc]

    @property
    def _written(self) -> int:
        return sum(connection.written for connection in self.connections)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of this upstream; it looks whenever something has happened to a connection."""
        while not holds():
            changed = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(len(self.connections) + 1)
        self.connections.append(connection)
        serving = asyncio.get_running_loop().create_task(self._serve(connection, reader, writer), name=TASK_NAME)
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self._writers.add(writer)
        try:
            while (call := await _read_call(connection.number, reader)) is not None:
                self.calls.append(call)
                self._tell()
                if not await self._answer(call, connection, reader, writer):
                    break
            else:
                connection.closed_at = time.monotonic()
        finally:
            self.open -= 1
            self._writers.discard(writer)
            self._tell()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self, call: Call, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Play the script, for as long as the other side is there; return whether another request may come."""
        answer = self._answers[min(len(self.calls), len(self._answers)) - 1]
        script = answer(call) if callable(answer) else answer
        loop = asyncio.get_running_loop()
        playing = loop.create_task(self._play(script, connection, writer), name=TASK_NAME)
        leaving = loop.create_task(reader.read(1), name=TASK_NAME)
        self.in_use += 1
        try:
            await asyncio.wait((playing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                connection.closed_at = time.monotonic()
                return False
            return playing.result()
        except OSError:
            connection.closed_at = time.monotonic()
            return False
        finally:
            self.in_use -= 1
            playing.cancel()
            leaving.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)

    async def _play(self, script: Script, connection: Connection, writer: asyncio.StreamWriter) -> bool:
        """Go through the steps; return whether the connection stays open."""
        for step in script:
            match step:
                case Ending.CUT:
                    writer.transport.abort()
                    return False
                case Ending.CLOSE:
                    return False
                case Ending.HANG:
                    await asyncio.get_running_loop().create_future()
                case asyncio.Event():
                    await step.wait()
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case bytes():
                    await self._write(step, connection, writer)
                case _:
                    for piece in step:
                        await self._write(piece, connection, writer)
        return True

    async def _write(self, piece: bytes, connection: Connection, writer: asyncio.StreamWriter) -> None:
        writer.write(piece)
        await writer.drain()
        connection.written += len(piece)
        self._tell()


async def _read_call(connection: int, reader: asyncio.StreamReader) -> Call | None:
    """Read the next request; None when the other side has gone."""
    try:
        start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, OSError):
        return None
    method, path, _ = start.split(" ", 2)
    return Call(connection, method, path, headers, body)


END = b"0\r\n\r\n"
"""The end of a body in chunks."""


def head(
    status: int = 200, content_type: str = "text/event-stream", *, length: int | None = None, **headers: str
) -> bytes:
    """Return the beginning of an answer; its body comes in chunks unless its length is given."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    fields["content-type"] = content_type
    fields |= {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def plain(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> bytes:
    """Return a whole answer."""
    return head(status, content_type, length=len(body), **headers) + body


def chunk(data: bytes) -> bytes:
    """Return a piece of a body in chunks."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def events(*data: bytes) -> list[bytes]:
    """Return server-sent events with these data, each a chunk of its own."""
    return [chunk(b"data: %b\n\n" % item) for item in data]


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """Yield a URL at which every connection is refused for as long as the block lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # it is never listened on
        yield f"http://127.0.0.1:{held.getsockname()[1]}"
