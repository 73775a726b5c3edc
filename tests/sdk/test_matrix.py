"""Every feature of the official clients, through every port, over every wire, to the simulator at the other end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from synapse.app import App, running
from synapse.config import load
from synapse.providers.catalog import resolve
from synapse.simulator import Options, Simulator

if TYPE_CHECKING:
    from pathlib import Path

KEY = "key-of-app"
ENVIRON = {"GENAI_API_KEYS": "up-1", "OPENAI_KEYS": "up-2", "ANTHROPIC_API_KEYS": "up-3"}
MODELS = {"gemini": "gemini-3-flash-preview", "openai": "gpt-4o", "anthropic": "claude-haiku-4-5-20251001"}
"""The model that is asked over each wire."""
THINKING = {**MODELS, "openai": "gpt-5"}
"""A model over each wire that thinks."""
MISSING = "missing-{}"
"""A model that Synapse has over each wire, and the provider behind it has not."""
VECTORS = {"gemini": "gemini-embedding-001", "openai": "text-embedding-3-small", "anthropic": MODELS["anthropic"]}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
SIGHT = f"image/png of {len(PNG)} bytes"
TWO_CALLS = 'call weather {"place": "Rome"}\ncall weather {"place": "Oslo"}'
PLACES = [{"place": "Rome"}, {"place": "Oslo"}]
SCHEMA: dict[str, object] = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
ECHO = "echo Hello there, you"
WORDS = "Hello there, you"

wires = pytest.mark.parametrize("wire", list(MODELS))


class Person(BaseModel):
    """What structured output is parsed into."""

    name: str
    age: int


LOREM = Person(name="lorem", age=1)


class Served:
    """A Synapse in front of a simulator, and a client of each kind for it."""

    def __init__(self, app: App, simulator: Simulator, clients: AsyncExitStack) -> None:
        """Take the running parts, and what closes the clients."""
        self.app = app
        self.simulator = simulator
        self._clients = clients
        self._url = f"http://127.0.0.1:{app.http_port}"

    async def openai(self, key: str = KEY) -> openai.AsyncOpenAI:
        """Return a client that does not try again."""
        client = openai.AsyncOpenAI(base_url=f"{self._url}/v1", api_key=key, max_retries=0)
        return await self._clients.enter_async_context(client)

    async def anthropic(self, key: str = KEY) -> anthropic.AsyncAnthropic:
        """Return a client that does not try again."""
        client = anthropic.AsyncAnthropic(base_url=self._url, api_key=key, max_retries=0)
        return await self._clients.enter_async_context(client)

    async def left(self) -> None:
        """Wait until the simulator sees that a caller has gone, and Synapse has nothing more to do."""
        while not self.simulator.stats().disconnects:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
        while (stats := self.app.broker.stats()).running or stats.waiting:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.001)


Start = Callable[..., Awaitable[Served]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Give what starts a Synapse in front of a simulator with the options given; all stops after the test."""
    async with AsyncExitStack() as parts:

        async def serve(**options: Any) -> Served:  # noqa: ANN401 - those of the simulator
            simulator = Simulator(Options(port=0, **options))
            url = await parts.enter_async_context(simulator.serve())
            file = tmp_path / "config.yaml"
            file.write_text(json.dumps(_configuration(url)))
            config = load(file, ENVIRON)
            app = await parts.enter_async_context(running(config, resolve(config, ENVIRON), cores=1, environ=ENVIRON))
            clients = await parts.enter_async_context(AsyncExitStack())
            return Served(app, simulator, clients)

        yield serve


