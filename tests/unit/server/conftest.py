"""Both ports over a service, with a broker behind it that does what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self, cast

import aiohttp
import grpc.aio
import pytest

from synapse.brokers.base import Broker, Place
from synapse.brokers.log import EventLog
from synapse.domain.errors import Cancelled
from synapse.domain.events import Entry, Error
from synapse.domain.standing import KeyStanding
from synapse.domain.task import Route, Task
from synapse.protos import generate_pb2 as pb
from synapse.server.callers import EVERYBODY, Callers
from synapse.server.grpc import listener as grpc_listener
from synapse.server.http import listener as http_listener
from synapse.server.http.app import HttpApp
from synapse.service import Limits, Service
from synapse.testing import FakeClock

HOST = "127.0.0.1"
ROUTES = {code: Route(code, "up", f"real-{code}") for code in ("a", "b", "c")}


class Reading:
    """The reader of a scripted task's log."""

    def __init__(self, log: EventLog) -> None:
        """Read it."""
        self.next = log.next
        self._log = log

    async def __aenter__(self) -> Self:
        """Begin to read."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        self._log.close()


class ScriptedBroker:
    """Accepts every task; what becomes of it is for the test to say."""

    def __init__(self, clock: FakeClock) -> None:
        """Begin with nothing."""
        self._clock = clock
        self.tasks: list[Task] = []
        self.place_of_all: Place | None = None
        """Where every task stands."""
        self.script: tuple[Entry, ...] = ()
        """What stands in the log of each task from its beginning."""
        self.logs: list[EventLog] = []

    async def enqueue(self, task: Task) -> None:
        """Accept a task."""
        self.tasks.append(task)

    def subscribe(self, task_id: str) -> Reading:
        """Read the log of the last task."""
        assert task_id == self.tasks[-1].id
        log = EventLog(self._clock)
        for entry in self.script:
            log.append(entry)
        self.logs.append(log)
        return Reading(log)

    async def cancel(self, task_id: str) -> None:
        """End the last task."""
        assert task_id == self.tasks[-1].id
        self.logs[-1].append(((1, 99), Error(Cancelled("the caller went"))))

    def place(self, task_id: str) -> Place | None:
        """Say what the test has said."""
        assert task_id == self.tasks[-1].id
        return self.place_of_all


class Ports:
    """The open ports, who calls them, and what is behind them."""

    def __init__(
        self, broker: ScriptedBroker, http: str, session: aiohttp.ClientSession, channel: grpc.aio.Channel
    ) -> None:
        """Take the running parts."""
        self.broker = broker
        self.http = http
        self.session = session
        self.channel = channel

    async def fetch(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, body: object = None
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Ask over HTTP; return the answer with its body."""
        async with self.session.request(method, f"{self.http}{path}", headers=headers, json=body) as response:
            return response, await response.read()

    def call(self, *, key: str | None = None, **fields: object) -> grpc.aio.UnaryStreamCall:
        """Call GenerateTask."""
        start = self.channel.unary_stream(
            "/synapse.Generate/GenerateTask",
            request_serializer=pb.Request.SerializeToString,
            response_deserializer=pb.Response.FromString,
        )
        request = pb.Request(**{"prompt": "Why?", "model_code": "a", **fields})  # type: ignore[arg-type]
        return start(request, metadata=_metadata(key))

    async def list_models(self, *, key: str | None = None) -> list[str]:
        """Call ListModels."""
        ask = self.channel.unary_unary(
            "/synapse.Generate/ListModels",
            request_serializer=pb.ListModelsRequest.SerializeToString,
            response_deserializer=pb.ListModelsResponse.FromString,
        )
        return list((await ask(pb.ListModelsRequest(), metadata=_metadata(key))).models)


def _metadata(key: str | None) -> tuple[tuple[str, str], ...]:
    return () if key is None else (("authorization", f"Bearer {key}"),)


class Open(Protocol):
    """Opens both ports."""

    async def __call__(self, callers: Callers = EVERYBODY, *, keys: Callable[[], list[KeyStanding]] = list) -> Ports:
        """Open them for these callers."""


@pytest.fixture
async def open_ports(clock: FakeClock) -> AsyncIterator[Open]:
    """Give what opens both ports, over the models a, b and c; a falls back to b and c."""
    async with AsyncExitStack() as parts:

        async def begin(callers: Callers = EVERYBODY, *, keys: Callable[[], list[KeyStanding]] = list) -> Ports:
            broker = ScriptedBroker(clock)
            service = Service(
                cast("Broker", broker),
                ROUTES,
                clock=clock,
                new_id=lambda: "task_1",
                limits=Limits(),
                fallbacks={"a": ("b", "c")},
                keys=keys,
            )
            app = HttpApp(service, max_request_bytes=1000, keepalive_seconds=5.0, callers=callers)
            port = await parts.enter_async_context(http_listener.listening(app, HOST, 0))
            grpc_port = await parts.enter_async_context(
                grpc_listener.listening(service, HOST, 0, keepalive_seconds=5.0, callers=callers)
            )
            session = await parts.enter_async_context(aiohttp.ClientSession())
            channel = await parts.enter_async_context(grpc.aio.insecure_channel(f"{HOST}:{grpc_port.port}"))
            return Ports(broker, f"http://{HOST}:{port}", session, channel)

        yield begin
