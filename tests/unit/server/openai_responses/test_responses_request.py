"""The body of a request for a response, and the request it becomes."""

from __future__ import annotations

import msgspec
import pytest

from synapse.domain.errors import InvalidRequest, UnsupportedParameter
from synapse.domain.request import Message, Reasoning, Request, ResponseFormat, Role, Sampling, Text
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.server.http.openai.responses_request import decode_body, leave_out, responses_request

SCHEMA = {"type": "object", "properties": {}}
FUNCTION = {"type": "function", "name": "f", "parameters": SCHEMA}


def body(**fields: object) -> bytes:
    """Return a body."""
    return msgspec.json.encode({"model": "m", "input": "Why?", **fields})


def read(**fields: object) -> Request:
    """Read a body."""
    return responses_request(decode_body(body(**fields)))


def refused(**fields: object) -> tuple[str | None, str]:
    """Read a body that cannot be; return the field and the message."""
    with pytest.raises(InvalidRequest) as caught:
        read(**fields)
    assert caught.value.message.startswith(f"{caught.value.field}: ")
    return caught.value.field, caught.value.message


def left_out(*, drop: bool = False, **fields: object) -> tuple[str, ...]:
    """Say what of a body is left out."""
    return leave_out(decode_body(body(**fields)), drop=drop)


def test_the_least_there_can_be_is_a_model_and_an_input() -> None:
    """All else is the provider's choice."""
    assert read() == Request("m", (Message(Role.USER, (Text("Why?"),)),))


def test_everything_that_has_a_word_in_the_domain_gets_there() -> None:
    """Instructions, sampling, reasoning, the end user, and whether it is streamed."""
    request = read(
        instructions="Be brief.",
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=7,
        reasoning={"effort": "low", "summary": "auto"},
        user="old",
        safety_identifier="new",
        stream=True,
        stream_options={"include_obfuscation": False},
    )

    assert request == Request(
        "m",
        (Message(Role.SYSTEM, (Text("Be brief."),)), Message(Role.USER, (Text("Why?"),))),
        Sampling(0.5, 0.9, max_output_tokens=7),
        stream=True,
        reasoning=Reasoning("low", show=True),
        safety_user="new",
    )
    assert read(user="old").safety_user == "old"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"effort": "high"}, Reasoning("high")),
        ({"generate_summary": "concise"}, Reasoning(None, show=True)),
        ({}, None),
        ({"effort": None, "summary": None}, None),
    ],
)
def test_thoughts_are_asked_for_by_a_summary(fields: dict[str, object], expected: Reasoning | None) -> None:
    """By its newer or its older name; without one it is the provider's choice."""
    assert read(reasoning=fields).reasoning == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, 3),
        ({"top_logprobs": 3}, 3),
        ({"top_logprobs": 0}, None),
        ({"include": ["reasoning.encrypted_content"]}, None),
    ],
)
def test_logprobs_are_asked_for_by_including_them(fields: dict[str, object], expected: int | None) -> None:
    """Or by saying how many there are to be."""
    assert read(**fields).sampling.logprobs == expected


def test_tools_are_flat() -> None:
    """In chat completions they stand below `function`. What does not say whether it is strict, the provider decides."""
    request = read(
        tools=[
            {**FUNCTION, "description": "d", "strict": True},
            {"type": "function", "name": "g", "parameters": None, "description": None},
        ]
    )

    first, second = request.tools
    assert first.schema is not None
    assert msgspec.json.decode(first.schema) == SCHEMA
    assert (first.name, first.description, first.strict) == ("f", "d", True)
    assert second == Tool("g")