def _configuration(url: str) -> dict[str, object]:
    addresses = {"gemini": url, "openai": f"{url}/v1", "anthropic": url}
    models: dict[str, dict[str, object]] = {
        wire: {
            "base_url": address,
            "codes": sorted({MODELS[wire], THINKING[wire], VECTORS[wire], MISSING.format(wire)}),
        }
        for wire, address in addresses.items()
    }
    models["openai"] |= {"type": "openai", "api_keys_env": "OPENAI_KEYS"}
    caller = {"name": "app", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
    server = {"http_port": 0, "grpc_port": 0, "keepalive_seconds": 5, "callers": [caller]}
    return {"server": server, "retry": {"base_delay": 0.001}, "models": models}


def place(arguments: str) -> str:
    """Return the place that a call is about."""
    found: dict[str, str] = json.loads(arguments)
    return found["place"]


def user(text: str) -> list[Any]:
    """Return a conversation of one message."""
    return [{"role": "user", "content": text}]


@wires
class TestOpenAiChat:
    """Port: chat completions."""

    async def test_plain(self, start: Start, wire: str) -> None:
        """Text, reason and usage."""
        client = await (await start()).openai()

        answer = await client.chat.completions.create(model=MODELS[wire], messages=user(ECHO))

        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (WORDS, "stop")
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 3, 7)

    async def test_streamed_with_usage(self, start: Start, wire: str) -> None:
        """Token by token, and at the end what a plain answer counts."""
        client = await (await start()).openai()

        stream = await client.chat.completions.create(
            model=MODELS[wire], messages=user(ECHO), stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]

        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert [text for text in texts if text] == ["Hello", " there,", " you"]
        assert chunks[-1].usage is not None
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (4, 3)

    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    async def test_two_tools_go_round(self, start: Start, wire: str, streamed: bool) -> None:  # noqa: FBT001
        """Two calls at once, whose results the model then repeats."""
        client = await (await start()).openai()
        tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
        asked: Any = {"model": MODELS[wire], "tools": [tool]}

        message = await _chat(client, streamed=streamed, messages=user(TWO_CALLS), **asked)
        results = [
            {
                "role": "tool",
                "tool_call_id": call.id,
                "content": f"rain in {json.loads(call.function.arguments)['place']}",
            }
            for call in message.tool_calls
        ]
        said = message.model_dump(exclude_none=True, exclude={"parsed"})
        last = await _chat(client, streamed=streamed, messages=[*user(TWO_CALLS), said, *results], **asked)

        assert [json.loads(call.function.arguments) for call in message.tool_calls] == PLACES
        assert len({call.id for call in message.tool_calls}) == 2
        assert last.content == "rain in Rome\nrain in Oslo"

    async def test_structured_output(self, start: Start, wire: str) -> None:
        """Parsed by the client itself."""
        client = await (await start()).openai()

        answer = await client.chat.completions.parse(
            model=MODELS[wire], messages=user("Who is it?"), response_format=Person
        )

        assert answer.choices[0].message.parsed == LOREM

    async def test_image(self, start: Start, wire: str) -> None:
        """The provider sees the picture as it was sent."""
        client = await (await start()).openai()
        url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        parts: Any = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]

        answer = await client.chat.completions.create(model=MODELS[wire], messages=[{"role": "user", "content": parts}])

        assert answer.choices[0].message.content == SIGHT

    async def test_bad_key(self, start: Start, wire: str) -> None:
        """The client's own class, and the id of the request."""
        client = await (await start()).openai(key="nobodys")

        with pytest.raises(openai.AuthenticationError) as raised:
            await client.chat.completions.create(model=MODELS[wire], messages=user(ECHO))

        assert raised.value.request_id

    async def test_model_the_provider_has_not(self, start: Start, wire: str) -> None:
        """It is Synapse that was set up with it: a fault of the server, in the client's own class."""
        client = await (await start()).openai()

        with pytest.raises(openai.InternalServerError) as raised:
            await client.chat.completions.create(model=MISSING.format(wire), messages=user(ECHO))

        assert (raised.value.status_code, bool(raised.value.request_id)) == (502, True)
        assert MISSING.format(wire) in raised.value.message

    async def test_unknown_model(self, start: Start, wire: str) -> None:
        """A model that is nowhere is not found, whatever is there."""
        client = await (await start()).openai()

        with pytest.raises(openai.NotFoundError) as raised:
            await client.chat.completions.create(model=f"{MODELS[wire]}-nowhere", messages=user(ECHO))

        assert raised.value.request_id

    async def test_breaking_out(self, start: Start, wire: str) -> None:
        """Who leaves a stream takes the provider's answer along."""
        served = await start(interval=0.01, tokens=100_000)
        client = await served.openai()

        async with await client.chat.completions.create(
            model=MODELS[wire], messages=user("Go on."), stream=True
        ) as stream:
            await anext(aiter(stream))

        await served.left()

    async def test_thinking(self, start: Start, wire: str) -> None:
        """Thoughts come beside the content, streamed too, and count as reasoning."""
        client = await (await start()).openai()
        asked: Any = {"model": THINKING[wire], "messages": user(ECHO), "reasoning_effort": "high"}

        answer = await client.chat.completions.create(**asked)
        stream = await client.chat.completions.create(stream=True, **asked)
        deltas = [chunk.choices[0].delta.model_dump() async for chunk in stream if chunk.choices]

        message = answer.choices[0].message.model_dump()
        assert message["content"] == "".join(delta.get("content") or "" for delta in deltas) == WORDS
        assert len(message["reasoning_content"].split()) == 8
        assert len("".join(delta.get("reasoning_content") or "" for delta in deltas).split()) == 8


