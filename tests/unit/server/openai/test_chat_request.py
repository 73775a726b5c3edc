"""The parameters of a chat completion, as the domain understands them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.errors import InvalidRequest, UnsupportedParameter
from synapse.domain.request import Message, Reasoning, Request, ResponseFormat, Role, Sampling, Text
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.server.http.explain import misread
from synapse.server.http.openai.chat_request import ChatBody, chat_request, decode_body
from synapse.server.http.openai.unsaid import PARAMETERS, leave_out

PLAIN = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}
WHY = (Message(Role.USER, (Text("Why?"),)),)
LOOK = {"type": "function", "function": {"name": "look"}}


def body(**fields: object) -> ChatBody:
    """Decode a body that has these fields beside what every one has."""
    return decode_body(msgspec.json.encode(PLAIN | fields))


def request(**fields: object) -> Request:
    """Return the request that such a body becomes."""
    return chat_request(body(**fields))


def test_a_plain_body_is_a_plain_request() -> None:
    """What is not asked for is left to the provider."""
    assert request() == Request("m", WHY)


def test_every_parameter_that_is_null_is_one_that_is_not_there() -> None:
    """Clients send them so."""
    names = [field for field in ChatBody.__struct_fields__ if field not in PLAIN]

    assert request(**dict.fromkeys(names)) == Request("m", WHY)
    assert leave_out(body(**dict.fromkeys(names)), drop=False) == ()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"temperature": 0}, Sampling(temperature=0.0)),
        ({"temperature": 2, "top_p": 0.5, "top_k": 40}, Sampling(temperature=2.0, top_p=0.5, top_k=40)),
        ({"top_k": 0}, Sampling()),
        ({"max_tokens": 5}, Sampling(max_output_tokens=5)),
        ({"max_completion_tokens": 6}, Sampling(max_output_tokens=6)),
        ({"max_completion_tokens": 6, "max_tokens": 5}, Sampling(max_output_tokens=6)),
        ({"stop": "END"}, Sampling(stop=("END",))),
        ({"stop": ["a", "b", "c", "d", "e"]}, Sampling(stop=("a", "b", "c", "d", "e"))),
        ({"stop": []}, Sampling()),
        ({"seed": -7}, Sampling(seed=-7)),
        ({"presence_penalty": -2, "frequency_penalty": 2}, Sampling(presence_penalty=-2.0, frequency_penalty=2.0)),
        ({"logprobs": True}, Sampling(logprobs=0)),
        ({"logprobs": True, "top_logprobs": 20}, Sampling(logprobs=20)),
        ({"logprobs": False, "top_logprobs": 0}, Sampling()),
    ],
)
def test_how_words_are_picked(fields: dict[str, object], expected: Sampling) -> None:
    """Each parameter has its word in the domain; the newer name of a length is the stronger one."""
    assert request(**fields).sampling == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"reasoning_effort": "low"}, Reasoning("low", show=True)),
        ({"reasoning_effort": "none"}, Reasoning("none")),
        ({"reasoning": {"effort": "xhigh"}}, Reasoning("xhigh", show=True)),
        ({"reasoning": {"max_tokens": 2000, "exclude": True}}, Reasoning(budget=2000, show=False)),
        ({"reasoning": {"enabled": True}, "reasoning_effort": "max"}, Reasoning("max", show=True)),
        ({"reasoning": {"enabled": False}}, Reasoning("none")),
        ({"reasoning": {"exclude": False}}, Reasoning(show=True)),
    ],
)
def test_how_much_to_think(fields: dict[str, object], expected: Reasoning) -> None:
    """In OpenAI's words and in OpenRouter's; thoughts that are asked for are to be shown."""
    assert request(**fields).reasoning == expected


def test_json_in_place_of_prose() -> None:
    """Any object, or one of a schema, which stays the text it is."""
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True, "description": "It is one."}

    kept = request(response_format={"type": "json_schema", "json_schema": schema}).response_format

    assert request(response_format={"type": "text"}).response_format is None
    assert request(response_format={"type": "json_object"}).response_format == ResponseFormat()
    assert kept is not None
    assert (kept.name, kept.description, kept.strict) == ("answer", "It is one.", True)
    assert kept.schema is not None
    assert bytes(kept.schema) == b'{"type":"object"}'


def test_tools_and_the_rest_come_along() -> None:
    """Stream, tools with their choice, and for whom it is."""
    heard = request(
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        tools=[LOOK],
        tool_choice="required",
        parallel_tool_calls=False,
        user="u-1",
        safety_identifier="s-1",
    )

    assert heard == Request(
        "m",
        WHY,
        stream=True,
        tools=(Tool("look"),),
        tool_choice=ToolChoice(ToolMode.REQUIRED, parallel=False),
        safety_user="s-1",
    )
    assert request(user="u-1").safety_user == "u-1"


def test_harmless_parameters_are_ignored_and_unknown_ones_too() -> None:
    """Clients send extras: they are nobody's error."""
    heard = request(
        store=True,
        metadata={"a": "b"},
        prompt_cache_key="k",
        prompt_cache_options={"mode": "implicit", "ttl": "30m"},
        prompt_cache_retention="24h",
        verbosity="medium",
        modalities=["text"],
        logit_bias={},
        functions=[],
        extra_of_a_client={"deep": [1]},
    )

    assert heard == Request("m", WHY)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"top_logprobs": 3}, "top_logprobs", "it says how many beside each token; send logprobs: true with it"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "got 'huge', expected one of none, minimal, low"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "got 'huge', expected one of none, minimal, low"),
        ({"stream_options": {}}, "stream_options", "only a stream has options; send stream: true"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": []}}},
            "response_format.json_schema.schema",
            "expected a JSON Schema, an object",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(fields: dict[str, object], field: str, message: str) -> None:
    """With the field, what stood there and what was expected."""
    with pytest.raises(InvalidRequest) as caught:
        request(**fields)

    assert caught.value.field == field
    assert caught.value.message.startswith(f"{field}: {message}")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": -0.1}, "temperature: expected float >= 0.0"),
        ({"temperature": 2.5}, "temperature: expected float <= 2.0"),
        ({"top_p": 1.5}, "top_p: expected float <= 1.0"),
        ({"top_k": -1}, "top_k: expected int >= 0"),
        ({"presence_penalty": -3}, "presence_penalty: expected float >= -2.0"),
        ({"frequency_penalty": 3}, "frequency_penalty: expected float <= 2.0"),
        ({"max_tokens": 0}, "max_tokens: expected int >= 1"),
        ({"max_completion_tokens": -1}, "max_completion_tokens: expected int >= 1"),
        ({"top_logprobs": 21}, "top_logprobs: expected int <= 20"),
        ({"reasoning": {"max_tokens": -1}}, "reasoning.max_tokens: expected int >= 0"),
        ({"n": 0}, "n: expected int >= 1"),
        ({"n": 129}, "n: expected int <= 128"),
        ({"temperature": "hot"}, "temperature: expected float | null, got str"),
    ],
)
def test_a_number_out_of_its_bounds_is_refused(fields: dict[str, object], message: str) -> None:
    """With what was expected."""
    with pytest.raises(msgspec.ValidationError) as caught:
        body(**fields)

    assert misread(caught.value).message == message


