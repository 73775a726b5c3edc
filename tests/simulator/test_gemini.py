"""Gemini's wire, to the byte where bytes matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from conftest import Answer, Simulate

KEY = {"x-goog-api-key": "key-1"}
BODY = {"contents": [{"parts": [{"text": "echo hello big world"}]}]}


def dig(value: object, *path: str | int) -> object:
    """Return what is at a path of names and numbers."""
    for step in path:
        assert isinstance(value, list if isinstance(step, int) else dict)
        value = value[step]
    return value


def events(answer: Answer) -> list[object]:
    """Return the data of server-sent events, which must be framed as Gemini frames them."""
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body.endswith(b"\r\n\r\n")
    frames = answer.body.removesuffix(b"\r\n\r\n").split(b"\r\n\r\n")
    assert all(frame.startswith(b"data: {") and b"\n" not in frame for frame in frames)
    return [msgspec.json.decode(frame.removeprefix(b"data: ")) for frame in frames]


async def test_a_plain_answer_has_text_finish_reason_and_usage(simulate: Simulate) -> None:
    """Words are tokens, and what is zero is left out."""
    answer = await (await simulate()).gemini("echo hello big world", model="gemini-2.5-flash")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert dig(answer.json, "candidates", 0) == {
        "content": {"parts": [{"text": "hello big world"}], "role": "model"},
        "finishReason": "STOP",
        "index": 0,
    }
    assert dig(answer.json, "usageMetadata") == {
        "promptTokenCount": 4,
        "candidatesTokenCount": 3,
        "totalTokenCount": 7,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
        "serviceTier": "standard",
    }
    assert dig(answer.json, "modelVersion") == "gemini-2.5-flash"
    assert answer.body.startswith(b'{\n  "candidates": [\n    {\n')
    assert answer.body.endswith(b"\n}\n")


async def test_server_sent_events_carry_one_token_each_and_the_usage_so_far(simulate: Simulate) -> None:
    """Texts are deltas, usage adds up, and only the last event has a finish reason."""
    chunks = events(await (await simulate()).gemini("echo hello big world", form="sse"))

    assert [dig(chunk, "candidates", 0, "content", "parts", 0, "text") for chunk in chunks] == [
        "hello",
        " big",
        " world",
    ]
    assert [dig(chunk, "usageMetadata", "candidatesTokenCount") for chunk in chunks] == [1, 2, 3]
    assert [dig(chunk, "usageMetadata", "totalTokenCount") for chunk in chunks] == [5, 6, 7]
    assert ["finishReason" in dig(chunk, "candidates", 0) for chunk in chunks] == [False, False, True]  # type: ignore[operator]
    assert len({dig(chunk, "responseId") for chunk in chunks}) == 1


async def test_an_event_has_a_space_after_colons_and_none_after_commas(simulate: Simulate) -> None:
    """As Google writes it: readers that take the short way should fail here first."""
    answer = await (await simulate()).gemini("echo x", form="sse")

    assert answer.body.startswith(
        b'data: {"candidates": [{"content": {"parts": [{"text": "x"}],"role": "model"},'
        b'"finishReason": "STOP","index": 0}],'
        b'"usageMetadata": {"promptTokenCount": 2,"candidatesTokenCount": 1,"totalTokenCount": 3,'
    )


async def test_without_alt_sse_a_stream_is_one_growing_array(simulate: Simulate) -> None:
    """Elements are indented, and parted by a comma on a line of its own."""
    answer = await (await simulate()).gemini("echo hello world", form="array")

    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert answer.body.startswith(b'[{\n  "candidates": [\n')
    assert b"\n}\n,\r\n{\n" in answer.body
    assert answer.body.endswith(b"\n}\n]")
    texts = [dig(answer.json, number, "candidates", 0, "content", "parts", 0, "text") for number in range(2)]
    assert texts == ["hello", " world"]


async def test_thoughts_come_first_where_they_are_asked_for(simulate: Simulate) -> None:
    """They are parts marked as thoughts, counted apart from the candidates' tokens."""
    caller = await simulate()
    config = {"thinkingConfig": {"includeThoughts": True}}

    chunks = events(await caller.gemini("echo hi", form="sse", generationConfig=config))
    plain = await caller.gemini("echo hi", generationConfig=config)

    parts = [dig(chunk, "candidates", 0, "content", "parts", 0) for chunk in chunks]
    assert [isinstance(part, dict) and part.get("thought") for part in parts] == [True] * 8 + [None]
    assert dig(chunks[-1], "usageMetadata", "thoughtsTokenCount") == 8
    assert dig(chunks[-1], "usageMetadata", "totalTokenCount") == 2 + 8 + 1
    assert dig(plain.json, "candidates", 0, "content", "parts", 0, "thought") is True
    assert dig(plain.json, "candidates", 0, "content", "parts", 1) == {"text": "hi"}