class TestOpenAiHonesty:
    """Port: chat completions, asked for what a wire cannot say."""

    async def test_anthropic_has_no_seed(self, start: Start) -> None:
        """The parameter is named, and what does work."""
        client = await (await start()).openai()

        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(model=MODELS["anthropic"], messages=user(ECHO), seed=1)

        assert raised.value.param == "seed"
        assert "temperature" in raised.value.message

    async def test_gemini_cannot_be_kept_from_parallel_calls(self, start: Start) -> None:
        """The parameter is named."""
        client = await (await start()).openai()
        tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
        asked: Any = {"model": MODELS["gemini"], "messages": user(TWO_CALLS), "tools": [tool]}

        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(parallel_tool_calls=False, **asked)

        assert raised.value.param == "parallel_tool_calls"

    @pytest.mark.parametrize("wire", ["openai", "anthropic"])
    async def test_others_can(self, start: Start, wire: str) -> None:
        """One call is made of the two that were asked for."""
        client = await (await start()).openai()
        tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}

        answer = await client.chat.completions.create(
            model=MODELS[wire], messages=user(TWO_CALLS), tools=[tool], parallel_tool_calls=False
        )

        assert len(answer.choices[0].message.tool_calls or ()) == 1


@wires
class TestOpenAiResponses:
    """Port: responses."""

    async def test_plain(self, start: Start, wire: str) -> None:
        """Text and usage."""
        client = await (await start()).openai()

        answer = await client.responses.create(model=MODELS[wire], input=ECHO)

        assert (answer.output_text, answer.status) == (WORDS, "completed")
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 3)

    async def test_streamed(self, start: Start, wire: str) -> None:
        """Events in order, numbered, with the usage in the last."""
        client = await (await start()).openai()

        stream = await client.responses.create(model=MODELS[wire], input=ECHO, stream=True)
        events = [event async for event in stream]

        assert [event.sequence_number for event in events] == list(range(len(events)))
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert deltas == ["Hello", " there,", " you"]
        last = events[-1]
        assert last.type == "response.completed"
        assert last.response.output_text == WORDS
        assert last.response.usage is not None
        assert last.response.usage.total_tokens == 7

    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    async def test_two_tools_go_round(self, start: Start, wire: str, streamed: bool) -> None:  # noqa: FBT001
        """Two calls at once, whose results the model then repeats."""
        client = await (await start()).openai()
        tool: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
        asked: Any = {"model": MODELS[wire], "tools": [tool]}

        first = await _respond(client, streamed=streamed, input=user(TWO_CALLS), **asked)
        calls = [item for item in first.output if item.type == "function_call"]
        results = [
            {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": f"rain in {place(call.arguments)}",
            }
            for call in calls
        ]
        history = [*user(TWO_CALLS), *(item.model_dump(exclude_none=True) for item in first.output), *results]
        last = await _respond(client, streamed=streamed, input=history, **asked)

        assert [json.loads(call.arguments) for call in calls] == PLACES
        assert last.output_text == "rain in Rome\nrain in Oslo"

    async def test_structured_output(self, start: Start, wire: str) -> None:
        """Parsed by the client itself."""
        client = await (await start()).openai()

        answer = await client.responses.parse(model=MODELS[wire], input="Who is it?", text_format=Person)

        assert answer.output_parsed == LOREM

    async def test_image(self, start: Start, wire: str) -> None:
        """The provider sees the picture as it was sent."""
        client = await (await start()).openai()
        url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        parts: Any = [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": url}]

        answer = await client.responses.create(model=MODELS[wire], input=[{"role": "user", "content": parts}])

        assert answer.output_text == SIGHT

    async def test_bad_key(self, start: Start, wire: str) -> None:
        """The client's own class, and the id of the request."""
        client = await (await start()).openai(key="nobodys")

        with pytest.raises(openai.AuthenticationError) as raised:
            await client.responses.create(model=MODELS[wire], input=ECHO)

        assert raised.value.request_id

    async def test_model_the_provider_has_not(self, start: Start, wire: str) -> None:
        """It is Synapse that was set up with it: a fault of the server, in the client's own class."""
        client = await (await start()).openai()

        with pytest.raises(openai.InternalServerError) as raised:
            await client.responses.create(model=MISSING.format(wire), input=ECHO)

        assert (raised.value.status_code, bool(raised.value.request_id)) == (502, True)
        assert MISSING.format(wire) in raised.value.message

    async def test_unknown_model(self, start: Start, wire: str) -> None:
        """A model that is nowhere is not found, whatever is there."""
        client = await (await start()).openai()

        with pytest.raises(openai.NotFoundError) as raised:
            await client.responses.create(model=f"{MODELS[wire]}-nowhere", input=ECHO)

        assert raised.value.request_id

    async def test_breaking_out(self, start: Start, wire: str) -> None:
        """Who leaves a stream takes the provider's answer along."""
        served = await start(interval=0.01, tokens=100_000)
        client = await served.openai()

        async with await client.responses.create(model=MODELS[wire], input="Go on.", stream=True) as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    break

        await served.left()


class TestOpenAiEmbeddings:
    """Port: embeddings."""

    @pytest.mark.parametrize("form", ["float", "base64"])
    @pytest.mark.parametrize("wire", ["gemini", "openai"])
    async def test_vectors(self, start: Start, wire: str, form: Any) -> None:  # noqa: ANN401 - the client's literal
        """One of each text, as long as was asked for, and the same for the same text."""
        client = await (await start()).openai()

        answer = await client.embeddings.create(
            model=VECTORS[wire], input=["one", "two", "one"], dimensions=16, encoding_format=form
        )

        vectors = [_numbers(item.embedding) for item in answer.data]
        assert [item.index for item in answer.data] == [0, 1, 2]
        assert [len(vector) for vector in vectors] == [16] * 3
        assert vectors[0] == vectors[2] != vectors[1]
        assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-6)

    async def test_anthropic_has_none_and_says_so(self, start: Start) -> None:
        """A request for vectors of a model that has none names the model."""
        client = await (await start()).openai()

        with pytest.raises(openai.BadRequestError) as raised:
            await client.embeddings.create(model=VECTORS["anthropic"], input="one")

        assert VECTORS["anthropic"] in raised.value.message


