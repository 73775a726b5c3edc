"""What happens to a request of the SDKs' ports before it is a task: whose it is, and what it says of itself."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from synapse.domain.caller import ANONYMOUS, Band
from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Request
from synapse.server.http.asgi import presented_key, read_body
from synapse.server.http.explain import misread
from synapse.server.http.native import MAX_WAIT_HEADER, TIMEOUT_HEADER
from synapse.server.prompt import check_priority, check_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.domain.caller import Caller
    from synapse.domain.task import Task
    from synapse.server.callers import Callers
    from synapse.server.http.asgi import Headers, Receive, Scope
    from synapse.service import Service

B = TypeVar("B")

Prepare = Callable[[Request], Awaitable[Request]]
"""Makes of a request one that its provider can be sent."""

DROP_HEADER: Final = b"x-synapse-drop-unsupported"
_SWITCH: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}


async def unchanged(request: Request) -> Request:
    """Return the request as it is."""
    return request


class Wishes(msgspec.Struct, kw_only=True):
    """Fields of Synapse's own that say how a task is to be queued."""

    priority: str | None = None
    """The name of a band."""
    max_wait: float | None = None
    """Seconds."""
    timeout: float | None = None
    """Seconds."""
    fallbacks: list[str] | None = None
    """Model codes."""
    drop_unsupported: bool | None = None
    """Whether what the model's provider cannot honour is to be left out, where it may."""


class Terms(msgspec.Struct, frozen=True):
    """How a task is to be queued: what the fields and the headers say together."""

    caller: Caller
    priority: Band | None
    max_wait: float | None
    timeout: float | None
    fallbacks: Sequence[str] | None
    drop: bool


class Intake:
    """The door between the routes and the service."""

    def __init__(
        self,
        service: Service,
        callers: Callers,
        *,
        max_request_bytes: int,
        prepare: Prepare = unchanged,
    ) -> None:
        """Take the service, who may call, the largest body, and what is done to a request before it is submitted."""
        self.service = service
        self._callers = callers
        self._max_request_bytes = max_request_bytes
        self._prepare = prepare

    def caller(self, scope: Scope, presented: Callable[[Scope], str | None] = presented_key) -> Caller:
        """Return whose key it is that came along, as `presented` finds it. Raises `Unauthenticated`."""
        return self._callers.identify(presented(scope)) if self._callers.told_apart else ANONYMOUS

    async def read(self, scope: Scope, receive: Receive, decode: Callable[[bytes], B]) -> B:
        """Read the body and decode it. Raises `InvalidRequest`, and what `read_body` raises."""
        data = await read_body(scope, receive, self._max_request_bytes)
        if not data:
            raise InvalidRequest("the body is empty; expected a JSON object")
        try:
            return decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as exc:
            raise misread(exc) from exc

    async def prepare(self, request: Request) -> Request:
        """Make of a request one that its provider can be sent."""
        return await self._prepare(request)

    async def submit(self, request: Request, terms: Terms) -> Task:
        """Make a task of a request. Raises what `Service.submit` raises."""
        return await self.service.submit(
            request,
            caller=terms.caller,
            priority=terms.priority,
            max_wait=terms.max_wait,
            timeout=terms.timeout,
            fallbacks=terms.fallbacks,
            drop_unsupported=terms.drop,
        )


def read_terms(caller: Caller, wishes: Wishes, scope: Scope) -> Terms:
    """Say how a task is to be queued; a header is stronger than the body. Raises `InvalidRequest`."""
    max_wait, timeout, drop = wishes.max_wait, wishes.timeout, bool(wishes.drop_unsupported)
    for name, value in scope["headers"]:
        if name == MAX_WAIT_HEADER:
            max_wait = _seconds(name, value)
        elif name == TIMEOUT_HEADER:
            timeout = _seconds(name, value)
        elif name == DROP_HEADER:
            drop = _switch(name, value)
    return Terms(
        caller,
        check_priority(wishes.priority),
        check_seconds("max_wait", max_wait),
        check_seconds("timeout", timeout),
        wishes.fallbacks,
        drop,
    )


def dropped_header(names: Sequence[str]) -> Headers:
    """Return the header that lists what was left out of a request; none where nothing was."""
    return [(b"x-synapse-dropped", ", ".join(names).encode())] if names else []


def new_request_id() -> str:
    """Make an id for a request that is no task."""
    return f"req_{random.getrandbits(64):016x}"


def _seconds(name: bytes, value: bytes) -> float:
    try:
        return float(value)
    except ValueError as exc:
        text, field = value.decode("latin-1"), name.decode()
        raise InvalidRequest(f"header {field}: got {text!r}, expected seconds", field=field) from exc


def _switch(name: bytes, value: bytes) -> bool:
    text, field = value.decode("latin-1"), name.decode()
    switch = _SWITCH.get(text.strip().lower())
    if switch is None:
        raise InvalidRequest(f"header {field}: got {text!r}, expected true or false", field=field)
    return switch
