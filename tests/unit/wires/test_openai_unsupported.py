"""What cannot be honoured by servers that speak like OpenAI is named, where that is certain."""

from __future__ import annotations

import msgspec
import pytest

from synapse.domain.request import (
    Audio,
    Document,
    Embedding,
    Image,
    Message,
    Part,
    Reasoning,
    Request,
    Role,
    Sampling,
    Text,
    ToolResult,
    prompt_request,
)
from synapse.domain.tools import Tool, ToolChoice
from synapse.domain.unsupported import without
from synapse.providers.wires import openai
from synapse.providers.wires.base import Wire

EVERYTHING = Sampling(0.5, 0.5, 40, 100, ("END",), 7, 0.5, 0.5, 2)


def _asking(**asked: object) -> Request:
    request: Request = msgspec.structs.replace(prompt_request("code", "Hi"), **asked)
    return request


def _named(model: str, request: Request, wire: Wire = openai.WIRE) -> list[str]:
    return [each.parameter for each in wire.unsupported(request, model)]


def _picked(model: str, **sampling: object) -> list[str]:
    return _named(model, _asking(sampling=msgspec.structs.replace(Sampling(), **sampling)))


@pytest.mark.parametrize("model", ["llama3.2", "gpt-oss:120b", "deepseek-chat", "z-ai/glm-4.6:free", "my-deployment"])
def test_a_server_decides_for_models_that_are_not_openais(model: str) -> None:
    """It knows better what it can do."""
    request = _asking(sampling=EVERYTHING, reasoning=Reasoning("max"), tool_choice=ToolChoice(parallel=False))

    assert _named(model, request) == []
    assert _named(model, request, openai.OPENROUTER) == []


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "o3", "openai/gpt-4.1"])
def test_openais_models_have_no_top_k(model: str) -> None:
    """OpenAI refuses it, and OpenRouter drops it silently."""
    assert _picked(model, top_k=40) == ["top_k"]


def test_models_that_do_not_think_pick_their_words_as_told() -> None:
    """All but `top_k`."""
    assert _named("gpt-4o", _asking(sampling=EVERYTHING)) == ["top_k"]


@pytest.mark.parametrize("model", ["o3", "o4-mini", "gpt-5", "gpt-5-mini-2025-08-07", "openai/gpt-5"])
def test_models_that_always_think_pick_their_words_themselves(model: str) -> None:
    """They refuse everything but the default; a seed is only a wish."""
    assert set(_named(model, _asking(sampling=EVERYTHING))) == {
        "top_k",
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "stop",
    }
    assert _picked(model, temperature=1.0, top_p=1.0, presence_penalty=0.0, frequency_penalty=0.0, seed=7) == []
    assert _picked(model, logprobs=0) == ["logprobs"]


def test_o1_stops_where_it_is_told() -> None:
    """Those after it do not."""
    assert _picked("o1", stop=("END",)) == []


@pytest.mark.parametrize("model", ["gpt-5-chat-latest", "gpt-5.1-chat-latest"])
def test_models_that_chat_do_not_always_think(model: str) -> None:
    """Although their names begin alike."""
    assert _picked(model, temperature=0.5, stop=("END",)) == []


def test_newer_models_pick_their_words_as_told_unless_they_are_to_think() -> None:
    """From GPT-5.1 on there is an effort of none."""
    hot = Sampling(temperature=0.5)

    assert _named("gpt-5.1", _asking(sampling=hot)) == []
    assert _named("gpt-5.2", _asking(sampling=hot, reasoning=Reasoning("none"))) == []
    assert _named("gpt-5.2", _asking(sampling=hot, reasoning=Reasoning(budget=0))) == []
    assert _named("gpt-5.2", _asking(sampling=hot, reasoning=Reasoning("low"))) == ["temperature"]
    assert _named("gpt-5.2", _asking(sampling=hot, reasoning=Reasoning(budget=100))) == ["temperature"]


@pytest.mark.parametrize(
    ("model", "reasoning", "named"),
    [
        ("gpt-4o", Reasoning("low"), True),
        ("gpt-4o", Reasoning(budget=1024), True),
        ("gpt-4o", Reasoning("none"), False),
        ("gpt-4o", Reasoning(budget=0), False),
        ("gpt-4o", Reasoning(show=True), False),
        ("gpt-5", Reasoning("minimal"), False),
        ("gpt-5", Reasoning("none"), True),
        ("gpt-5", Reasoning(budget=0), True),
        ("gpt-5", Reasoning("xhigh"), True),
        ("gpt-5.1", Reasoning("none"), False),
        ("gpt-5", Reasoning("low"), False),
        ("gpt-5", Reasoning("medium"), False),
        ("gpt-5.2", Reasoning("xhigh"), False),
        ("o3", Reasoning("low"), False),
        ("o3", Reasoning("medium"), False),
        ("o3", Reasoning("high"), False),
        ("o3", Reasoning("minimal"), True),
        ("o3", Reasoning(budget=5000), False),
    ],
)
def test_not_every_model_thinks_and_not_every_one_can_be_kept_from_it(
    model: str,
    reasoning: Reasoning,
    named: bool,  # noqa: FBT001 - a column
) -> None:
    """An effort that a model has not is refused by OpenAI."""
    assert _named(model, _asking(reasoning=reasoning)) == (["reasoning"] if named else [])


def test_the_o_series_does_not_take_a_word_on_parallel_calls() -> None:
    """It is refused there; that they may be parallel goes without saying."""
    tools = (Tool("f"),)

    assert _named("o3", _asking(tools=tools, tool_choice=ToolChoice(parallel=False))) == ["parallel_tool_calls"]
    assert _named("gpt-5", _asking(tools=tools, tool_choice=ToolChoice(parallel=False))) == []


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (Image("image/heic", b""), ["images"]),
        (Image("image/webp", b""), []),
        (Audio("audio/ogg", b""), ["audio"]),
        (Audio("audio/x-wav", b""), []),
        (Document("application/msword", b""), ["documents"]),
        (Document("application/pdf", b""), []),
        (Document("text/csv", b""), []),
        (ToolResult("a", (Text("1"), Image("image/heic", b""))), ["images"]),
    ],
)
def test_files_that_openai_does_not_read_are_named(part: Part, named: list[str]) -> None:
    """Those of a tool's result too; other servers may read them."""
    request = Request("code", (Message(Role.USER, (part,)),))

    assert _named("gpt-4o", request) == named
    assert _named("llava", request) == []


def test_mistral_has_neither_top_k_nor_probabilities() -> None:
    """It refuses a request with a field that it does not know."""
    request = _asking(sampling=EVERYTHING)

    assert _named("mistral-large-latest", request, openai.MISTRAL) == ["top_k", "logprobs"]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "gpt-5.2", "o3"])
def test_what_was_named_can_be_dropped(model: str) -> None:
    """Without it nothing more is named, and every hint ends a sentence."""
    asked = _asking(sampling=EVERYTHING, reasoning=Reasoning("max"), tool_choice=ToolChoice(parallel=False))
    found = openai.WIRE.unsupported(asked, model)

    assert found
    assert all(each.hint and each.hint[-1] not in ".!" for each in found)
    assert openai.WIRE.unsupported(without(asked, [each.parameter for each in found]), model) == ()


def test_a_request_for_vectors_has_nothing_to_name() -> None:
    """It holds nothing of all this."""
    assert _named("text-embedding-3-small", Request("code", (), embedding=Embedding(("Hi",)))) == []