@wires
class TestAnthropicMessages:
    """Port: messages."""

    async def test_plain(self, start: Start, wire: str) -> None:
        """Text, reason and usage."""
        client = await (await start()).anthropic()

        answer = await client.messages.create(model=MODELS[wire], max_tokens=50, messages=user(ECHO))

        assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": WORDS}]
        assert answer.stop_reason == "end_turn"
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 3)

    async def test_streamed_with_usage(self, start: Start, wire: str) -> None:
        """Token by token, and at the end what a plain answer counts."""
        client = await (await start()).anthropic()

        async with client.messages.stream(model=MODELS[wire], max_tokens=50, messages=user(ECHO)) as stream:
            texts = [text async for text in stream.text_stream]
            final = await stream.get_final_message()

        assert texts == ["Hello", " there,", " you"]
        assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (4, 3, "end_turn")

    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    async def test_two_tools_go_round(self, start: Start, wire: str, streamed: bool) -> None:  # noqa: FBT001
        """Two calls at once, whose results the model then repeats."""
        client = await (await start()).anthropic()
        tool: Any = {"name": "weather", "input_schema": SCHEMA}
        asked: Any = {"model": MODELS[wire], "max_tokens": 100, "tools": [tool]}

        message = await _message(client, streamed=streamed, messages=user(TWO_CALLS), **asked)
        calls = [block for block in message.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"rain in {call.input['place']}"}
            for call in calls
        ]
        said = {"role": "assistant", "content": message.content}
        history = [*user(TWO_CALLS), said, {"role": "user", "content": results}]
        last = await _message(client, streamed=streamed, messages=history, **asked)

        assert message.stop_reason == "tool_use"
        assert [call.input for call in calls] == PLACES
        assert last.content[0].text == "rain in Rome\nrain in Oslo"

    async def test_structured_output(self, start: Start, wire: str) -> None:
        """Parsed by the client itself."""
        client = await (await start()).anthropic()

        answer = await client.messages.parse(
            model=MODELS[wire], max_tokens=100, messages=user("Who is it?"), output_format=Person
        )

        assert answer.parsed_output == LOREM

    async def test_image(self, start: Start, wire: str) -> None:
        """The provider sees the picture as it was sent."""
        client = await (await start()).anthropic()
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
        blocks: Any = [{"type": "image", "source": source}, {"type": "text", "text": "look"}]

        answer = await client.messages.create(
            model=MODELS[wire], max_tokens=50, messages=[{"role": "user", "content": blocks}]
        )

        assert answer.content[0].to_dict() == {"type": "text", "text": SIGHT}

    async def test_bad_key(self, start: Start, wire: str) -> None:
        """The client's own class, and the id of the request."""
        client = await (await start()).anthropic(key="nobodys")

        with pytest.raises(anthropic.AuthenticationError) as raised:
            await client.messages.create(model=MODELS[wire], max_tokens=50, messages=user(ECHO))

        assert raised.value.request_id

    async def test_model_the_provider_has_not(self, start: Start, wire: str) -> None:
        """It is Synapse that was set up with it: a fault of the server, in the client's own class."""
        client = await (await start()).anthropic()

        with pytest.raises(anthropic.InternalServerError) as raised:
            await client.messages.create(model=MISSING.format(wire), max_tokens=50, messages=user(ECHO))

        assert (raised.value.status_code, bool(raised.value.request_id)) == (502, True)
        assert MISSING.format(wire) in raised.value.message

    async def test_unknown_model(self, start: Start, wire: str) -> None:
        """A model that is nowhere is not found, whatever is there."""
        client = await (await start()).anthropic()

        with pytest.raises(anthropic.NotFoundError) as raised:
            await client.messages.create(model=f"{MODELS[wire]}-nowhere", max_tokens=50, messages=user(ECHO))

        assert raised.value.request_id

    async def test_breaking_out(self, start: Start, wire: str) -> None:
        """Who leaves a stream takes the provider's answer along."""
        served = await start(interval=0.01, tokens=100_000)
        client = await served.anthropic()

        async with client.messages.stream(model=MODELS[wire], max_tokens=50_000, messages=user("Go on.")) as stream:
            await anext(aiter(stream.text_stream))

        await served.left()

    async def test_thinking(self, start: Start, wire: str) -> None:
        """Thoughts come in a block of their own before the text."""
        client = await (await start()).anthropic()

        answer = await client.messages.create(
            model=THINKING[wire],
            max_tokens=2000,
            messages=user(ECHO),
            thinking={"type": "enabled", "budget_tokens": 1024},
        )

        thought, text = answer.content
        assert thought.type == "thinking"
        assert len(thought.thinking.split()) == 8
        assert text.to_dict() == {"type": "text", "text": WORDS}


