"""The official `openai` package, both its clients, takes Synapse for OpenAI: responses."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar, cast

import openai
import pytest
from openai.types.responses import (
    FunctionToolParam,
    ParsedResponse,
    ResponseCompletedEvent,
    ResponseFailedEvent,
    ResponseFunctionToolCall,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
)
from pydantic import BaseModel

from synapse.domain.caller import Caller
from synapse.domain.events import CallDelta, Finish, FinishReason, Thought
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Message, Request, Role, Text, Thinking, ToolCall, ToolResult
from synapse.domain.task import TaskState
from synapse.domain.unsupported import Unsupported
from synapse.domain.usage import Usage
from synapse.providers.simulator import SimulatorProvider
from synapse.server.callers import Callers
from synapse.testing import ScriptedProvider
from synapse.testing.provider import HANG

if TYPE_CHECKING:
    from conftest import Serve, Server

T = TypeVar("T")
Fields = dict[str, Any]

HELLO: Fields = {"model": "m", "input": "hello big world"}
FINISH = Finish(FinishReason.STOP, Usage(3, 5, thinking_tokens=2, cached_tokens=1, total_tokens=8))
FIRE = Failure(FailureClass.CALLER_FAULT, "it is on fire", status=400)
CUT = Failure(FailureClass.TRANSIENT, "it was cut")
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "description": "How it is outside.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
CALLS = (
    Thought("Where?", "sig"),
    CallDelta(0, "call_1", "weather", '{"city":'),
    CallDelta(0, arguments='"Rome"}', signature="proof"),
    CallDelta(1, "call_2", "weather", '{"city":"Oslo"}'),
)


class City(BaseModel):
    """What is asked for."""

    name: str
    people: int


class Sdk:
    """A client of either kind behind one face: the synchronous one runs in a thread."""

    def __init__(self, client: openai.OpenAI | openai.AsyncOpenAI) -> None:
        """Take the client."""
        self._client = client

    async def call(self, do: Callable[[openai.OpenAI], T]) -> T:
        """Do something with the client; the asynchronous one's methods have the same names and arguments."""
        if isinstance(self._client, openai.OpenAI):
            return await asyncio.to_thread(do, self._client)
        return await cast("Awaitable[T]", do(cast("openai.OpenAI", self._client)))

    async def events(self, **fields: object) -> list[ResponseStreamEvent]:
        """Stream; return all events."""
        return await self._hear(fields, lambda _: False)

    async def leave(self, **fields: object) -> list[ResponseStreamEvent]:
        """Break out of a stream at its first words; return what came until then."""
        return await self._hear(fields, lambda event: isinstance(event, ResponseTextDeltaEvent))

    async def accumulate(self, **fields: object) -> ParsedResponse[City]:
        """Stream through the helper that puts a response together: the strictest reader of events."""
        if isinstance(self._client, openai.OpenAI):
            return await asyncio.to_thread(self._accumulate, self._client, fields)
        async with self._client.responses.stream(**fields) as stream:  # type: ignore[call-overload]
            return cast("ParsedResponse[City]", await stream.get_final_response())

    @staticmethod
    def _accumulate(client: openai.OpenAI, fields: Fields) -> ParsedResponse[City]:
        with client.responses.stream(**fields) as stream:
            return cast("ParsedResponse[City]", stream.get_final_response())

    async def _hear(self, fields: Fields, enough: Callable[[ResponseStreamEvent], bool]) -> list[ResponseStreamEvent]:
        if isinstance(self._client, openai.OpenAI):
            return await asyncio.to_thread(self._hear_here, self._client, fields, enough)
        heard = []
        async with await self._client.responses.create(stream=True, **fields) as stream:
            async for event in stream:
                heard.append(event)
                if enough(event):
                    break
        return heard

    @staticmethod
    def _hear_here(
        client: openai.OpenAI, fields: Fields, enough: Callable[[ResponseStreamEvent], bool]
    ) -> list[ResponseStreamEvent]:
        heard = []
        with client.responses.create(stream=True, **fields) as stream:
            for event in stream:
                heard.append(event)
                if enough(event):
                    break
        return heard