@pytest.mark.parametrize("field", ["seed", "max_tokens", "max_completion_tokens", "top_k", "n"])
@pytest.mark.parametrize("digits", [30, 400])
def test_a_number_beyond_all_is_refused(field: str, digits: int) -> None:
    """However long it is."""
    text = b'{"model":"m","messages":[{"role":"user","content":"x"}],"%b":1%b}' % (field.encode(), b"0" * digits)

    with pytest.raises(msgspec.ValidationError) as caught:
        decode_body(text)

    assert misread(caught.value).field == field
    assert len(misread(caught.value).message) < 200


UNSAID = {
    "logit_bias": {"50256": -100},
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "functions": [{"name": "look"}],
    "function_call": {"name": "look"},
    "web_search_options": {},
    "moderation": {"model": "omni"},
    "verbosity": "low",
}


@pytest.mark.parametrize(("name", "value"), UNSAID.items(), ids=UNSAID)
def test_what_changes_the_meaning_and_has_no_word_is_refused(name: str, value: object) -> None:
    """By its name, with what works in its place."""
    with pytest.raises(UnsupportedParameter) as caught:
        leave_out(body(**{name: value}), drop=False)

    assert caught.value.field == name
    assert caught.value.message.startswith(f"{name}: Synapse does not pass it on; ")


def test_it_is_left_out_where_the_caller_agrees() -> None:
    """And named; but for the functions, without which it is another request."""
    droppable = {each.name: UNSAID[each.name] for each in PARAMETERS if each.droppable}

    assert leave_out(body(**droppable), drop=True) == tuple(droppable)
    assert set(UNSAID) - set(droppable) == {"functions", "function_call"}
    for name in ("functions", "function_call"):
        with pytest.raises(UnsupportedParameter, match=f"^{name}: "):
            leave_out(body(**{name: UNSAID[name]}), drop=True)


@given(
    st.dictionaries(
        st.sampled_from(ChatBody.__struct_fields__),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda kids: (
                st.lists(kids, max_size=3) | st.dictionaries(st.sampled_from(["type", "role", "content", "x"]), kids)
            ),
            max_leaves=8,
        ),
    )
)
def test_whatever_stands_in_a_field_it_is_understood_or_refused(fields: dict[str, object]) -> None:
    """Nothing else can happen."""
    try:
        heard = body(**fields)
        leave_out(heard, drop=True)
        chat_request(heard)
    except (msgspec.ValidationError, InvalidRequest):
        pass
