"""The `Generate` service."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError

from synapse.domain.answer import Collector
from synapse.domain.caller import ANONYMOUS
from synapse.domain.errors import InternalError, InvalidRequest, SynapseError
from synapse.domain.events import Delta, Error, Finish
from synapse.protos import generate_pb2 as pb
from synapse.server.callers import EVERYBODY, Callers, bearer
from synapse.server.prompt import GenerationConfig, check_priority, check_seconds, native_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synapse.brokers.base import Subscription
    from synapse.domain.caller import Caller
    from synapse.domain.events import Entry
    from synapse.domain.request import Request
    from synapse.domain.task import Task
    from synapse.service import Service

    Context = grpc.aio.ServicerContext[pb.Request, bytes]

log = structlog.get_logger("synapse.grpc")

M = TypeVar("M")

SERVICE = "synapse.Generate"


class Malformed:
    """A message that is not what its type says, kept so that the caller hears of it in the ordinary way."""

    def __init__(self, exc: DecodeError) -> None:
        """Take what the decoder said."""
        self.exc = exc


class GenerateService:
    """`GenerateTask` and `ListModels`, over the service."""

    def __init__(self, service: Service, *, keepalive_seconds: float, callers: Callers = EVERYBODY) -> None:
        """Take the service, the seconds of silence after which a KEEPALIVE goes out, and who may call."""
        self._service = service
        self._keepalive = keepalive_seconds
        self._callers = callers

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return the handlers to register: by hand, so that a malformed message is answered as bad input.

        `GenerateTask` streams, yet is registered as if it gave one answer: on the wire the two are the same, and gRPC
        sends what such a handler returns together with the status, in one step where a stream takes two. All but the
        last message are written before that.
        """
        methods = {
            "GenerateTask": grpc.unary_unary_rpc_method_handler(self._generate_task, _lenient(pb.Request.FromString)),
            "ListModels": grpc.unary_unary_rpc_method_handler(
                self._list_models, _lenient(pb.ListModelsRequest.FromString), pb.ListModelsResponse.SerializeToString
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _list_models(self, message: pb.ListModelsRequest | Malformed, context: Context) -> pb.ListModelsResponse:
        try:
            caller = self._caller(context)
            _understood(message)
        except SynapseError as error:
            await _abort(context, error)
        return pb.ListModelsResponse(models=self._service.models(caller))

    async def _generate_task(self, message: pb.Request | Malformed, context: Context) -> bytes | None:
        try:
            caller = self._caller(context)
            asked = _understood(message)
            task = await self._submit(asked, caller)
            answer = self._stream if asked.stream else self._whole
            async with self._service.follow(task) as entries:
                return await answer(task, entries, context)
        except SynapseError as error:
            await _abort(context, error)
        except grpc.aio.BaseError:
            return None  # the caller went before it read what was written
        except Exception:
            log.exception("a call failed by a fault of Synapse")
            await _abort(context, InternalError("Synapse failed at this call; its log has the reason"))

    async def _submit(self, asked: pb.Request, caller: Caller) -> Task:
        request = _request(asked)
        max_wait, timeout = _durations(asked)
        return await self._service.submit(
            request,
            caller=caller,
            priority=check_priority(asked.priority or None),
            max_wait=max_wait,
            timeout=timeout,
            fallbacks=asked.fallbacks or None,
        )

    def _caller(self, context: Context) -> Caller:
        return self._callers.identify(_presented(context)) if self._callers.told_apart else ANONYMOUS

    async def _whole(self, task: Task, entries: Subscription, context: Context) -> bytes:
        collector = Collector()
        while (answer := collector.add_all(arrived := await entries.next(self._keepalive))) is None:
            if not arrived:
                await context.write(self._alive(task))
        return _response(task, answer.text, answer.finish).SerializeToString()

    async def _stream(self, task: Task, entries: Subscription, context: Context) -> bytes:
        while True:
            arrived = await entries.next(self._keepalive)
            if not arrived:
                await context.write(self._alive(task))
                continue
            text, last = _drained(arrived)
            if isinstance(last, Finish):
                return _response(task, text, last).SerializeToString()
            if text:
                await context.write(_response(task, text).SerializeToString())
            if isinstance(last, Error):
                raise last.error

    def _alive(self, task: Task) -> bytes:
        """Return a KEEPALIVE; while the task waits it says where it stands."""
        message = pb.Response(type=pb.Response.KEEPALIVE, task_id=task.id)
        place = self._service.place(task.id)
        if place is not None:
            message.position = place.position
            if place.eta is not None:
                message.eta_seconds = place.eta
        return message.SerializeToString()


def _drained(entries: Sequence[Entry]) -> tuple[str, object]:
    """Join the text of all deltas that have come: one message for them. Return it and the last event."""
    texts = [event.text for _, event in entries if isinstance(event, Delta)]
    return texts[0] if len(texts) == 1 else "".join(texts), entries[-1][1]


def _request(message: pb.Request) -> Request:
    config = message.config if message.HasField("config") else None
    return native_request(
        message.prompt,
        message.model_code,
        stream=message.stream,
        config=_config(config) if config is not None else None,
        images=message.images,
    )


def _config(config: pb.GenerationConfig) -> GenerationConfig:
    return GenerationConfig(
        temperature=_single(config.temperature) if config.HasField("temperature") else None,
        top_p=_single(config.top_p) if config.HasField("top_p") else None,
        top_k=config.top_k if config.HasField("top_k") else None,
        output_length=config.output_length if config.HasField("output_length") else None,
    )


def _single(value: float) -> float:
    """Return the decimal number that a caller meant by a single-precision one: 0.7, not 0.699999988079071."""
    return float(f"{value:.7g}")


def _durations(message: pb.Request) -> tuple[float | None, float | None]:
    max_wait = check_seconds("max_wait", message.max_wait) if message.HasField("max_wait") else None
    timeout = check_seconds("timeout", message.timeout) if message.HasField("timeout") else None
    return max_wait, timeout


def _response(task: Task, text: str, finish: Finish | None = None) -> pb.Response:
    response = pb.Response(chunk=text, task_id=task.id)
    if finish is not None:
        usage = finish.usage
        response.model_code = finish.fallen_to or task.request.model
        response.finish_reason = finish.reason
        response.usage.input_tokens = usage.input_tokens
        response.usage.output_tokens = usage.output_tokens
        response.usage.thinking_tokens = usage.thinking_tokens
        response.usage.cached_tokens = usage.cached_tokens
        response.usage.total_tokens = usage.total_tokens
        response.usage.cache_write_tokens = usage.cache_write_tokens
        if usage.cost is not None:
            response.usage.cost = usage.cost
    return response


def _presented(context: Context) -> str | None:
    """Return the key that came along."""
    for name, value in context.invocation_metadata() or ():
        if name == "authorization":
            return bearer(value if isinstance(value, str) else value.decode("latin-1"))
    return None


def _lenient(decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def decode_or_keep(data: bytes) -> object:
        try:
            return decode(data)
        except DecodeError as exc:
            return Malformed(exc)

    return decode_or_keep


def _understood(message: M | Malformed) -> M:
    if isinstance(message, Malformed):
        raise InvalidRequest(f"the message is not valid protobuf, or a string in it is not UTF-8: {message.exc}")
    return message


async def _abort(context: Context, error: SynapseError) -> NoReturn:
    """End the call with the error's status; its code, field and pause go into the trailing metadata."""
    metadata = [("synapse-error", error.code)]
    if error.field is not None:
        metadata.append(("synapse-field", error.field))
    if error.retry_after is not None:
        metadata.append(("retry-after", f"{error.retry_after:.3f}"))
    await context.abort(grpc.StatusCode[error.row.grpc], error.message, tuple(metadata))
