"""The official SDKs take the simulator for the real thing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import openai
import pytest
from google import genai
from google.genai import errors, types

from synapse.simulator import Fault, FaultKind, Options, Quota, Simulator

if TYPE_CHECKING:
    from conftest import Serve

google = pytest.mark.filterwarnings(
    # google-genai inherits from aiohttp's session, which aiohttp discourages.
    "ignore:Inheritance class AiohttpClientSession from ClientSession is discouraged:DeprecationWarning"
)
versions = pytest.mark.parametrize("version", ["v1", "v1beta", None], ids=["v1", "v1beta", "default"])
PREFIXES = {"openai": "/v1", "openrouter": "/api/v1"}
dialects = pytest.mark.parametrize("dialect", ["openai", "openrouter"])
USER: openai.types.chat.ChatCompletionUserMessageParam = {"role": "user", "content": "echo hello big world"}


class Gemini:
    """Makes Gemini clients."""

    def __init__(self, serve: Serve) -> None:
        """Take the way to start a simulator."""
        self._serve = serve
        self._clients: list[genai.Client] = []

    async def connect(self, options: Options, *, version: str | None = "v1beta", key: str = "key-1") -> genai.Client:
        """Return a client of a simulator of its own."""
        http = types.HttpOptions(base_url=await self._serve(Simulator(options)), api_version=version)
        self._clients.append(genai.Client(api_key=key, http_options=http))
        return self._clients[-1]

    async def aclose(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.aio.aclose()
            client.close()


@pytest.fixture
async def gemini(serve: Serve) -> AsyncIterator[Gemini]:
    """Return a way to make Gemini clients."""
    makers = Gemini(serve)
    yield makers
    await makers.aclose()


class OpenAI:
    """Makes OpenAI clients."""

    def __init__(self, serve: Serve) -> None:
        """Take the way to start a simulator."""
        self._serve = serve
        self._clients: list[openai.AsyncOpenAI] = []

    async def connect(self, dialect: str, options: Options, *, key: str = "key-1") -> openai.AsyncOpenAI:
        """Return a client of a simulator of its own, that never tries again."""
        url = await self._serve(Simulator(options)) + PREFIXES[dialect]
        self._clients.append(openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0))
        return self._clients[-1]

    async def aclose(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.close()


@pytest.fixture
async def chat(serve: Serve) -> AsyncIterator[OpenAI]:
    """Return a way to make OpenAI clients."""
    makers = OpenAI(serve)
    yield makers
    await makers.aclose()


@google
@versions
async def test_google_genai_reads_a_plain_answer(gemini: Gemini, version: str | None) -> None:
    """Text, usage and finish reason, with every option that it can send set."""
    client = await gemini.connect(Options(port=0), version=version)
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        max_output_tokens=2,
        stop_sequences=["nowhere"],
        seed=1,
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.BLOCK_NONE
            )
        ],
        thinking_config=types.ThinkingConfig(thinking_budget=0),
    )

    answer = await client.aio.models.generate_content(model="m", contents="echo hello big world", config=config)

    assert answer.text == "hello big"
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.total_token_count) == (6, 8)


@google
@versions
async def test_google_genai_reads_a_stream(gemini: Gemini, version: str | None) -> None:
    """Token by token, with thoughts before them."""
    client = await gemini.connect(Options(port=0), version=version)
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))

    stream = await client.aio.models.generate_content_stream(model="m", contents="echo hello world", config=config)
    chunks = [chunk async for chunk in stream]

    assert [chunk.text for chunk in chunks if chunk.text] == ["hello", " world"]
    assert chunks[-1].usage_metadata is not None
    assert chunks[-1].usage_metadata.thoughts_token_count == 8
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP


@google
async def test_google_genai_takes_images_and_tools_along(gemini: Gemini) -> None:
    """What the simulator does not mind, it accepts."""
    client = await gemini.connect(Options(port=0))
    parts = [types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png"), types.Part.from_text(text="echo hi")]
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="f", parameters_json_schema={})])

    answer = await client.aio.models.generate_content(
        model="m",
        contents=types.Content(role="user", parts=parts),
        config=types.GenerateContentConfig(tools=[tool], response_mime_type="text/plain"),
    )

    assert answer.text == "hi"


@google
@versions
async def test_google_genai_lists_models_page_by_page(gemini: Gemini, version: str | None) -> None:
    """Following the pages by itself, and each model once."""
    client = await gemini.connect(Options(port=0), version=version)

    names = [model.name async for model in await client.aio.models.list()]

    assert len(names) == len(set(names)) > 50
    assert (await client.aio.models.get(model="gemini-2.5-flash")).name == "models/gemini-2.5-flash"


@google
@versions
@pytest.mark.parametrize(
    ("key", "model", "options", "status", "kind"),
    [
        ("invalid-1", "m", {}, 400, errors.ClientError),
        ("key-1", "missing-1", {}, 404, errors.ClientError),
        ("key-1", "m", {"limits": Quota(rpm=0)}, 429, errors.ClientError),
        ("key-1", "m", {"faults": (Fault(1, FaultKind.INTERNAL),)}, 500, errors.ServerError),
        ("key-1", "m", {"faults": (Fault(1, FaultKind.UNAVAILABLE),)}, 503, errors.ServerError),
    ],
)
async def test_google_genai_raises_its_own_errors(
    gemini: Gemini, *, version: str | None, key: str, model: str, options: dict[str, object], status: int, kind: type
) -> None:
    """Plain and streamed."""
    client = await gemini.connect(Options(port=0, **options), version=version, key=key)  # type: ignore[arg-type]

    with pytest.raises(kind) as plain:
        await client.aio.models.generate_content(model=model, contents="hi")
    with pytest.raises(kind) as streamed:
        async for _ in await client.aio.models.generate_content_stream(model=model, contents="hi"):
            pass

    assert (plain.value.code, streamed.value.code) == (status, status)
    assert plain.value.status == streamed.value.status


@dialects
async def test_openai_reads_a_plain_answer(chat: OpenAI, dialect: str) -> None:
    """Text, usage and finish reason."""
    client = await chat.connect(dialect, Options(port=0))

    answer = await client.chat.completions.create(model="m", messages=[USER], max_tokens=2)

    assert answer.choices[0].message.content == "hello big"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 2)


@dialects
async def test_openai_reads_a_stream(chat: OpenAI, dialect: str) -> None:
    """Token by token, with the usage at its end."""
    client = await chat.connect(dialect, Options(port=0))

    stream = await client.chat.completions.create(
        model="m", messages=[USER], stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]

    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert texts == ["hello", " big", " world"]
    assert {choice.finish_reason for chunk in chunks for choice in chunk.choices} == {None, "stop"}
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [7]


@dialects
async def test_openai_puts_a_stream_together(chat: OpenAI, dialect: str) -> None:
    """Its helper that accumulates is the strictest reader of chunks."""
    client = await chat.connect(dialect, Options(port=0))

    async with client.chat.completions.stream(model="m", messages=[USER], n=2) as stream:
        answer = await stream.get_final_completion()

    assert [choice.message.content for choice in answer.choices] == ["hello big world"] * 2


@dialects
async def test_openai_lists_models(chat: OpenAI, dialect: str) -> None:
    """OpenRouter's list as well."""
    client = await chat.connect(dialect, Options(port=0))

    assert [model.id async for model in client.models.list()]