async def test_thoughts_can_leave_nothing_of_the_maximum(simulate: Simulate) -> None:
    """Then the content has no parts at all, in a stream too."""
    caller = await simulate()
    config = {"thinkingConfig": {"includeThoughts": True}, "maxOutputTokens": 8}

    chunks = events(await caller.gemini("echo hi", form="sse", generationConfig=config))

    assert dig(chunks[-1], "candidates", 0) == {"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}


async def test_a_thinking_budget_of_nothing_gives_no_thoughts(simulate: Simulate) -> None:
    """Even where they were to be shown."""
    config = {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 0}}

    answer = await (await simulate()).gemini("echo hi", generationConfig=config)

    assert dig(answer.json, "candidates", 0, "content", "parts") == [{"text": "hi"}]


async def test_the_maximum_of_tokens_and_stop_sequences_are_honoured(simulate: Simulate) -> None:
    """One ends with MAX_TOKENS, the other with STOP."""
    caller = await simulate()

    short = await caller.gemini("echo a b c", generationConfig={"maxOutputTokens": 2})
    stopped = await caller.gemini("echo a b c", generationConfig={"stopSequences": ["c"]})

    assert dig(short.json, "candidates", 0, "content", "parts", 0, "text") == "a b"
    assert dig(short.json, "candidates", 0, "finishReason") == "MAX_TOKENS"
    assert dig(stopped.json, "candidates", 0, "content", "parts", 0, "text") == "a b "
    assert dig(stopped.json, "candidates", 0, "finishReason") == "STOP"


async def test_candidates_take_turns_in_a_stream(simulate: Simulate) -> None:
    """Each has its index and its own end, and the usage is that of all."""
    caller = await simulate()

    chunks = events(await caller.gemini("echo a b", form="sse", generationConfig={"candidateCount": 2}))
    plain = await caller.gemini("echo a b", generationConfig={"candidateCount": 2})

    assert [dig(chunk, "candidates", 0, "index") for chunk in chunks] == [0, 1, 0, 1]
    assert dig(chunks[-1], "usageMetadata", "candidatesTokenCount") == 4
    assert [dig(plain.json, "candidates", number, "index") for number in (0, 1)] == [0, 1]


async def test_snake_case_nulls_and_single_elements_are_accepted(simulate: Simulate) -> None:
    """As by the real API's JSON."""
    body = {
        "contents": {"parts": {"text": "echo a b c"}},
        "system_instruction": {"parts": {"text": "Be brief."}},
        "generation_config": {"max_output_tokens": "2", "stopSequences": None, "seed": 1.0},
    }

    answer = await (await simulate()).ask("/v1beta/models/m:generateContent", body, KEY)

    assert dig(answer.json, "candidates", 0, "content", "parts", 0, "text") == "a b"
    assert dig(answer.json, "usageMetadata", "promptTokenCount") == 6


async def test_the_last_text_of_the_user_is_the_prompt(simulate: Simulate) -> None:
    """Not one from before, and not the model's."""
    turns = [("user", "echo first"), ("model", "echo second"), ("user", "echo third"), ("model", "echo fourth")]
    body = {"contents": [{"role": role, "parts": [{"text": text}]} for role, text in turns]}

    answer = await (await simulate()).ask("/v1beta/models/m:generateContent", body, KEY)

    assert dig(answer.json, "candidates", 0, "content", "parts", 0, "text") == "third"


@pytest.mark.parametrize("path", ["/v1beta", "/v1", "/v1alpha", "/any/prefix/v1beta"])
async def test_any_prefix_and_version_will_do(simulate: Simulate, path: str) -> None:
    """A proxy's path may stand before the API's."""
    answer = await (await simulate()).ask(f"{path}/models/m:generateContent", BODY, KEY)

    assert answer.status == 200


async def test_the_key_may_stand_in_the_query(simulate: Simulate) -> None:
    """As the API allows, in any order with `alt`."""
    caller = await simulate()

    answers = [
        await caller.ask(f"/v1beta/models/m:streamGenerateContent?{query}", BODY)
        for query in ("key=key-1&alt=sse", "alt=sse&key=key-1")
    ]

    assert [len(events(answer)) for answer in answers] == [3, 3]


async def test_a_missing_key_is_a_403(simulate: Simulate) -> None:
    """PERMISSION_DENIED, without details."""
    answer = await (await simulate()).ask("/v1beta/models/m:generateContent", BODY)

    assert answer.status == 403
    assert dig(answer.json, "error", "status") == "PERMISSION_DENIED"
    assert "details" not in dig(answer.json, "error")  # type: ignore[operator]


async def test_an_invalid_key_is_a_400_that_says_so_in_its_details(simulate: Simulate) -> None:
    """Not a 401; in the array form, the error is the array's one element."""
    caller = await simulate()

    plain = await caller.gemini(key="invalid-1")
    array = await caller.gemini(key="invalid-1", form="array")
    sse = await caller.gemini(key="invalid-1", form="sse")

    assert (plain.status, array.status, sse.status) == (400, 400, 400)
    assert dig(plain.json, "error", "status") == "INVALID_ARGUMENT"
    assert dig(plain.json, "error", "details", 0, "reason") == "API_KEY_INVALID"
    assert array.json == [plain.json]
    assert sse.json == plain.json


