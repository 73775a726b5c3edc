"""The official `openai` package, both its clients, takes Synapse for OpenAI: models, chat completions, embeddings."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
import openai
import pytest
from pydantic import BaseModel

from synapse.domain.caller import Caller
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Logprobs, Thought, Vectors
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Audio, Document, Image, ImageUrl, Message, Request, Role, Text, ToolCall, ToolResult
from synapse.domain.task import TaskState
from synapse.domain.tools import ToolChoice, ToolMode
from synapse.domain.unsupported import Unsupported
from synapse.domain.usage import Usage
from synapse.providers.simulator import SimulatorProvider
from synapse.server.callers import Callers
from synapse.testing import ScriptedProvider
from synapse.testing.provider import HANG

if TYPE_CHECKING:
    from conftest import Serve, Server

T = TypeVar("T")

HELLO: openai.types.chat.ChatCompletionUserMessageParam = {"role": "user", "content": "hello big world"}
FINISH = Finish(FinishReason.STOP, Usage(3, 5, thinking_tokens=2, cached_tokens=1, total_tokens=8))
FIRE = Failure(FailureClass.CALLER_FAULT, "it is on fire", status=400)
CUT = Failure(FailureClass.TRANSIENT, "it was cut")
WEATHER: openai.types.chat.ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "How it is outside.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": True,
    },
}
CALLS = (
    CallDelta(0, "call_1", "weather", '{"city":'),
    CallDelta(0, arguments='"Rome"}', signature="c2ln"),
    CallDelta(1, "call_2", "weather", '{"city":"Oslo"}'),
)
PNG = b"\x89PNG\r\n\x1a\nrest"


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

    async def collect(self, do: Callable[[openai.OpenAI], Iterable[T]]) -> list[T]:
        """Do something that gives a stream or pages; return all of it."""
        if isinstance(self._client, openai.OpenAI):
            return await asyncio.to_thread(lambda client: list(do(client)), self._client)
        given = do(cast("openai.OpenAI", self._client))
        items = given if hasattr(given, "__aiter__") else await cast("Awaitable[object]", given)
        return [item async for item in cast("AsyncIterator[T]", items)]

    async def accumulate(self, **fields: object) -> openai.types.chat.ParsedChatCompletion[None]:
        """Stream through the helper that puts an answer together: the strictest reader of chunks."""
        if isinstance(self._client, openai.OpenAI):
            return await asyncio.to_thread(self._accumulate, self._client, fields)
        async with self._client.chat.completions.stream(**fields) as stream:  # type: ignore[arg-type]
            return await stream.get_final_completion()

    @staticmethod
    def _accumulate(client: openai.OpenAI, fields: dict[str, object]) -> openai.types.chat.ParsedChatCompletion[None]:
        with client.chat.completions.stream(**fields) as stream:  # type: ignore[arg-type]
            return stream.get_final_completion()

    async def leave(self, **fields: object) -> list[str | None]:
        """Break out of a stream at its first words; return what came until then."""
        if isinstance(self._client, openai.OpenAI):
            return await asyncio.to_thread(self._leave, self._client, fields)
        heard = []
        async with await self._client.chat.completions.create(stream=True, **fields) as stream:  # type: ignore[call-overload]
            async for chunk in stream:
                heard.append(chunk.choices[0].delta.content)
                if heard[-1]:
                    break
        return heard

    @staticmethod
    def _leave(client: openai.OpenAI, fields: dict[str, object]) -> list[str | None]:
        heard = []
        with client.chat.completions.create(stream=True, **fields) as stream:  # type: ignore[call-overload]
            for chunk in stream:
                heard.append(chunk.choices[0].delta.content)
                if heard[-1]:
                    break
        return heard


Connect = Callable[..., Sdk]


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Give what makes clients of either kind; they never try again unless asked to, and are closed after the test."""
    async with AsyncExitStack() as clients:

        def make(server: Server, **options: object) -> Sdk:
            settings = {"base_url": f"{server.url}/v1", "api_key": "secret", "max_retries": 0, **options}
            if request.param == "sync":
                return Sdk(clients.enter_context(openai.OpenAI(**settings)))  # type: ignore[arg-type]
            client = openai.AsyncOpenAI(**settings)  # type: ignore[arg-type]
            clients.push_async_callback(client.close)
            return Sdk(client)

        yield make