@dialects
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("key", "model", "options", "kind"),
    [
        ("invalid-1", "m", {}, openai.AuthenticationError),
        ("key-1", "missing-1", {}, (openai.NotFoundError, openai.BadRequestError)),
        ("key-1", "m", {"limits": Quota(rpm=0)}, openai.RateLimitError),
        ("key-1", "m", {"faults": (Fault(1, FaultKind.RATE_LIMITED),)}, openai.RateLimitError),
        ("key-1", "m", {"faults": (Fault(1, FaultKind.INTERNAL),)}, openai.InternalServerError),
        ("key-1", "m", {"faults": (Fault(1, FaultKind.UNAVAILABLE),)}, openai.InternalServerError),
    ],
)
async def test_openai_raises_its_own_errors(
    chat: OpenAI,
    *,
    dialect: str,
    stream: bool,
    key: str,
    model: str,
    options: dict[str, object],
    kind: type[openai.APIStatusError],
) -> None:
    """With the message that the simulator gave."""
    client = await chat.connect(dialect, Options(port=0, **options), key=key)  # type: ignore[arg-type]

    with pytest.raises(kind) as raised:
        await client.chat.completions.create(model=model, messages=[USER], stream=stream)

    assert isinstance(raised.value.body, dict)
    assert raised.value.body["message"] in raised.value.message


async def test_openai_tells_the_request_id(chat: OpenAI) -> None:
    """It reads it from the headers."""
    client = await chat.connect("openai", Options(port=0))

    answer = await client.chat.completions.create(model="m", messages=[USER])

    assert answer._request_id is not None
    assert answer._request_id.startswith("req_")


@dialects
async def test_openai_sees_that_an_answer_was_cut(chat: OpenAI, dialect: str) -> None:
    """As a connection that broke, not as a complete answer."""
    client = await chat.connect(dialect, Options(port=0, faults=(Fault(1, FaultKind.CUT),)))

    with pytest.raises((openai.APIConnectionError, openai.APIError)):
        async for _ in await client.chat.completions.create(model="m", messages=[USER], stream=True):
            pass
