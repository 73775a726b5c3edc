"""Providers reached over HTTP: the only way out of the process."""

from __future__ import annotations

import functools
import io
import os
import socket
import ssl
from email.utils import formatdate
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from aiohttp.typedefs import LooseCookies, LooseHeaders

    from synapse.domain.credential import Credential
    from synapse.domain.request import Request
    from synapse.providers.base import Signal
    from synapse.providers.wires.base import Decoder, Wire

ANSWER_LIMIT = 256 * 1024 * 1024
"""Bytes; a plain answer, or one event of a streamed one, beyond this is refused rather than kept in memory."""
_ERROR_LIMIT = 1024 * 1024
"""Bytes of an error's body that are read: no provider explains itself at greater length."""
_LARGE_BODY = 1024 * 1024
"""Bytes; a body beyond this is handed to the connection piece by piece, for it would hold up everything else."""
_OK = 200
_HEADERS = {"user-agent": "synapse", "accept": "*/*", "accept-encoding": "identity"}
"""Answers are not compressed: that would save little, and hold back the tokens of a stream."""
_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)
"""What aiohttp raises where there is no connection to the provider yet: after it the request may have arrived."""


class _Request(aiohttp.ClientRequest):
    """A request whose headers are complete as they are given, and which has no cookies.

    aiohttp would merge them with its defaults one by one: a tenth of the time that a request to a provider takes.
    """

    def update_headers(self, headers: LooseHeaders | None) -> None:
        """Take the headers; only the host is left to add."""
        self.headers = CIMultiDict(headers or {})
        self.headers[hdrs.HOST] = self.url.host_port_subcomponent or ""

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        """Add nothing."""

    def update_cookies(self, cookies: LooseCookies | None) -> None:
        """Add nothing."""


def open_session(connect_timeout: float) -> aiohttp.ClientSession:
    """Open the one session all providers share: connections are kept and reused, and their number is not limited.

    How many run at once is the worker's business; a limit here would be a second queue that nobody sees.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=_Request,
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_timeout, sock_read=None),
    )


class HttpProvider:
    """One provider: where it is, which wire it speaks, and the session to reach it through."""

    def __init__(
        self,
        base_url: str,
        wire: Wire,
        session: aiohttp.ClientSession,
        *,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
    ) -> None:
        """Take the base URL, its wire, the shared session, headers to add to each call, and the proxy to go through."""
        self._wire = wire
        self._headroom = wire.headroom
        self._session = session
        self._headers = {**_HEADERS, **(headers or {})}
        self._proxy = proxy
        base = base_url.rstrip("/")
        self._url = functools.lru_cache(maxsize=256)(lambda path: URL(base + path, encoded=True))

    async def generate(
        self, request: Request, model: str, credential: Credential | None
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Send the request and yield what comes back; closing the iterator closes the connection."""
        wire = self._wire if request.embedding is None else self._wire.embeddings
        if wire is None:
            yield (Failure(FailureClass.CALLER_FAULT, f"{model} has no embeddings here; ask a model that has"),)
            return
        call = wire.encode(request, model, credential)
        try:
            async with self._session.post(
                self._url(call.path),
                data=_payload(call.body),
                headers=self._headers | call.headers,
                proxy=self._proxy,
                allow_redirects=False,
            ) as response:
                if response.status != _OK:
                    yield (await self._classify(response),)
                    return
                if self._headroom is not None and (headroom := self._headroom(response.headers)):
                    yield headroom
                answer = _Answer(wire.decoder())
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    yield answer.whole(await _read(response, ANSWER_LIMIT))
                    return
                read = response.content.readany
                while piece := await read():
                    signals = answer.feed(piece)
                    if signals is not None:
                        yield signals
                    if answer.failed:
                        return
                yield answer.end()
        except aiohttp.ClientError as exc:
            yield (Failure(FailureClass.TRANSIENT, _explain(exc), arrived=not isinstance(exc, _UNSENT)),)
        except (TimeoutError, OSError) as exc:
            yield (Failure(FailureClass.TRANSIENT, f"connection failed: {exc or type(exc).__name__}"),)

    async def _classify(self, response: aiohttp.ClientResponse) -> Failure:
        headers = {name.lower(): value for name, value in response.headers.items()}
        # Instants in the other headers are compared with it.
        headers.setdefault("date", formatdate(usegmt=True))
        return self._wire.classify(response.status, headers, await _read(response, _ERROR_LIMIT) or b"")