def simulator() -> SimulatorProvider:
    """Return the provider that says what it was told, at once."""
    return SimulatorProvider(tokens_per_second=0, tokens=5)


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what nobody tells of; the test's timeout ends it otherwise."""
    while not holds():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)


async def failing(sdk: Sdk, **fields: object) -> openai.APIStatusError:
    """Ask for what fails; return what the client raises."""
    with pytest.raises(openai.APIStatusError) as caught:
        await sdk.call(
            lambda client: client.chat.completions.create(**{"model": "m", "messages": [HELLO]} | fields)  # type: ignore[call-overload]
        )
    return caught.value


async def test_a_plain_answer_is_read(serve: Serve, connect: Connect) -> None:
    """Text, reason, usage, and the id of the request."""
    server = await serve(simulator(), models=("sim/echo",))
    sdk = connect(server)

    answer = await sdk.call(
        lambda client: client.chat.completions.create(model="sim/echo", messages=[HELLO], max_tokens=2)
    )

    assert answer.choices[0].message.content == "hello big"
    assert answer.choices[0].message.refusal is None
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 2, 5)
    assert answer._request_id == server.ends[0].task.id
    assert openai.types.chat.ChatCompletion.model_validate(answer.model_dump(), strict=True) == answer


@pytest.mark.parametrize("include_usage", [True, False])
async def test_a_stream_is_read(serve: Serve, connect: Connect, *, include_usage: bool) -> None:
    """Word by word; the usage last, where it is wanted."""
    server = await serve(SimulatorProvider(tokens_per_second=1000, tokens=5), models=("sim/echo",))
    sdk = connect(server)

    chunks = await sdk.collect(
        lambda client: client.chat.completions.create(
            model="sim/echo", messages=[HELLO], stream=True, stream_options={"include_usage": include_usage}
        )
    )

    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.delta.content for choice in choices] == ["", "hello", " big", " world", None]
    assert choices[0].delta.role == "assistant"
    assert [choice.finish_reason for choice in choices] == [None, None, None, None, "stop"]
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([6] if include_usage else [])
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    for chunk in chunks:
        assert openai.types.chat.ChatCompletionChunk.model_validate(chunk.model_dump(), strict=True) == chunk


async def test_the_helper_puts_a_stream_together(serve: Serve, connect: Connect) -> None:
    """All choices, whichever comes first."""
    late = asyncio.Event()
    first = ScriptedProvider([late, "a", FINISH], ["b", FINISH], ["c", "d", FINISH])
    server = await serve(first)
    sdk = connect(server)

    asking = asyncio.ensure_future(sdk.accumulate(model="m", messages=[HELLO], n=3))
    await until(lambda: len(server.ends) == 2)
    late.set()
    answer = await asking

    assert [choice.message.content for choice in answer.choices] == ["a", "b", "cd"]
    assert [choice.finish_reason for choice in answer.choices] == ["stop"] * 3


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_called_and_answered(serve: Serve, connect: Connect, *, stream: bool) -> None:
    """Two at once; what the client sends back has the same calls and proofs, and the results by name."""
    provider = ScriptedProvider(
        [(Thought("Hm."),), CALLS, Finish(FinishReason.TOOL_CALLS)],
        ["Sun and snow.", FINISH],
    )
    sdk = connect(await serve(provider))
    asked = {"model": "m", "messages": [HELLO], "tools": [WEATHER], "parallel_tool_calls": True}

    if stream:
        answer = await sdk.accumulate(**asked)
    else:
        answer = await sdk.call(lambda client: client.chat.completions.create(**asked))  # type: ignore[call-overload]
    message = answer.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": city}
        for call, city in zip(message.tool_calls or (), ("sun", "snow"), strict=True)
    ]
    following = asked | {"messages": [HELLO, message, *results]}
    last = await sdk.call(lambda client: client.chat.completions.create(**following))  # type: ignore[call-overload]

    assert answer.choices[0].finish_reason == "tool_calls"
    assert not message.content
    assert [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()] == [
        ("call_1", "weather", '{"city":"Rome"}'),
        ("call_2", "weather", '{"city":"Oslo"}'),
    ]
    assert last.choices[0].message.content == "Sun and snow."
    first, second = (call.request for call in provider.calls)
    assert (first.tools[0].name, first.tools[0].strict) == ("weather", True)
    assert first.tool_choice == ToolChoice(parallel=True)
    assert second.messages[1].parts[1:] == (
        ToolCall("call_1", "weather", '{"city":"Rome"}', "c2ln"),
        ToolCall("call_2", "weather", '{"city":"Oslo"}'),
    )
    assert second.messages[2] == Message(
        Role.USER,
        (ToolResult("call_1", (Text("sun"),), "weather"), ToolResult("call_2", (Text("snow"),), "weather")),
    )