@pytest.mark.parametrize("kind", ["web_search", "file_search", "mcp", "custom", "local_shell", "namespace"])
def test_tools_that_are_no_functions_are_refused_by_their_type(kind: str) -> None:
    """They would run at OpenAI, and nowhere else."""
    field, message = refused(tools=[FUNCTION, {"type": kind, "name": "x", "server_label": "y"}])
    assert (field, repr(kind) in message) == ("tools[1].type", True)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice(ToolMode.AUTO)),
        ("none", ToolChoice(ToolMode.NONE)),
        ("required", ToolChoice(ToolMode.REQUIRED)),
        ({"type": "function", "name": "f"}, ToolChoice(ToolMode.REQUIRED, ("f",))),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice(ToolMode.AUTO, ("f",)),
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice(ToolMode.REQUIRED, ("f",)),
        ),
        (None, None),
    ],
)
def test_the_choice_of_a_tool_is_flat(choice: object, expected: ToolChoice | None) -> None:
    """In chat completions the name stands below `function`."""
    assert read(tools=[FUNCTION], tool_choice=choice).tool_choice == expected


def test_calls_side_by_side_are_a_part_of_the_choice() -> None:
    """Only where there are tools."""
    assert read(tools=[FUNCTION], parallel_tool_calls=False).tool_choice == ToolChoice(parallel=False)
    assert read(parallel_tool_calls=False).tool_choice is None


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        ("any", "tool_choice"),
        ({"type": "function", "name": "g"}, "tool_choice"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "web_search_preview"}, "tool_choice.type"),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": [{"type": "mcp"}]}, "tool_choice.tools[0].type"),
    ],
)
def test_a_bad_choice_is_refused(choice: object, field: str) -> None:
    """With the field."""
    assert refused(tools=[FUNCTION], tool_choice=choice)[0] == field


def test_the_schema_of_the_answer_is_flat() -> None:
    """In chat completions it stands below `json_schema`."""
    form = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True, "description": "d"}
    found = read(text={"format": form}).response_format

    assert found is not None
    assert found.schema is not None
    assert msgspec.json.decode(found.schema) == SCHEMA
    assert (found.name, found.description, found.strict) == ("n", "d", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ({"format": {"type": "text"}}, None),
        ({"format": None, "verbosity": "low"}, None),
        ({"verbosity": "high"}, None),
        ({"format": {"type": "json_object"}}, ResponseFormat()),
    ],
)
def test_prose_and_objects_without_a_schema(text: object, expected: ResponseFormat | None) -> None:
    """How wordy the answer is to be is a wish."""
    assert read(text=text).response_format == expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"truncation": "middle"}, "truncation"),
        ({"stream_options": {}}, "stream_options"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": 5}}}, "text.format.schema"),
        ({"tools": [{"type": "function", "parameters": {}}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, "tools[0].parameters"),
    ],
)
def test_a_value_out_of_range_is_refused(fields: dict[str, object], field: str) -> None:
    """With the field and what was expected."""
    assert refused(**fields)[0] == field


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("background", True),
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("conversation", {"id": "c"}),
    ],
)
@pytest.mark.parametrize("drop", [False, True])
def test_what_needs_kept_answers_is_refused(name: str, value: object, *, drop: bool) -> None:
    """Also of those who agree to go without: it would be another request."""
    with pytest.raises(UnsupportedParameter, match=f"^{name}: .*input must carry the conversation") as caught:
        left_out(drop=drop, **{name: value})
    assert caught.value.field == name


def test_a_template_is_refused() -> None:
    """None is kept."""
    with pytest.raises(UnsupportedParameter, match=r"^prompt: "):
        left_out(prompt={"id": "p"}, drop=True)


@pytest.mark.parametrize(
    ("name", "value"), [("context_management", [{"type": "compaction"}]), ("moderation", {"model": "m"})]
)
def test_the_rest_is_left_out_where_the_caller_agrees(name: str, value: object) -> None:
    """And refused where not."""
    with pytest.raises(UnsupportedParameter, match=f"^{name}: "):
        left_out(**{name: value})
    assert left_out(drop=True, **{name: value}) == (name,)


def test_what_changes_nothing_is_taken() -> None:
    """Nulls, defaults, and wishes that no answer can go against."""
    assert (
        left_out(
            background=False,
            previous_response_id=None,
            conversation=None,
            prompt=None,
            context_management=[],
            moderation=None,
            store=True,
            truncation="auto",
            max_tool_calls=3,
            prompt_cache_key="k",
            unheard_of={"a": 1},
        )
        == ()
    )