async def test_a_model_that_begins_with_missing_is_not_found(simulate: Simulate) -> None:
    """The message names the model, the version and the method."""
    answer = await (await simulate()).gemini(model="missing-1", form="sse")

    assert (answer.status, dig(answer.json, "error", "status")) == (404, "NOT_FOUND")
    message = dig(answer.json, "error", "message")
    assert "models/missing-1 is not found for API version v1beta" in str(message)
    assert "streamGenerateContent" in str(message)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"temperature": 1}, "", 'Unknown name "temperature"'),
        (
            {"generationConfig": {"maxTokens": 5}},
            "generation_config",
            "Unknown name \"maxTokens\" at 'generation_config'",
        ),
        ({"contents": [{"parts": [{"txt": "x"}]}]}, "contents[0].parts[0]", 'Unknown name "txt"'),
        ({"generationConfig": {"temperature": "hot"}}, "generation_config.temperature", '(TYPE_FLOAT), "hot"'),
        ({"generationConfig": {"maxOutputTokens": True}}, "generation_config.max_output_tokens", "(TYPE_INT32), true"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generation_config.max_output_tokens", "positive"),
        ({"generationConfig": {"candidateCount": 9}}, "generation_config.candidate_count", "from 1 to 8"),
        ({"contents": []}, "contents", "contents is not specified"),
        ({"contents": ["x"]}, "contents[0]", "Invalid value at 'contents[0]'"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
            "generation_config",
            "one of",
        ),
    ],
)
async def test_a_request_that_the_api_would_not_take_is_refused(
    simulate: Simulate, change: dict[str, object], field: str, words: str
) -> None:
    """The error names the field and what is wrong with it."""
    answer = await (await simulate()).gemini(**change)

    assert (answer.status, dig(answer.json, "error", "status")) == (400, "INVALID_ARGUMENT")
    violation = dig(answer.json, "error", "details", 0, "fieldViolations", 0)
    assert isinstance(violation, dict)
    assert violation.get("field", "") == field
    assert words in violation["description"]
    assert words in str(dig(answer.json, "error", "message"))


async def test_all_that_is_wrong_is_told_at_once(simulate: Simulate) -> None:
    """Two unknown fields, two violations."""
    answer = await (await simulate()).gemini(one=1, two=2)

    violations = dig(answer.json, "error", "details", 0, "fieldViolations")
    assert isinstance(violations, list)
    assert len(violations) == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff"])
async def test_a_body_that_is_no_object_is_refused(simulate: Simulate, body: bytes) -> None:
    """Whatever is sent, the answer is the API's error."""
    answer = await (await simulate()).ask("/v1beta/models/m:generateContent", body, KEY)

    assert (answer.status, dig(answer.json, "error", "code")) == (400, 400)


@pytest.mark.parametrize("method", ["countTokens", "embedContent", "nonsense"])
async def test_other_methods_are_no_routes(simulate: Simulate, method: str) -> None:
    """What is not simulated answers 404, and never text."""
    answer = await (await simulate()).ask(f"/v1beta/models/m:{method}", BODY, KEY)

    assert answer.status == 404


async def test_models_come_page_by_page(simulate: Simulate) -> None:
    """More than one page by default; following the tokens gives every model once."""
    caller = await simulate()
    first = await caller.get("/v1beta/models", KEY)
    names: list[object] = []
    token = ""
    while True:
        page = (await caller.get(f"/v1beta/models?pageSize=7&pageToken={token}", KEY)).json
        models = dig(page, "models")
        assert isinstance(models, list)
        names += [dig(model, "name") for model in models]
        if not isinstance(page, dict) or "nextPageToken" not in page:
            break
        token = str(page["nextPageToken"])

    models = dig(first.json, "models")
    assert isinstance(models, list)
    assert len(models) == 50
    assert dig(first.json, "nextPageToken")
    assert len(names) == len(set(names)) > 50


@pytest.mark.parametrize("query", ["pageToken=nonsense", "pageToken=dW50aWwgNTA=", "pageSize=-1", "pageSize=x"])
async def test_a_page_that_cannot_be_is_refused(simulate: Simulate, query: str) -> None:
    """With the API's error."""
    answer = await (await simulate()).get(f"/v1beta/models?{query}", KEY)

    assert (answer.status, dig(answer.json, "error", "status")) == (400, "INVALID_ARGUMENT")


async def test_one_model_is_shown_by_name(simulate: Simulate) -> None:
    """Any name but those that are to be missing."""
    caller = await simulate()

    assert dig((await caller.get("/v1beta/models/some-model", KEY)).json, "name") == "models/some-model"
    assert (await caller.get("/v1beta/models/missing-1", KEY)).status == 404
    assert (await caller.get("/v1beta/models")).status == 403