async def test_a_tool_may_be_demanded(serve: Serve, connect: Connect) -> None:
    """By its name."""
    provider = ScriptedProvider([CALLS, Finish(FinishReason.TOOL_CALLS)])
    sdk = connect(await serve(provider))

    await sdk.call(
        lambda client: client.chat.completions.create(
            model="m",
            messages=[HELLO],
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "weather"}},
        )
    )

    assert provider.calls[0].request.tool_choice == ToolChoice(ToolMode.REQUIRED, ("weather",))


class Weather(BaseModel):
    """How it is outside."""

    city: str
    degrees: int


async def test_structured_output_is_parsed(serve: Serve, connect: Connect) -> None:
    """The schema reaches the provider, and its JSON the caller's class."""
    provider = ScriptedProvider(['{"city":"Rome",', '"degrees":21}', FINISH])
    sdk = connect(await serve(provider))

    answer = await sdk.call(
        lambda client: client.chat.completions.parse(model="m", messages=[HELLO], response_format=Weather)
    )

    wanted = provider.calls[0].request.response_format
    assert answer.choices[0].message.parsed == Weather(city="Rome", degrees=21)
    assert wanted is not None
    assert (wanted.name, wanted.strict) == ("Weather", True)
    assert wanted.schema is not None
    assert set(msgspec.json.decode(wanted.schema)["properties"]) == {"city", "degrees"}


async def test_probabilities_are_read(serve: Serve, connect: Connect) -> None:
    """Whole and streamed."""
    token = msgspec.Raw(b'[{"token":"Hi","logprob":-0.5,"bytes":[72,105],"top_logprobs":[]}]')
    script = [(Delta("Hi"), Logprobs(token)), FINISH]
    provider = ScriptedProvider(script, script)
    sdk = connect(await serve(provider))
    asked = {"model": "m", "messages": [HELLO], "logprobs": True, "top_logprobs": 2}

    whole = await sdk.call(lambda client: client.chat.completions.create(**asked))  # type: ignore[call-overload]
    streamed = await sdk.accumulate(**asked)

    for answer in (whole, streamed):
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert [(each.token, each.logprob, each.bytes) for each in logprobs.content or ()] == [("Hi", -0.5, [72, 105])]
    assert [call.request.sampling.logprobs for call in provider.calls] == [2, 2]


async def test_thoughts_are_read_beside_the_content(serve: Serve, connect: Connect) -> None:
    """As `reasoning_content`; those that are signed in detail too, whichever way they came."""
    script = [(Thought("Hm"), Thought(".", "c2ln")), "So.", FINISH]
    provider = ScriptedProvider(script, script)
    sdk = connect(await serve(provider))
    asked = {"model": "m", "messages": [HELLO], "reasoning_effort": "low"}

    whole = await sdk.call(lambda client: client.chat.completions.create(**asked))  # type: ignore[call-overload]
    streamed = await sdk.accumulate(**asked)

    for answer in (whole, streamed):
        message = answer.choices[0].message.model_dump()
        assert (message["reasoning_content"], message["content"]) == ("Hm.", "So.")
        assert message["reasoning_details"] == [
            {"type": "reasoning.text", "index": 0, "text": "Hm.", "signature": "c2ln"}
        ]
    assert whole.usage is not None
    assert whole.usage.completion_tokens_details is not None
    assert whole.usage.completion_tokens_details.reasoning_tokens == 2
    assert provider.calls[0].request.reasoning is not None
    assert provider.calls[0].request.reasoning.effort == "low"


