"""Every recorded answer is played back: to the byte in its own form, and with the same content in any other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from synapse.simulator import Options, Simulator
from synapse.simulator.dialects import gemini
from synapse.simulator.dialects.base import Form

if TYPE_CHECKING:
    from conftest import Answer, Caller

Fields = Mapping[str, object]

RECORDINGS = Path(os.environ.get("SYNAPSE_RECORDINGS", Path(__file__).parents[3] / "shared" / "recordings"))
no_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"no recordings in {RECORDINGS}; SYNAPSE_RECORDINGS can name another directory"
)
pytestmark = [no_recordings, pytest.mark.asyncio(loop_scope="module")]

HEADERS = {"x-goog-api-key": "k", "authorization": "Bearer k"}
METHODS = {"plain": "generateContent", "sse": "streamGenerateContent?alt=sse", "array": "streamGenerateContent"}
FORMS = {"json": "plain", "sse": "sse", "json-array-stream": "array"}
DROPPED = ("connection", "content-encoding", "content-length", "transfer-encoding")
FAILS_MIDWAY = ("openai-compatible/groq-stream-tool-error-1", "openrouter/stream-midstream-error")
CANNOT_BE_TOLD_APART = (
    "gemini/tools-mode-any-allowed-names",
    "gemini/tools-mode-any-required",
    "gemini/tools-mode-none",
    "openai-compatible/openai-stream-tools-parallel-2",
)
"""Their requests differ from those of other recordings only in their tools."""


class Request(msgspec.Struct):
    """A recorded request."""

    url: str
    body: dict[str, object]


class Response(msgspec.Struct):
    """A recorded answer."""

    status: int
    body_kind: str
    headers: dict[str, str]
    body: object


class Recording(msgspec.Struct):
    """A recorded exchange, read without the code under test."""

    request: Request
    response: Response

    @property
    def form(self) -> str:
        """How the answer is framed."""
        return FORMS[self.response.body_kind]

    @property
    def dialect(self) -> str:
        """The dialect of the request."""
        if "/chat/completions" not in self.request.url:
            return "gemini"
        return "openrouter" if "/api/v1/" in self.request.url else "openai"


class Content(msgspec.Struct):
    """What must be the same in every form."""

    text: str = ""
    thoughts: str = ""
    others: list[object] = []
    finish: object = None
    usage: object = None


def read(name: str) -> Recording:
    """Read a recording."""
    return msgspec.json.decode((RECORDINGS / f"{name}.json").read_bytes(), type=Recording)


def answers() -> Iterator[str]:
    """Yield the names of the recordings of requests for text, on wires that the simulator speaks."""
    for file in sorted(RECORDINGS.glob("*/*.json")):
        exchange = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
        path = str(cast("Fields", exchange["request"])["url"]).partition("?")[0]
        if path.endswith(("/chat/completions", ":generateContent", ":streamGenerateContent")):
            yield file.relative_to(RECORDINGS).with_suffix("").as_posix()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each recording that it is about, or skip it where there are none."""
    wanted = {
        "recorded": lambda _: True,
        "distinct": lambda name: name not in CANNOT_BE_TOLD_APART,
        "success": lambda name: name not in FAILS_MIDWAY and read(name).response.status == 200,
        "gemini_success": lambda name: read(name).dialect == "gemini" and read(name).response.status == 200,
    }
    for argument in wanted.keys() & set(metafunc.fixturenames):
        names = [name for name in answers() if wanted[argument](name)]
        metafunc.parametrize(argument, names or [pytest.param("", marks=no_recordings)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caller(talk: type[Caller]) -> AsyncIterator[Caller]:
    """Return a caller of a simulator that answers from the recordings."""
    simulator = Simulator(Options(port=0, replay=RECORDINGS))
    async with simulator.serve() as url, aiohttp.ClientSession() as session:
        yield talk(simulator, url, session)


async def ask_by_name(caller: Caller, name: str, dialect: str, form: str) -> Answer:
    """Ask for a recording as if it were a model."""
    if dialect == "gemini":
        body: dict[str, object] = {"contents": [{"parts": [{"text": "anything"}]}]}
        return await caller.ask(f"/v1beta/models/{name}:{METHODS[form]}", body, HEADERS)
    body = {"model": name, "messages": [{"role": "user", "content": "anything"}], "stream": form == "sse"}
    if form == "sse":
        body["stream_options"] = {"include_usage": True}
    path = "/api/v1/chat/completions" if dialect == "openrouter" else "/v1/chat/completions"
    return await caller.ask(path, body, HEADERS)


def chunks(body: bytes, form: str) -> list[Fields]:
    """Return the answer, or the partial answers, in a body."""
    if form == "sse":
        lines = body.decode().replace("\r\n", "\n").split("\n")
        data = [line[6:] for line in lines if line.startswith("data: ") and line != "data: [DONE]"]
        return [msgspec.json.decode(item) for item in data]
    decoded = msgspec.json.decode(body)
    return decoded if isinstance(decoded, list) else [decoded]


def each(fields: Fields, name: str) -> Iterator[Fields]:
    """Yield what is in a list of a chunk, if it is there."""
    yield from cast("Iterable[Fields]", fields.get(name) or ())


def gemini_content(parts: list[Fields]) -> Content:
    """Put an answer of Gemini's together."""
    whole = Content(others=[])
    for chunk in parts:
        whole.usage = chunk.get("usageMetadata", whole.usage)
        for candidate in each(chunk, "candidates"):
            whole.finish = candidate.get("finishReason", whole.finish)
            for part in each(cast("Fields", candidate.get("content", {})), "parts"):
                if part.get("thought"):
                    whole.thoughts += str(part["text"])
                elif "text" in part:
                    whole.text += str(part["text"])
                else:
                    whole.others.append(part)
    return whole


def chat_content(parts: list[Fields]) -> Content:
    """Put an answer of chat completions together."""
    whole = Content(others=[])
    calls: dict[object, list[str]] = {}
    for chunk in parts:
        whole.usage = chunk.get("usage") or whole.usage
        for choice in each(chunk, "choices"):
            whole.finish = choice.get("finish_reason") or whole.finish
            message = cast("Fields", choice.get("message") or choice.get("delta") or {})
            whole.text += str(message.get("content") or "")
            whole.thoughts += str(message.get("reasoning") or message.get("reasoning_content") or "")
            for number, call in enumerate(each(message, "tool_calls")):
                function = cast("Fields", call["function"])
                known = calls.setdefault(call.get("index", number), ["", "", ""])
                known[0] += str(call.get("id") or "")
                known[1] += str(function.get("name") or "")
                known[2] += str(function.get("arguments") or "")
    whole.others = list(calls.values())
    return whole


def content(dialect: str, body: bytes, form: str) -> Content:
    """Put an answer together."""
    parts = chunks(body, form)
    return gemini_content(parts) if dialect == "gemini" else chat_content(parts)


def raw(recording: Recording) -> bytes:
    """Return the recorded body."""
    body = recording.response.body
    return body.encode() if isinstance(body, str) else msgspec.json.encode(body)


async def test_a_recording_is_played_to_the_byte_in_its_own_form(caller: Caller, recorded: str) -> None:
    """Streams are the recorded text; JSON is the recorded JSON; so are status and headers."""
    recording = read(recorded)

    answer = await ask_by_name(caller, recorded, recording.dialect, recording.form)

    assert answer.status == recording.response.status
    assert answer.json == recording.response.body if recording.form == "plain" else answer.body == raw(recording)
    kept = {name: value for name, value in recording.response.headers.items() if name.lower() not in DROPPED}
    assert {name: answer.headers.get(name) for name in kept} == kept
    assert "content-encoding" not in answer.headers


async def test_a_recording_keeps_its_content_in_other_forms(caller: Caller, success: str) -> None:
    """The text, the thoughts, the calls of tools, the usage and the finish reason."""
    recording = read(success)
    forms = ["plain", "sse", "array"] if recording.dialect == "gemini" else ["plain", "sse"]
    expected = content(recording.dialect, raw(recording), recording.form)

    for form in forms:
        answer = await ask_by_name(caller, success, recording.dialect, form)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream" if form == "sse" else "application/json")
        assert content(recording.dialect, answer.body, form) == expected


async def test_a_recorded_request_gets_its_recorded_answer(caller: Caller, distinct: str) -> None:
    """Asked exactly as it was, with the model's own name."""
    recording = read(distinct)
    path = "/" + recording.request.url.partition("://")[2].partition("/")[2]

    answer = await caller.ask(path, recording.request.body, HEADERS)

    assert answer.status == recording.response.status
    assert answer.json == recording.response.body if recording.form == "plain" else answer.body == raw(recording)


@pytest.mark.parametrize("name", FAILS_MIDWAY)
async def test_a_stream_that_failed_midway_is_an_error_as_a_plain_answer(caller: Caller, name: str) -> None:
    """With the status that it told."""
    answer = await ask_by_name(caller, name, read(name).dialect, "plain")

    error = cast("dict[str, Fields]", answer.json)["error"]
    assert answer.status == error.get("status_code", error["code"]) == 400


async def test_recorded_requests_are_requests_that_the_simulator_takes(gemini_success: str) -> None:
    """What Gemini answered with 200 is nothing that its schema refuses."""
    body = msgspec.json.encode(read(gemini_success).request.body)

    assert gemini.parse(body, Form.PLAIN)["contents"]
