"""What models think, as servers that speak like OpenAI tell it; and how it is given back to them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from synapse.domain.answer import Answer, Collector
from synapse.domain.events import Delta, Finish, FinishReason, Thought
from synapse.domain.request import Message, Reasoning, Request, Role, Text, Thinking, ToolCall, prompt_request
from synapse.providers.base import Signal
from synapse.providers.wires import openai
from synapse.providers.wires.base import Wire

CLAUDE, GEMINI, GPT, GLM = "anthropic/claude-haiku-4.5", "google/gemini-3-pro", "openai/gpt-5", "z-ai/glm-4.6"
STOP = Finish(FinishReason.STOP)


def _chunk(delta: object, reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def _plain(message: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def _signals(*events: object) -> list[Signal]:
    decoder = openai.WIRE.decoder()
    found: list[Signal] = []
    for event in events:
        found += decoder.feed(event.encode() if isinstance(event, str) else json.dumps(event).encode())
    return [*found, decoder.end()]


def _answer(*events: object) -> Answer:
    collector = Collector()
    for signal in _signals(*events):
        assert isinstance(signal, Thought | Delta | Finish), signal
        answer = collector.add(signal)
    assert answer is not None
    return answer


# --- told


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thoughts_have_two_names(name: str) -> None:
    """`reasoning_content` at DeepSeek and old versions of vLLM; `reasoning` at Ollama, Groq, Cerebras and new ones."""
    assert _signals(_chunk({"content": "", name: "hm"}), _chunk({"content": "Hi"}), _chunk({}, "stop")) == [
        Thought("hm"),
        Delta("Hi"),
        STOP,
    ]
    assert _answer(_plain({"content": "Hi", name: "hm"})).blocks == (Thinking("hm"), Text("Hi"))


def test_thoughts_under_both_names_are_told_once() -> None:
    """Some servers send the same under both while they change from one to the other."""
    assert _answer(_plain({"content": "Hi", "reasoning": "hm", "reasoning_content": "hm"})).thoughts == "hm"


@pytest.mark.parametrize("odd", [None, "", {"text": "hm"}, ["hm"]])
def test_what_is_no_text_in_their_place_is_no_thought(odd: object) -> None:
    """The answer is taken all the same."""
    assert _signals(_plain({"content": "Hi", "reasoning": odd})) == [Delta("Hi"), STOP]


def test_mistrals_thoughts_are_pieces_of_the_content() -> None:
    """In their order; a piece of thinking holds pieces of text, or the text."""
    pieces = [
        {
            "type": "thinking",
            "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}],
            "closed": True,
        },
        {"type": "thinking", "thinking": "so"},
        {"type": "reasoning", "text": "!"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "Hi"},
    ]

    assert _signals(_chunk({"content": pieces}), _chunk({"content": "!"}, "stop")) == [
        Thought("hm"),
        Thought("so"),
        Thought("!"),
        Delta("Hi"),
        Delta("!"),
        STOP,
    ]


def test_thoughts_alone_are_no_answer() -> None:
    """A stream that ended before it said anything was cut."""
    *_, end = _signals(_chunk({"reasoning": "hm"}), "[DONE]")

    assert not isinstance(end, Finish)


def test_details_are_told_in_the_place_of_the_text_that_repeats_them() -> None:
    """OpenRouter sends thoughts twice; only the details have the signature, which comes last and by itself."""
    text = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}

    assert _signals(
        _chunk({"content": "", "reasoning": "", "reasoning_details": [{**text, "text": "", "signature": ""}]}),
        _chunk({"content": "", "reasoning": "h", "reasoning_details": [{**text, "text": "h"}]}),
        _chunk({"content": "", "reasoning": "m", "reasoning_details": [{**text, "text": "m"}]}),
        _chunk({"content": "", "reasoning_details": [{**text, "signature": "c2ln"}]}),
        _chunk({"content": "Hi"}, "stop"),
    ) == [Thought("h"), Thought("m"), Thought("", signature="c2ln"), Delta("Hi"), STOP]


def test_a_summary_is_a_thought() -> None:
    """OpenAI's models show no more."""
    details = [{"type": "reasoning.summary", "summary": "hm", "format": "openai-responses-v1", "index": 0}]

    assert _answer(_plain({"content": "Hi", "reasoning": "hm", "reasoning_details": details})).thoughts == "hm"