async def test_pictures_recordings_and_files_reach_the_provider(serve: Serve, connect: Connect) -> None:
    """In the order they stand in, before or behind the text."""
    provider = ScriptedProvider(["A dot.", FINISH])
    sdk = connect(await serve(provider))
    data = b64encode(PNG).decode()
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
        {"type": "text", "text": "What is it?"},
    ]

    await sdk.call(
        lambda client: client.chat.completions.create(model="m", messages=[{"role": "user", "content": content}])  # type: ignore[list-item, misc]
    )

    assert provider.calls[0].request.messages[0].parts == (
        Image("image/png", PNG, "low"),
        ImageUrl("https://example.com/a.png"),
        Audio("audio/wav", b"RIFF"),
        Document("application/pdf", b"%PDF-", "a.pdf"),
        Text("What is it?"),
    )


async def test_several_answers_are_several_tasks(serve: Serve, connect: Connect) -> None:
    """Side by side, with seeds of their own; what they took is added up."""
    provider = ScriptedProvider(["a", FINISH], ["b", FINISH])
    server = await serve(provider)
    sdk = connect(server)

    answer = await sdk.call(lambda client: client.chat.completions.create(model="m", messages=[HELLO], n=2, seed=7))

    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(0, "a"), (1, "b")]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 16
    assert [call.request.sampling.seed for call in provider.calls] == [7, 8]
    assert answer._request_id == "task_1"


@pytest.mark.parametrize("stream", [False, True])
async def test_several_answers_fail_together(serve: Serve, connect: Connect, *, stream: bool) -> None:
    """The others are cancelled: nobody reads them any more."""
    provider = ScriptedProvider([HANG], [FIRE], [HANG])
    server = await serve(provider)

    error = await failing(connect(server), n=3, stream=stream)
    await server.at_rest()

    assert "it is on fire" in error.message
    assert sorted(end.state for end in server.ends) == [TaskState.CANCELLED, TaskState.CANCELLED, TaskState.FAILED]


async def test_several_answers_are_refused_together(serve: Serve, connect: Connect) -> None:
    """Where there is no room for all of them, none stays."""
    server = await serve(ScriptedProvider([HANG]), max_size=2, slots=1)

    error = await failing(connect(server), n=4)
    await server.at_rest()

    assert isinstance(error, openai.RateLimitError)
    assert error.code == "rate_limit_exceeded"
    assert {end.state for end in server.ends} == {TaskState.CANCELLED}


async def test_the_models_are_listed(serve: Serve, connect: Connect) -> None:
    """Each can be asked for, also where its id has slashes: the client sends them as %2F."""
    sdk = connect(await serve(simulator(), models=("sim/echo", "z-ai/glm-4.5-air:free")))

    models = await sdk.collect(lambda client: client.models.list())
    one = await sdk.call(lambda client: client.models.retrieve("z-ai/glm-4.5-air:free"))

    assert [(model.id, model.object, model.owned_by) for model in models] == [
        ("sim/echo", "model", "up"),
        ("z-ai/glm-4.5-air:free", "model", "up"),
    ]
    assert one == models[1]