Connect = Callable[..., Sdk]


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Give what makes clients of either kind; they never try again unless asked to, and are closed after the test."""
    async with AsyncExitStack() as clients:

        def make(server: Server, **options: object) -> Sdk:
            settings: Fields = {"base_url": f"{server.url}/v1", "api_key": "secret", "max_retries": 0, **options}
            if request.param == "sync":
                return Sdk(clients.enter_context(openai.OpenAI(**settings)))
            client = openai.AsyncOpenAI(**settings)
            clients.push_async_callback(client.close)
            return Sdk(client)

        yield make


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what nobody tells of; the test's timeout ends it otherwise."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)


def simulator() -> SimulatorProvider:
    """Return the provider that says what it was told, at once."""
    return SimulatorProvider(tokens_per_second=0, tokens=5)


def said(provider: ScriptedProvider) -> Iterable[Request]:
    """Return what the provider was asked."""
    return [call.request for call in provider.calls]


async def test_a_response_has_its_text_and_usage(serve: Serve, connect: Connect) -> None:
    """As `output_text`, and the id of the request is that of the task."""
    server = await serve(ScriptedProvider(["Hel", "lo", FINISH]))

    response = await connect(server).call(lambda client: client.responses.create(**HELLO, instructions="Be brief."))

    assert (response.output_text, response.status, response.error) == ("Hello", "completed", None)
    assert (response.id, response._request_id) == ("resp_1", "task_1")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (3, 5, 8)
    assert response.usage.input_tokens_details.cached_tokens == 1
    assert response.usage.output_tokens_details.reasoning_tokens == 2
    assert response.completed_at is not None
    assert response.completed_at >= response.created_at - 1


async def test_a_stream_ends_with_the_whole_response(serve: Serve, connect: Connect) -> None:
    """Its deltas add up to it; there is no `[DONE]` that the client would miss."""
    server = await serve(simulator(), models=("sim/echo",))

    events = await connect(server).events(**HELLO | {"model": "sim/echo"})

    text = "".join([event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)])
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert isinstance(events[-1], ResponseCompletedEvent)
    assert events[-1].response.output_text == text != ""


async def test_the_helper_puts_the_response_together(serve: Serve, connect: Connect) -> None:
    """It insists on `response.created` first, and on ids that stay what they are."""
    server = await serve(ScriptedProvider([(Thought("Hm."),), "Hel", "lo", CALLS, FINISH]))

    response = await connect(server).accumulate(**HELLO, tools=[WEATHER])

    assert response.output_text == "Hello"
    assert [item.type for item in response.output] == [
        "reasoning",
        "message",
        "reasoning",
        "function_call",
        "function_call",
    ]
    calls = [item for item in response.output if item.type == "function_call"]
    assert [call.parsed_arguments for call in calls] == [{"city": "Rome"}, {"city": "Oslo"}]


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_is_parsed_into_a_model(serve: Serve, connect: Connect, *, streamed: bool) -> None:
    """By `.parse` and by the streaming helper; the schema reaches the provider."""
    provider = ScriptedProvider(['{"name":', '"Rome","people":3}', FINISH])
    sdk = connect(await serve(provider))

    if streamed:
        response = await sdk.accumulate(**HELLO, text_format=City)
    else:
        response = await sdk.call(lambda client: client.responses.parse(**HELLO, text_format=City))

    assert response.output_parsed == City(name="Rome", people=3)
    wanted = provider.calls[0].request.response_format
    assert wanted is not None
    assert wanted.schema is not None
    assert (wanted.name, wanted.strict) == ("City", True)
    assert set(json.loads(bytes(wanted.schema))["properties"]) == {"name", "people"}


@pytest.mark.parametrize("streamed", [False, True])
async def test_two_calls_go_round(serve: Serve, connect: Connect, *, streamed: bool) -> None:
    """What the response put out is sent back as it came, with the results; thoughts and proofs are still with it."""
    provider = ScriptedProvider([CALLS, Finish(FinishReason.TOOL_CALLS)], ["Warm.", FINISH])
    sdk = connect(await serve(provider))
    given: list[Any] = [{"role": "user", "content": "How is it in Rome and Oslo?"}]

    if streamed:
        (*_, last) = await sdk.events(model="m", input=given, tools=[WEATHER])
        assert isinstance(last, ResponseCompletedEvent)
        first = last.response
    else:
        first = await sdk.call(lambda client: client.responses.create(model="m", input=given, tools=[WEATHER]))
    calls = [item for item in first.output if isinstance(item, ResponseFunctionToolCall)]
    given += first.output
    given += [{"type": "function_call_output", "call_id": call.call_id, "output": call.arguments} for call in calls]
    second = await sdk.call(lambda client: client.responses.create(model="m", input=given, tools=[WEATHER]))

    assert second.output_text == "Warm."
    rome, oslo = '{"city":"Rome"}', '{"city":"Oslo"}'
    assert provider.calls[1].request.messages[1:] == (
        Message(
            Role.ASSISTANT,
            (
                Thinking("Where?", "sig"),
                ToolCall("call_1", "weather", rome, "proof"),
                ToolCall("call_2", "weather", oslo),
            ),
        ),
        Message(
            Role.USER,
            (ToolResult("call_1", (Text(rome),), "weather"), ToolResult("call_2", (Text(oslo),), "weather")),
        ),
    )


async def test_a_cut_answer_is_incomplete(serve: Serve, connect: Connect) -> None:
    """Plain and streamed."""
    script: list[Any] = ["Hel", Finish(FinishReason.LENGTH)]
    sdk = connect(await serve(ScriptedProvider(script, script)))

    response = await sdk.call(lambda client: client.responses.create(**HELLO, max_output_tokens=1))
    (*_, last) = await sdk.events(**HELLO)

    assert (response.status, response.output_text) == ("incomplete", "Hel")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert last.type == "response.incomplete"


async def test_errors_are_raised_as_the_clients_classes(serve: Serve, connect: Connect) -> None:
    """With the field, the code, and the id of the request."""
    server = await serve(simulator(), models=("sim/echo",))
    sdk = connect(server)

    with pytest.raises(openai.NotFoundError) as lost:
        await sdk.call(lambda client: client.responses.create(model="nix", input="Why?"))
    for fields in ({"temperature": -1}, {"background": True}, {"previous_response_id": "resp_1"}):
        with pytest.raises(openai.BadRequestError) as bad:
            await sdk.events(**HELLO | {"model": "sim/echo"} | fields)
        assert bad.value.param == next(iter(fields))
        assert bad.value.request_id is not None
        assert bad.value.request_id.startswith("req_")

    assert (lost.value.code, lost.value.param) == ("model_not_found", "model")


async def test_a_key_that_is_nobodys_is_an_authentication_error(serve: Serve, connect: Connect) -> None:
    """As at OpenAI."""
    callers = Callers({hashlib.sha256(b"secret").digest(): Caller("app")})
    server = await serve(ScriptedProvider(["Hello", FINISH]), callers=callers)

    with pytest.raises(openai.AuthenticationError) as caught:
        await connect(server, api_key="other").call(lambda client: client.responses.create(**HELLO))
    response = await connect(server).call(lambda client: client.responses.create(**HELLO))

    assert caught.value.code == "invalid_api_key"
    assert response.output_text == "Hello"


async def test_what_the_provider_refuses_is_raised_before_a_stream_begins(serve: Serve, connect: Connect) -> None:
    """With its own status."""
    server = await serve(ScriptedProvider([FIRE]))

    with pytest.raises(openai.BadRequestError, match="it is on fire") as caught:
        await connect(server).events(**HELLO)

    assert caught.value.request_id == "task_1"


async def test_a_failure_after_the_first_words_is_the_last_event(serve: Serve, connect: Connect) -> None:
    """The client raises nothing then; it hands on a response that failed."""
    silence = asyncio.Event()
    server = await serve(ScriptedProvider(["Hel", silence, CUT]), keepalive_seconds=0.01)

    asyncio.get_running_loop().call_later(0.1, silence.set)
    (*heard, last) = await connect(server).events(**HELLO)

    assert isinstance(last, ResponseFailedEvent)
    assert (last.response.status, last.response.output_text) == ("failed", "Hel")
    assert last.response.error is not None
    assert last.response.error.code == "server_error"
    assert [each.delta for each in heard if isinstance(each, ResponseTextDeltaEvent)] == ["Hel"]


async def test_comments_while_it_waits_do_not_disturb_the_client(serve: Serve, connect: Connect) -> None:
    """Neither before the first event nor between events."""
    silence = asyncio.Event()
    server = await serve(ScriptedProvider(["Hel", silence, "lo", FINISH]), keepalive_seconds=0.01)

    asyncio.get_running_loop().call_later(0.1, silence.set)
    (*_, last) = await connect(server).events(**HELLO)

    assert isinstance(last, ResponseCompletedEvent)
    assert last.response.output_text == "Hello"


async def test_breaking_out_of_a_stream_cancels_the_task(serve: Serve, connect: Connect) -> None:
    """The provider's connection is closed."""
    provider = ScriptedProvider(["Hel", HANG])
    server = await serve(provider)

    heard = await connect(server).leave(**HELLO)
    await until(lambda: bool(server.ends))

    assert isinstance(heard[-1], ResponseTextDeltaEvent)
    assert server.ends[0].state is TaskState.CANCELLED
    assert (provider.open, provider.closed_early) == (0, 1)


async def test_a_part_that_the_provider_cannot_honour_has_this_ports_name(serve: Serve, connect: Connect) -> None:
    """In the error, and in the header that lists what was left out of those who agree to that."""

    def check(request: Request, model: str) -> tuple[Unsupported, ...]:
        del model
        return (Unsupported("response_format", "ask for it in words"),) if request.response_format else ()

    provider = ScriptedProvider(["{}", FINISH])
    sdk = connect(await serve(provider, unsupported={"up": check}))
    wanted: Fields = {"text": {"format": {"type": "json_object"}}}

    with pytest.raises(openai.BadRequestError, match=r"^.*text\.format: .*ask for it in words") as caught:
        await sdk.call(lambda client: client.responses.create(**HELLO, **wanted))
    raw = await sdk.call(
        lambda client: client.responses.with_raw_response.create(
            **HELLO, **wanted, extra_headers={"X-Synapse-Drop-Unsupported": "true"}
        )
    )

    assert (caught.value.param, caught.value.code) == ("text.format", "unsupported_parameter")
    assert raw.headers["x-synapse-dropped"] == "text.format"
    assert [request.response_format for request in said(provider)] == [None]