class _Answer:
    """Makes signals of the bytes of one answer."""

    __slots__ = ("_decoder", "_events", "failed")

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._events = EventStream()
        self.failed = False
        """Whether the last signal was a failure: nothing more is to be read."""

    def feed(self, piece: bytes) -> list[Signal] | None:
        """Take the next piece of a stream; None when it held no data, as comments do not: that is no progress."""
        arrived = self._events.feed(piece)
        if arrived:
            return self._decode(arrived)
        if self._events.pending > ANSWER_LIMIT:
            self.failed = True
            return [_too_large()]
        return None

    def end(self) -> list[Signal]:
        """Say what is left of a stream that has ended, and how it ended."""
        return self._last(self._events.end())

    def whole(self, body: bytes | None) -> list[Signal]:
        """Take a plain answer; None is one that was too large to read."""
        if body is None:
            return [_too_large()]
        return self._last((body,))

    def _last(self, arrived: Sequence[bytes]) -> list[Signal]:
        """Take the last of the answer; nothing follows a failure."""
        signals = self._decode(arrived)
        if not self.failed:
            signals.append(self._decoder.end())
        return signals

    def _decode(self, arrived: Sequence[bytes]) -> list[Signal]:
        signals: list[Signal] = []
        for data in arrived:
            signals += self._decoder.feed(data)
            if signals and type(signals[-1]) is Failure:
                self.failed = True
                break
        return signals


def _payload(body: bytes) -> aiohttp.Payload:
    """Wrap a body for the connection: whole, which is the fastest, unless it is large."""
    return aiohttp.BytesPayload(body) if len(body) <= _LARGE_BODY else aiohttp.BytesIOPayload(io.BytesIO(body))


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Read a body of at most `limit` bytes; None when it is longer."""
    length = response.content_length
    if length is not None:
        return await response.read() if length <= limit else None
    pieces = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > limit:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _too_large() -> Failure:
    return Failure(FailureClass.CALLER_FAULT, f"the answer is larger than {ANSWER_LIMIT >> 20} MB; ask for less")


def _explain(exc: aiohttp.ClientError) -> str:
    """Say what happened to the connection. aiohttp's texts name hosts and ports, never headers."""
    match exc:
        case aiohttp.ClientConnectorError():
            return _explain_connector(exc)
        case aiohttp.ClientHttpProxyError():
            return f"the proxy does not connect to the provider: HTTP {exc.status} {' '.join(exc.message.split())}"
        case aiohttp.ClientResponseError():
            return f"the provider's answer is not HTTP: {' '.join(exc.message.split())}"
        case aiohttp.ServerDisconnectedError():
            return "the provider closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection was cut in the middle of the answer"
        case _:
            return f"connection failed: {exc or type(exc).__name__}"


def _explain_connector(exc: aiohttp.ClientConnectorError) -> str:
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return f"the TLS certificate of {exc.host} is not accepted: {exc.certificate_error}"
    return f"cannot connect to {exc.host}:{exc.port}: {_reason(exc.os_error)}"


def _reason(error: OSError) -> str:
    """Say why there is no connection: asyncio's errors have the address where the system's words belong."""
    if error.errno is None or isinstance(error, (socket.gaierror, ssl.SSLError)):
        return str(error.strerror or error)
    return os.strerror(error.errno)