@pytest.mark.parametrize("form", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
async def test_embeddings_are_read(serve: Serve, connect: Connect, form: dict[str, str]) -> None:
    """In base64, which the client asks for by itself and unpacks, and as numbers."""
    usage = Finish(FinishReason.STOP, Usage(4, total_tokens=4))
    sdk = connect(await serve(ScriptedProvider([(Vectors(((0.5, -0.25), (1.0, 0.0))),), usage])))

    answer = await sdk.call(
        lambda client: client.embeddings.create(model="m", input=["a", "b"], **form)  # type: ignore[arg-type]
    )

    assert [(each.index, each.embedding) for each in answer.data] == [(0, [0.5, -0.25]), (1, [1.0, 0.0])]
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (4, 4)


async def test_more_texts_than_a_request_may_have_are_refused(serve: Serve, connect: Connect) -> None:
    """As at OpenAI."""
    sdk = connect(await serve(ScriptedProvider()))

    with pytest.raises(openai.BadRequestError, match="input: got 2049 texts, expected 1 to 2048"):
        await sdk.call(lambda client: client.embeddings.create(model="m", input=["a"] * 2049))


APP = Caller("app", models=frozenset({"m"}))
KNOWN = Callers({hashlib.sha256(b"secret").digest(): APP})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "kind", "code", "param"),
    [
        ({"model": "nix"}, openai.NotFoundError, "model_not_found", "model"),
        ({"model": "other"}, openai.PermissionDeniedError, "permission_denied", "model"),
        ({"temperature": 3}, openai.BadRequestError, None, "temperature"),
        ({"logit_bias": {"1": 5}}, openai.BadRequestError, "unsupported_parameter", "logit_bias"),
    ],
)
async def test_what_is_wrong_with_a_request_is_raised(
    serve: Serve,
    connect: Connect,
    *,
    fields: dict[str, object],
    kind: type[openai.APIStatusError],
    code: str | None,
    param: str,
    stream: bool,
) -> None:
    """As the client's own exceptions, with all their attributes and the id of the request."""
    sdk = connect(await serve(ScriptedProvider(), models=("m", "other"), callers=KNOWN))

    error = await failing(sdk, stream=stream, **fields)

    assert type(error) is kind
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert error.request_id is not None
    assert error.request_id.startswith("req_")


async def test_an_unknown_key_is_raised(serve: Serve, connect: Connect) -> None:
    """As what it is."""
    sdk = connect(await serve(ScriptedProvider(), callers=KNOWN), api_key="wrong")

    error = await failing(sdk)

    assert type(error) is openai.AuthenticationError
    assert (error.code, error.type) == ("invalid_api_key", "invalid_request_error")
    assert error.request_id is not None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (FIRE, openai.BadRequestError),
        (CUT, openai.InternalServerError),
        (Failure(FailureClass.CREDENTIAL_DEAD, "no such key", status=401), openai.InternalServerError),
    ],
    ids=lambda value: value.kind if isinstance(value, Failure) else None,
)
async def test_what_a_provider_fails_at_is_raised(
    serve: Serve, connect: Connect, *, failure: Failure, kind: type[openai.APIStatusError], stream: bool
) -> None:
    """Once: Synapse has tried all there was to try, and says to the client that it need not do so thrice."""
    provider = ScriptedProvider(*[[failure]] * 3)
    server = await serve(provider, attempts=2)

    error = await failing(connect(server, max_retries=2), stream=stream)

    assert type(error) is kind
    assert len(server.ends) == 1
    assert error.request_id == server.ends[0].task.id


async def test_a_failure_in_the_middle_is_raised(serve: Serve, connect: Connect) -> None:
    """Behind the text that came; never is a part taken for the whole."""
    gate = asyncio.Event()
    server = await serve(ScriptedProvider(["Hel", gate, CUT]))
    sdk = connect(server)
    heard: list[str | None] = []

    def ask(client: openai.OpenAI) -> Iterable[object]:
        return client.chat.completions.create(model="m", messages=[HELLO], stream=True)

    with pytest.raises(openai.APIError, match="it was cut") as caught:
        await _listen(sdk, ask, heard, gate)

    assert heard == ["", "Hel"]
    assert (caught.value.code, caught.value.type) == ("provider_failed", "server_error")
    assert not isinstance(caught.value, openai.APIStatusError)


async def _listen(
    sdk: Sdk, ask: Callable[[openai.OpenAI], Iterable[object]], heard: list[str | None], gate: asyncio.Event
) -> None:
    """Read a stream; open the gate when the first words are there."""
    loop = asyncio.get_running_loop()

    def hear(chunk: openai.types.chat.ChatCompletionChunk) -> None:
        heard.append(chunk.choices[0].delta.content)
        if heard[-1]:
            loop.call_soon_threadsafe(gate.set)

    def listen(client: openai.OpenAI) -> list[None]:
        return [hear(chunk) for chunk in ask(client)]  # type: ignore[arg-type]

    if isinstance(sdk._client, openai.OpenAI):
        await asyncio.to_thread(listen, sdk._client)
        return
    async for chunk in await cast("Awaitable[AsyncIterator[openai.types.chat.ChatCompletionChunk]]", ask(sdk._client)):  # type: ignore[arg-type]
        hear(chunk)


