"""A gRPC server that answers what a test wrote down, for the clients' tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

import grpc.aio
import msgspec

from synapse.protos import generate_pb2 as pb


class Abort(msgspec.Struct, frozen=True):
    """The end of a call, with a failure."""

    status: grpc.StatusCode
    details: str = ""
    trailing: tuple[tuple[str, str], ...] = ()


Step = pb.Response | Abort | asyncio.Event
"""What a call does next: answer, fail, or wait for the event."""

_Context = grpc.aio.ServicerContext[pb.Request, pb.Response]
_ListContext = grpc.aio.ServicerContext[pb.ListModelsRequest, pb.ListModelsResponse]


def chunk(text: str) -> pb.Response:
    """Return a piece of the answer, with no more than the published contract's first fields."""
    return pb.Response(chunk=text)


def keepalive() -> pb.Response:
    """Return a keepalive, with no more than the published contract's first fields."""
    return pb.Response(type=pb.Response.KEEPALIVE)


class ScriptedServer:
    """Serves `synapse.Generate` on a free port of the loopback; every GenerateTask does the same steps.

    async with ScriptedServer([chunk("Hel"), chunk("lo")]) as server:
        client = AsyncClient(server.target)
    """

    def __init__(
        self,
        steps: Sequence[Step] = (),
        *,
        models: Sequence[str] = (),
        credentials: grpc.ServerCredentials | None = None,
        port: int = 0,
    ) -> None:
        """Take the steps of a call, the models to list, what TLS needs, and a port where a free one won't do."""
        self.requests: list[pb.Request] = []
        """What was asked, in order of arrival."""
        self.metadata: list[dict[str, str | bytes]] = []
        """What went along with the requests."""
        self.cancelled = asyncio.Event()
        """Set when a call ended because its caller went."""
        self.target = ""
        """Where it listens: `localhost:PORT`."""
        self._steps = steps
        self._models = models
        self._credentials = credentials
        self._port = port

    async def __aenter__(self) -> Self:
        """Start listening."""
        # Without limits of its own, so that a test meets the client's.
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers((self._handlers(),))
        address = f"localhost:{self._port}"
        if self._credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, self._credentials)
        await self._server.start()
        self.target = f"localhost:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Break off what still runs."""
        await self._server.stop(None)

    async def stop(self) -> None:
        """Break off what runs, as a server does that is killed."""
        await self._server.stop(None)

    def _handlers(self) -> grpc.GenericRpcHandler:
        generate = grpc.unary_stream_rpc_method_handler(
            self._generate_task,
            request_deserializer=pb.Request.FromString,
            response_serializer=pb.Response.SerializeToString,
        )
        list_models = grpc.unary_unary_rpc_method_handler(
            self._list_models,
            request_deserializer=pb.ListModelsRequest.FromString,
            response_serializer=pb.ListModelsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(
            "synapse.Generate", {"GenerateTask": generate, "ListModels": list_models}
        )

    async def _generate_task(self, request: pb.Request, context: _Context) -> AsyncIterator[pb.Response]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata() or ()))
        try:
            for step in self._steps:
                match step:
                    case pb.Response():
                        yield step
                    case Abort():
                        await context.abort(step.status, step.details, step.trailing)
                    case asyncio.Event():
                        await step.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _list_models(self, _: pb.ListModelsRequest, context: _ListContext) -> pb.ListModelsResponse:
        for step in self._steps:
            if isinstance(step, Abort):
                await context.abort(step.status, step.details, step.trailing)
        return pb.ListModelsResponse(models=self._models)