def test_sealed_thoughts_keep_everything_that_they_came_with() -> None:
    """OpenRouter wants them back unchanged; id and format are part of them."""
    sealed = {"type": "reasoning.encrypted", "data": "gAAAA", "format": "openai-responses-v1", "id": "rs_1", "index": 0}

    answer = _answer(_plain({"content": "Hi", "reasoning": "hm", "reasoning_details": [sealed]}))

    shown, block, text = answer.blocks
    assert (shown, text) == (Thinking("hm"), Text("Hi"))
    assert isinstance(block, Thinking)
    assert json.loads(block.redacted or "") == sealed


def test_sealed_thoughts_may_come_in_fragments() -> None:
    """Those of one index are one, in a stream; another id, or another index, is another."""
    sealed = {"type": "reasoning.encrypted", "format": "xai-responses-v1", "index": 0}

    answer = _answer(
        _chunk({"reasoning_details": [{**sealed, "id": "rs_1", "data": "ab"}]}),
        _chunk({"reasoning_details": [{**sealed, "data": "cd"}]}),
        _chunk({"reasoning_details": [{**sealed, "id": "rs_2", "data": "ef"}]}),
        _chunk({"reasoning_details": [{**sealed, "index": 1, "data": "gh"}]}),
        _chunk({"content": "Hi"}),
        _chunk({}, "stop"),
    )

    found = [json.loads(block.redacted or "") for block in answer.blocks if isinstance(block, Thinking)]
    assert found == [
        {**sealed, "id": "rs_1", "data": "abcd"},
        {**sealed, "id": "rs_2", "data": "ef"},
        {**sealed, "index": 1, "data": "gh"},
    ]
    assert answer.blocks[-1] == Text("Hi")


def test_sealed_thoughts_behind_the_text_are_told_before_the_end() -> None:
    """OpenAI's come with the last chunk."""
    sealed = {"type": "reasoning.encrypted", "data": "ab", "index": 0}

    for reason, end in (("stop", []), (None, ["[DONE]"])):
        signals = _signals(
            _chunk({"content": "Hi"}), _chunk({"content": "", "reasoning_details": [sealed]}, reason), *end
        )

        assert signals == [Delta("Hi"), Thought("", redacted=msgspec.json.encode(sealed).decode()), STOP]


def test_details_of_an_unknown_kind_are_kept_sealed() -> None:
    """They say nothing here, but have to be given back; what is no detail is let go."""
    other = {"type": "reasoning.server_tool_call", "name": "search"}

    answer = _answer(_plain({"content": "Hi", "reasoning_details": [other, 7]}))

    assert answer.blocks == (Thinking("", redacted=msgspec.json.encode(other).decode()), Text("Hi"))


# --- given back


def _given_back(wire: Wire, model: str, *parts: Thinking | Text | ToolCall) -> dict[str, Any]:
    request = Request("code", (Message(Role.ASSISTANT, parts),))
    (turn,) = msgspec.json.decode(wire.encode(request, model, None).body)["messages"]
    assert isinstance(turn, dict)
    return turn


CALL = ToolCall("a", "f", "{}")
SIGNED = Thinking("hm", signature="c2ln")


@pytest.mark.parametrize("wire", [openai.WIRE, openai.MISTRAL])
def test_thoughts_are_not_given_to_servers_that_would_refuse_them(wire: Wire) -> None:
    """Groq, Mistral and Cerebras refuse a message with a field that they do not know; OpenAI has no place for them."""
    sealed = Thinking("", redacted='{"type":"reasoning.encrypted","data":"x"}')

    assert _given_back(wire, "openai/gpt-oss-120b", SIGNED, sealed, Text("Hi")) == {
        "role": "assistant",
        "content": "Hi",
    }


