"""Which recording answers, and how: shown on recordings made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulator import Options, Simulator
from synapse.simulator.replay.cuts import cut

if TYPE_CHECKING:
    from conftest import Answer, Caller, Simulate

GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/"
OPENAI = "https://api.openai.com/v1/"
OPENROUTER = "https://openrouter.ai/api/v1/"
Record = Callable[..., None]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Return a way to put a recording into a directory."""

    def write(name: str, url: str, request: object = None, answer: object = None, **response: object) -> None:
        kind = "sse" if isinstance(answer, str) else "json"
        content = {
            "request": {"method": "POST" if request is not None else "GET", "url": url, "body": request},
            "response": {"status": 200, "headers": {}, "body_kind": kind, "body": answer, **response},
        }
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.encode(content))

    return write


@pytest.fixture
def replay(simulate: Simulate, tmp_path: Path) -> Simulate:
    """Start a simulator that answers from the recordings made so far."""

    async def start(**options: object) -> Caller:
        return await simulate(replay=tmp_path, **options)

    return start


def gemini_body(text: str = "hi", **more: object) -> dict[str, object]:
    """Return a request of Gemini's."""
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


def said(text: str) -> dict[str, object]:
    """Return an answer of Gemini's."""
    return {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP"}]}


def chat(text: str, **more: object) -> dict[str, object]:
    """Return an answer of chat completions."""
    message = {"role": "assistant", "content": text}
    return {"id": "1", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}


def heard(answer: Answer) -> object:
    """Return the text of a plain answer of Gemini's."""
    assert answer.status == 200
    return msgspec.json.decode(answer.body)["candidates"][0]["content"]["parts"][0]["text"]


async def test_a_model_that_is_a_recordings_name_gets_that_one(record: Record, replay: Simulate) -> None:
    """With its folder or, in its own dialect, without."""
    record("gemini/one", f"{GEMINI}m:generateContent", gemini_body(), said("one"))
    record("gemini/two", f"{GEMINI}m:generateContent", gemini_body(), said("two"))
    caller = await replay()

    assert heard(await caller.gemini(model="two")) == "two"
    assert heard(await caller.gemini(model="gemini/two")) == "two"
    assert heard(await caller.gemini(model="models/gemini/two")) == "two"


async def test_a_full_name_reaches_across_the_dialects_of_chat(record: Record, replay: Simulate) -> None:
    """But a recording of Gemini's answers nobody who speaks chat completions."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    record("openrouter/one", f"{OPENROUTER}chat/completions", body, chat("one"))
    record("gemini/one", f"{GEMINI}m:generateContent", gemini_body(), said("one"))
    caller = await replay()

    assert (await caller.openai(model="openrouter/one")).json == chat("one")
    assert (await caller.openai(model="one")).status == 404
    assert (await caller.openai(model="gemini/one")).status == 404
    assert (await caller.gemini(model="openrouter/one")).status == 404


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (gemini_body("hi"), "texts"),
        (gemini_body("hi", systemInstruction={"parts": [{"text": "Be brief."}]}), "system"),
        (
            {"contents": [{"parts": [{"text": "hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}]},
            "image",
        ),
        (gemini_body("hi", generation_config={"top_k": 3}), "config"),
        (gemini_body("unknown"), "another"),
        (gemini_body("unknown", generationConfig={"topK": 3}), "config"),
        (gemini_body("unknown", systemInstruction={"parts": [{"text": "Be brief."}]}), "system"),
    ],
)
async def test_the_recording_that_is_most_alike_answers(
    record: Record, replay: Simulate, asked: object, answer: str
) -> None:
    """Texts weigh most, then the system text, then images, then the configuration; the first name decides a tie."""
    image = {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}}
    requests = {
        "another": gemini_body("something else"),
        "config": gemini_body("hi", generationConfig={"topK": 3}),
        "image": {"contents": [{"parts": [{"text": "hi"}, image]}]},
        "system": gemini_body("hi", systemInstruction={"parts": [{"text": "Be brief."}]}),
        "texts": gemini_body("hi"),
        "texts-again": gemini_body("hi"),
    }
    for name, request in requests.items():
        record(f"gemini/{name}", f"{GEMINI}m:generateContent", request, said(name))
    caller = await replay()

    assert heard(await caller.ask("/v1beta/models/m:generateContent", asked, {"x-goog-api-key": "k"})) == answer


async def test_a_streamed_recording_answers_a_stream_before_a_plain_one_does(record: Record, replay: Simulate) -> None:
    """And the other way round, where all else is the same."""
    event = b"data: " + msgspec.json.encode(said("streamed")) + b"\r\n\r\n"
    record("gemini/a", f"{GEMINI}m:streamGenerateContent?alt=sse", gemini_body("hi"), event.decode())
    record("gemini/b", f"{GEMINI}m:generateContent", gemini_body("hi"), said("plain"))
    caller = await replay()

    assert b"plain" in (await caller.gemini("hi")).body
    assert b"streamed" in (await caller.gemini("hi", form="sse")).body


async def test_turns_of_a_conversation_are_told_apart_by_their_number(record: Record, replay: Simulate) -> None:
    """Two requests with the same text, one of them with the answer of a tool after it."""
    call = {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]}
    turns: list[dict[str, object]] = [{"role": "user", "content": "hi"}]
    record("o/first", f"{OPENAI}chat/completions", {"model": "m", "messages": turns}, chat("call"))
    turns = [*turns, call, {"role": "tool", "tool_call_id": "1", "content": "x"}]
    record("o/second", f"{OPENAI}chat/completions", {"model": "m", "messages": turns}, chat("done"))
    caller = await replay()

    assert (await caller.openai(messages=turns)).json == chat("done")
    assert (await caller.openai(messages=turns[:1])).json == chat("call")


async def test_a_model_without_recordings_is_a_404_that_names_those_with(record: Record, replay: Simulate) -> None:
    """In the dialect's own shape of an error, and only of that dialect."""
    record("gemini/one", f"{GEMINI}gemini-x:generateContent", gemini_body(), said("one"))
    body = {"model": "gpt-x", "messages": [{"role": "user", "content": "hi"}]}
    record("openai/one", f"{OPENAI}chat/completions", body, chat("one"))
    caller = await replay()

    answers = {
        "gemini-x": await caller.gemini(model="other"),
        "gpt-x": await caller.openai(model="other"),
        "nothing": await caller.openrouter(model="other"),
    }

    for model, answer in answers.items():
        error = msgspec.json.decode(answer.body, type=dict[str, dict[str, object]])["error"]
        assert answer.status == 404
        assert str(error["message"]).endswith(f": {model}.")


async def test_a_recorded_error_keeps_its_status_and_headers(record: Record, replay: Simulate) -> None:
    """Except those that belong to the connection or to an encoding that is gone."""
    headers = {"Retry-After": "7", "Transfer-Encoding": "chunked", "Content-Encoding": "br", "Content-Length": "999"}
    error = {"error": {"code": 429, "message": "no"}}
    record("gemini/one", f"{GEMINI}m:generateContent", gemini_body(), error, status=429, headers=headers)
    caller = await replay()

    plain = await caller.gemini(model="one")
    array = await caller.gemini(model="one", form="array")

    assert (plain.status, plain.json) == (429, error)
    assert plain.headers["retry-after"] == "7"
    assert plain.headers["content-length"] == str(len(plain.body))
    assert "content-encoding" not in plain.headers
    assert array.json == [error]
    assert caller.simulator.stats().rate_limited == 2


async def test_quotas_and_faults_hold_for_recordings_too(record: Record, replay: Simulate) -> None:
    """They come before the answer, wherever it is from."""
    record("gemini/one", f"{GEMINI}m:generateContent", gemini_body(), said("one"))
    caller = await replay(limits={"rpm": 1}, faults=[{"rate": 1, "kind": "500"}])

    assert [(await caller.gemini(model="one")).status for _ in range(2)] == [500, 429]


async def test_keys_are_looked_at_before_recordings(record: Record, replay: Simulate) -> None:
    """A simulator that replays is no less particular."""
    record("gemini/one", f"{GEMINI}m:generateContent", gemini_body(), said("one"))

    assert (await (await replay()).gemini(model="one", key="invalid-1")).status == 400


async def test_usage_is_told_in_a_stream_as_it_would_be(record: Record, replay: Simulate) -> None:
    """A recorded plain answer becomes a stream with usage only where that is asked for, or always there."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    usage = {"total_tokens": 3}
    record("openai/one", f"{OPENAI}chat/completions", body, chat("a b c d e f g h", usage=usage))
    record("openrouter/one", f"{OPENROUTER}chat/completions", body, chat("a b", usage=usage))
    caller = await replay()

    without = await caller.openai(model="one", stream=True)
    with_usage = await caller.openai(model="one", stream=True, stream_options={"include_usage": True})
    always = await caller.openrouter(model="one", stream=True)

    assert [b"total_tokens" in answer.body for answer in (without, with_usage, always)] == [False, True, True]
    assert without.body.count(b'"content":') == 3
    assert without.body.endswith(b"data: [DONE]\n\n")


async def test_other_requests_get_the_recording_of_the_same_method_and_path(record: Record, replay: Simulate) -> None:
    """The same body or query decides between several."""
    record("other/a", f"{OPENAI}embeddings", {"input": "a"}, {"data": ["a"]})
    record("other/b", f"{OPENAI}embeddings", {"input": "b"}, {"data": ["b"]}, headers={"x-own": "1"})
    record("other/c", f"{OPENAI}files/1?part=1", None, {"part": 1})
    record("other/d", f"{OPENAI}files/1?part=2", None, {"part": 2})
    caller = await replay()

    answer = await caller.ask("/v1/embeddings", {"input": "b"})

    assert (answer.json, answer.headers["x-own"]) == ({"data": ["b"]}, "1")
    assert (await caller.ask("/v1/embeddings", {"input": "c"})).json == {"data": ["a"]}
    assert (await caller.get("/v1/files/1?part=2")).json == {"part": 2}
    assert (await caller.ask("/v1/files/1", {})).status == 404


async def test_models_are_those_of_a_recorded_list(record: Record, replay: Simulate) -> None:
    """Gemini's page by page; a model that is not in it is not there."""
    entries = [{"name": f"models/m{number}", "extra": number} for number in range(3)]
    record("gemini/list", GEMINI.removesuffix("/"), None, {"models": entries, "nextPageToken": "recorded"})
    record("openrouter/list", f"{OPENROUTER}models", None, {"data": [{"id": "x"}]})
    caller = await replay()
    key = {"x-goog-api-key": "k"}

    whole = msgspec.json.decode((await caller.get("/v1beta/models", key)).body)
    page = msgspec.json.decode((await caller.get("/v1beta/models?pageSize=2", key)).body)

    assert whole == {"models": entries}
    assert page["models"] == entries[:2]
    assert (await caller.get("/v1beta/models/m1", key)).json == entries[1]
    assert (await caller.get("/v1beta/models/m9", key)).status == 404
    assert (await caller.get("/api/v1/models")).json == {"data": [{"id": "x"}]}


async def test_openais_models_are_those_of_a_recorded_list(record: Record, replay: Simulate) -> None:
    """For those with a key."""
    record("openai/list", f"{OPENAI}models", None, {"object": "list", "data": []})
    caller = await replay()

    assert (await caller.get("/v1/models", {"authorization": "Bearer k"})).json == {"object": "list", "data": []}
    assert (await caller.get("/v1/models")).status == 401


async def test_a_blocked_prompt_is_a_stream_of_one_event(record: Record, replay: Simulate) -> None:
    """There are no candidates to take apart."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 1}}
    record("gemini/one", f"{GEMINI}m:generateContent", gemini_body(), blocked)

    answer = await (await replay()).gemini(model="one", form="sse")

    assert msgspec.json.decode(answer.body.removeprefix(b"data: ")) == blocked


async def test_an_error_recorded_from_a_stream_answers_a_stream(record: Record, replay: Simulate) -> None:
    """Though it is framed as a plain answer is."""
    error = {"error": {"code": 500}}
    record("gemini/a", f"{GEMINI}m:generateContent", gemini_body(), said("plain"))
    record("gemini/b", f"{GEMINI}m:streamGenerateContent?alt=sse", gemini_body(), error, status=500)
    caller = await replay()

    assert (await caller.gemini("hi", form="sse")).status == 500
    assert heard(await caller.gemini("hi")) == "plain"


async def test_streams_are_cut_at_the_same_places_for_the_same_seed(record: Record, replay: Simulate) -> None:
    """So that what a test found, it finds again."""
    body = "data: " + msgspec.json.encode(said("é" * 400)).decode() + "\r\n\r\n"
    record("gemini/one", f"{GEMINI}m:streamGenerateContent?alt=sse", gemini_body(), body)
    chunked = []
    for seed in (1, 1, 2):
        caller = await replay(seed=seed)
        async with caller.session.post(
            f"{caller.url}/v1beta/models/one:streamGenerateContent?alt=sse",
            json=gemini_body(),
            headers={"x-goog-api-key": "k"},
        ) as response:
            chunked.append([piece async for piece, end in response.content.iter_chunks() if end])

    assert b"".join(chunked[0]).decode() == body
    assert chunked[0] == chunked[1] != chunked[2]


@given(st.text(alphabet="aé語🙂\r\n", max_size=300), st.integers())
def test_cut_pieces_joined_are_the_whole(text: str, seed: int) -> None:
    """Nothing is lost, nothing is empty, and characters and line ends are cut wherever there are any."""
    body = text.encode()

    pieces = cut(body, Random(seed))  # noqa: S311 - no secret is made of it

    assert b"".join(pieces) == body
    assert all(pieces)
    assert ("\r\n" in text) <= any(piece.endswith(b"\r") for piece in pieces[:-1])
    assert any(ord(letter) > 127 for letter in text) <= any(piece[0] >> 6 == 0b10 for piece in pieces[1:])


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"request": {}, "response": {}}', b"\xff"])
def test_a_file_that_is_no_recording_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """The error names the file."""
    (tmp_path / "broken.json").write_bytes(content)

    with pytest.raises(ValueError, match=r"broken\.json: not a recording"):
        Simulator(Options(replay=tmp_path))


def test_a_directory_without_recordings_stops_the_start(tmp_path: Path) -> None:
    """An index alone is none, and neither is a directory that is not there."""
    (tmp_path / "index.json").write_bytes(b"[]")

    for directory in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ValueError, match="no recordings"):
            Simulator(Options(replay=directory))