async def test_comments_do_not_disturb_the_client(serve: Serve, connect: Connect) -> None:
    """While a task waits there is nothing else in its stream."""
    gate = asyncio.Event()
    server = await serve(ScriptedProvider([gate, "Because.", FINISH]), keepalive_seconds=0.01)
    sdk = connect(server)
    asyncio.get_running_loop().call_later(2.2, gate.set)

    chunks = await sdk.collect(lambda client: client.chat.completions.create(model="m", messages=[HELLO], stream=True))

    assert [choice.delta.content for chunk in chunks for choice in chunk.choices] == ["", "Because.", None]


@pytest.mark.parametrize("n", [1, 2])
async def test_a_stream_that_is_left_takes_its_tasks_along(serve: Serve, connect: Connect, n: int) -> None:
    """Wherever they stand, and their providers' connections."""
    provider = ScriptedProvider(["Hel", HANG], [HANG])
    server = await serve(provider)
    sdk = connect(server)

    heard = await sdk.leave(model="m", messages=[HELLO], n=n)
    await until(lambda: not provider.open)
    await server.at_rest()

    assert heard == ["", *[""] * (n - 1), "Hel"]
    assert [end.state for end in server.ends] == [TaskState.CANCELLED] * n
    assert provider.closed_early == n


async def test_a_client_that_lost_patience_does_not_make_the_work_twice(serve: Serve, connect: Connect) -> None:
    """It asks again without telling what it asked before: by then the first task is cancelled."""
    provider = ScriptedProvider([HANG], ["Because.", FINISH])
    server = await serve(provider, slots=1)
    sdk = connect(server, timeout=0.3, max_retries=1)

    answer = await sdk.call(lambda client: client.chat.completions.create(model="m", messages=[HELLO]))

    assert answer.choices[0].message.content == "Because."
    assert [end.state for end in server.ends] == [TaskState.CANCELLED, TaskState.SUCCEEDED]


def no_thinking(request: Request, model: str) -> tuple[Unsupported, ...]:
    """Name what a provider without thoughts, seeds and pictures cannot honour."""
    del model
    found = []
    if request.reasoning is not None:
        found.append(Unsupported("reasoning", "ask a model that thinks"))
    if request.sampling.seed is not None:
        found.append(Unsupported("seed", "leave it out"))
    if any(isinstance(part, Image) for message in request.messages for part in message.parts):
        found.append(Unsupported("images", "describe them"))
    return tuple(found)


async def test_what_cannot_be_honoured_is_named_in_openais_words(serve: Serve, connect: Connect) -> None:
    """With the model, and what does work."""
    sdk = connect(await serve(ScriptedProvider(), unsupported={"up": no_thinking}))
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64encode(PNG).decode()}"}}

    thinking = await failing(sdk, reasoning_effort="low")
    looking = await failing(
        sdk, messages=[{"role": "user", "content": [picture]}], extra_body={"drop_unsupported": True}
    )

    assert (thinking.code, thinking.param) == ("unsupported_parameter", "reasoning_effort")
    assert "reasoning_effort: the provider of m cannot honour it; ask a model that thinks" in thinking.message
    assert (looking.code, looking.param) == ("unsupported_parameter", "messages")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_honoured_is_dropped_and_listed(serve: Serve, connect: Connect, *, stream: bool) -> None:
    """Where the caller agrees, by a header of the client's."""
    provider = ScriptedProvider(["So.", FINISH])
    server = await serve(provider, unsupported={"up": no_thinking})
    sdk = connect(server, default_headers={"X-Synapse-Drop-Unsupported": "true"})

    raw = await sdk.call(
        lambda client: client.chat.completions.with_raw_response.create(
            model="m", messages=[HELLO], reasoning_effort="low", seed=7, verbosity="low", stream=stream
        )
    )

    assert raw.headers["x-synapse-dropped"] == "verbosity, reasoning_effort, seed"
    assert provider.calls[0].request.reasoning is None
    assert provider.calls[0].request.sampling.seed is None