def test_openrouter_is_given_its_details_back_as_it_sent_them() -> None:
    """The array, in its order, with formats, indices, ids and signatures."""
    details: list[dict[str, object]] = [
        {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0, "signature": "c2ln"},
        {"type": "reasoning.text", "text": "so", "format": "anthropic-claude-v1", "index": 1, "signature": "c2lo"},
        {"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1", "index": 2},
    ]
    answer = _answer(_plain({"content": "Hi", "reasoning": "hmso", "reasoning_details": details}))

    turn = _given_back(openai.OPENROUTER, CLAUDE, *answer.blocks)

    assert turn == {"role": "assistant", "content": "Hi", "reasoning_details": details}


def test_summaries_and_seals_of_one_thought_keep_their_index() -> None:
    """OpenAI's models show a summary of each sealed thought; both have the same number."""
    details: list[dict[str, object]] = []
    for index in (0, 1):
        details += [
            {"type": "reasoning.summary", "summary": "hm", "format": "openai-responses-v1", "index": index},
            {
                "type": "reasoning.encrypted",
                "data": "x",
                "format": "openai-responses-v1",
                "id": f"rs_{index}",
                "index": index,
            },
        ]
    answer = _answer(_plain({"content": "Hi", "reasoning_details": details}))

    assert _given_back(openai.OPENROUTER, GPT, *answer.blocks)["reasoning_details"] == details


def test_thoughts_of_anthropics_own_api_are_written_as_details() -> None:
    """A conversation may have begun there: signature and seal are the same."""
    turn = _given_back(openai.OPENROUTER, CLAUDE, SIGNED, Thinking("", redacted="c2VhbA"), SIGNED, Text("Hi"))

    assert turn["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 0, "signature": "c2ln"},
        {"type": "reasoning.encrypted", "data": "c2VhbA", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "hm", "format": "anthropic-claude-v1", "index": 2, "signature": "c2ln"},
    ]


def test_what_follows_a_seal_without_a_number_has_the_next() -> None:
    """And what follows thoughts that nobody signed goes on with theirs."""
    other = {"type": "reasoning.server_tool_call", "name": "search"}
    sealed = Thinking("", redacted=json.dumps(other))

    details = _given_back(openai.OPENROUTER, GLM, Thinking("h"), Thinking("m"), sealed, Thinking("so"), CALL)

    assert [detail.get("index") for detail in details["reasoning_details"]] == [0, 0, None, 1]


@pytest.mark.parametrize(
    ("model", "thought"),
    [
        (CLAUDE, Thinking("unsigned")),
        (GLM, Thinking("", redacted="c2VhbA")),
        (GEMINI, Thinking("", redacted="{broken")),
    ],
)
def test_what_a_model_would_refuse_is_left_out(model: str, thought: Thinking) -> None:
    """Claude refuses thoughts without a signature; nobody else opens what Anthropic sealed."""
    assert _given_back(openai.OPENROUTER, model, thought, Text("Hi")) == {"role": "assistant", "content": "Hi"}


def test_open_models_are_given_back_what_they_thought() -> None:
    """Nobody signs it there, and tool loops are better for it."""
    turn = _given_back(openai.OPENROUTER, GLM, Thinking("hm"), CALL)

    assert turn["reasoning_details"] == [{"type": "reasoning.text", "text": "hm", "index": 0}]


def test_deepseek_wants_the_thoughts_of_every_message_with_calls() -> None:
    """It refuses the conversation without them, even where there were none; elsewhere it does not want them."""
    called = _given_back(openai.DEEPSEEK, "deepseek-v4-flash", Thinking("h"), Thinking("m"), CALL)
    empty = _given_back(openai.DEEPSEEK, "deepseek-v4-flash", CALL)
    spoken = _given_back(openai.DEEPSEEK, "deepseek-v4-flash", Thinking("hm"), Text("Hi"))

    assert called["reasoning_content"] == "hm"
    assert empty["reasoning_content"] == ""
    assert "reasoning_content" not in spoken