async def test_messages_over_openai_with_thinking_that_a_model_has_not_is_refused(start: Start) -> None:
    """The parameter is named, in the port's words, and so is the model."""
    client = await (await start()).anthropic()

    with pytest.raises(anthropic.BadRequestError) as raised:
        await client.messages.create(
            model=MODELS["openai"],
            max_tokens=2000,
            messages=user(ECHO),
            thinking={"type": "enabled", "budget_tokens": 1024},
        )

    assert "thinking" in raised.value.message
    assert MODELS["openai"] in raised.value.message


async def _chat(client: openai.AsyncOpenAI, *, streamed: bool, **asked: Any) -> Any:  # noqa: ANN401 - either kind
    if not streamed:
        return (await client.chat.completions.create(**asked)).choices[0].message
    async with client.chat.completions.stream(**asked) as stream:
        return (await stream.get_final_completion()).choices[0].message


async def _respond(client: openai.AsyncOpenAI, *, streamed: bool, **asked: Any) -> Any:  # noqa: ANN401 - either kind
    if not streamed:
        return await client.responses.create(**asked)
    async with client.responses.stream(**asked) as stream:
        return await stream.get_final_response()


async def _message(client: anthropic.AsyncAnthropic, *, streamed: bool, **asked: Any) -> Any:  # noqa: ANN401
    if not streamed:
        return await client.messages.create(**asked)
    async with client.messages.stream(**asked) as stream:
        return await stream.get_final_message()


def _numbers(embedding: Any) -> list[float]:  # noqa: ANN401 - a list, or text where it was asked for
    if isinstance(embedding, list):
        return embedding
    packed = memoryview(base64.b64decode(embedding)).cast("f")
    return list(itertools.chain(packed))