def test_a_signature_of_a_call_goes_to_googles_models_alone() -> None:
    """Others refuse a call with a field that they do not know."""
    signed = ToolCall("a", "f", "{}", signature="c2ln")
    plain = {"type": "function", "id": "a", "function": {"name": "f", "arguments": "{}"}}

    assert _given_back(openai.WIRE, "gemini-3-pro", signed)["tool_calls"] == [
        {**plain, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    ]
    assert _given_back(openai.WIRE, "gpt-4o", signed)["tool_calls"] == [plain]
    assert _given_back(openai.WIRE, "gemini-3-pro", CALL)["tool_calls"] == [plain]
    assert _given_back(openai.OPENROUTER, GEMINI, signed)["tool_calls"] == [plain]


# --- asked for


def _asked(wire: Wire, model: str, reasoning: Reasoning) -> dict[str, Any]:
    request = msgspec.structs.replace(prompt_request("code", "Hi"), reasoning=reasoning)
    body = msgspec.json.decode(wire.encode(request, model, None).body)
    return {name: value for name, value in body.items() if name not in {"model", "messages"}}


@pytest.mark.parametrize(
    ("reasoning", "asked"),
    [
        (Reasoning("low"), {"reasoning_effort": "low"}),
        (Reasoning("none"), {"reasoning_effort": "none"}),
        (Reasoning("high", budget=5), {"reasoning_effort": "high"}),
        (Reasoning(budget=0), {"reasoning_effort": "none"}),
        (Reasoning(budget=1024), {"reasoning_effort": "low"}),
        (Reasoning(budget=2048), {"reasoning_effort": "low"}),
        (Reasoning(budget=2049), {"reasoning_effort": "medium"}),
        (Reasoning(budget=8192), {"reasoning_effort": "medium"}),
        (Reasoning(budget=8193), {"reasoning_effort": "high"}),
        (Reasoning(budget=-1), {}),
        (Reasoning(show=True), {}),
    ],
)
def test_a_budget_is_the_nearest_effort(reasoning: Reasoning, asked: dict[str, str]) -> None:
    """The common dialect knows efforts alone."""
    assert _asked(openai.WIRE, "gpt-5", reasoning) == asked


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "gpt-3.5-turbo"])
def test_a_model_that_never_thinks_need_not_be_told_not_to(model: str) -> None:
    """OpenAI refuses every effort there, that of none too."""
    assert _asked(openai.WIRE, model, Reasoning("none")) == {}
    assert _asked(openai.WIRE, model, Reasoning(budget=0)) == {}


@pytest.mark.parametrize(
    ("reasoning", "asked"),
    [
        (Reasoning("xhigh"), {"effort": "xhigh"}),
        (Reasoning(budget=2000), {"max_tokens": 2000}),
        (Reasoning(budget=0), {"effort": "none"}),
        (Reasoning(budget=-1), {"enabled": True}),
        (Reasoning(show=True), {"enabled": True}),
        (Reasoning("low", show=False), {"effort": "low", "exclude": True}),
        (Reasoning(budget=2000, show=False), {"max_tokens": 2000, "exclude": True}),
        (Reasoning(show=False), {"exclude": True}),
    ],
)
def test_openrouter_takes_an_effort_or_a_budget(reasoning: Reasoning, asked: dict[str, object]) -> None:
    """One of the two, never both."""
    assert _asked(openai.OPENROUTER, CLAUDE, reasoning) == {"reasoning": asked}


def test_deepseek_has_a_switch() -> None:
    """It takes efforts, but none of `none`."""
    assert _asked(openai.DEEPSEEK, "deepseek-v4-flash", Reasoning("none")) == {"thinking": {"type": "disabled"}}
    assert _asked(openai.DEEPSEEK, "deepseek-v4-flash", Reasoning("high")) == {"reasoning_effort": "high"}
