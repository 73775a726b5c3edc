"""What Anthropic's models cannot honour is named."""

from __future__ import annotations

import msgspec
import pytest

from synapse.domain.request import (
    Audio,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    ToolResult,
    prompt_request,
)
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.domain.unsupported import without
from synapse.providers.wires import anthropic
from synapse.providers.wires.anthropic_models import adaptive, picks_one_way, refuses_sampling, version

OLDEST, OLD, NEW, NEWEST = (
    "claude-3-5-haiku-20241022",
    "claude-haiku-4-5-20251001",
    "claude-opus-4-6",
    "claude-sonnet-5",
)


def _asking(**asked: object) -> Request:
    request: Request = msgspec.structs.replace(prompt_request("code", "Hi"), **asked)
    return request


def _named(model: str, **asked: object) -> list[str]:
    return [each.parameter for each in anthropic.WIRE.unsupported(_asking(**asked), model)]


def _picked(model: str, reasoning: Reasoning | None = None, **sampling: object) -> list[str]:
    return _named(model, sampling=msgspec.structs.replace(Sampling(), **sampling), reasoning=reasoning)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-3-5-haiku-20241022", (3, 5)),
        ("claude-3-opus-20240229", (3, 0)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-opus-4-1-20250805", (4, 1)),
        ("claude-haiku-4-5-20251001", (4, 5)),
        ("claude-sonnet-4.5", (4, 5)),
        ("claude-opus-4-6", (4, 6)),
        ("claude-sonnet-5", (5, 0)),
        ("eu.anthropic.claude-opus-4-1-20250805-v1:0", (4, 1)),
        ("my-deployment", (0, 0)),
    ],
)
def test_a_models_version_stands_in_its_name(model: str, expected: tuple[int, int]) -> None:
    """A date is none."""
    assert version(model) == expected


def test_models_differ_by_their_version() -> None:
    """What is not known is taken for an old one: the server decides."""
    told = {
        model: (picks_one_way(model), adaptive(model), refuses_sampling(model))
        for model in ("my-deployment", "claude-opus-4-0", "claude-opus-4-1", "claude-opus-4-6", "claude-opus-4-7")
    }

    assert list(told.values()) == [
        (False, False, False),
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, True),
    ]


@pytest.mark.parametrize("model", [OLDEST, OLD, NEW, NEWEST])
def test_what_anthropic_never_had_is_named(model: str) -> None:
    """It would be refused, or not be heard."""
    assert _picked(model, seed=7, presence_penalty=0.0, frequency_penalty=0.5, logprobs=0) == [
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
    ]
    assert _picked(model, stop=("END",), max_output_tokens=9) == []
    assert _named(model, response_format=ResponseFormat()) == ["response_format"]
    assert _named(model, response_format=ResponseFormat(msgspec.Raw(b"{}"))) == []


def test_a_temperature_ends_at_1() -> None:
    """Others go up to 2."""
    assert _picked(OLD, temperature=1.0) == []
    assert _picked(OLD, temperature=1.01) == ["temperature"]


def test_the_newest_models_pick_their_words_themselves() -> None:
    """A default is no wish; everything else is named once."""
    assert _picked(NEWEST, temperature=1.0, top_p=1.0) == []
    assert _picked(NEWEST, temperature=1.5, top_p=0.5, top_k=40) == ["temperature", "top_p", "top_k"]


def test_newer_models_take_a_temperature_or_a_top_p() -> None:
    """Both together are refused from Claude 4.1 on; a default is no wish."""
    assert _picked(OLDEST, temperature=0.5, top_p=0.5, top_k=40) == []
    assert _picked(OLD, temperature=0.5, top_p=0.5, top_k=40) == ["top_p"]
    assert _picked(NEW, temperature=0.5, top_p=1.0) == []
    assert _picked(NEW, temperature=1.0, top_p=0.5) == []


@pytest.mark.parametrize("reasoning", [Reasoning("low"), Reasoning(budget=2000), Reasoning(show=True)])
def test_a_model_that_thinks_is_told_less(reasoning: Reasoning) -> None:
    """Its temperature is 1, its top_p nearly so, and no tool can be forced on it."""
    tools = (Tool("f"),)

    assert _picked(OLD, reasoning, temperature=0.5, top_k=40) == ["temperature", "top_k"]
    assert _picked(OLD, reasoning, temperature=1.0, top_p=0.95) == []
    assert _picked(OLD, reasoning, top_p=0.9) == ["top_p"]
    assert _named(OLD, reasoning=reasoning, tools=tools, tool_choice=ToolChoice(ToolMode.REQUIRED)) == ["tool_choice"]
    assert _named(OLD, reasoning=reasoning, tools=tools, tool_choice=ToolChoice(ToolMode.AUTO)) == []


@pytest.mark.parametrize(
    "reasoning", [None, Reasoning("none"), Reasoning(budget=0), Reasoning(), Reasoning(show=False)]
)
def test_a_model_that_does_not_think_is_told_as_ever(reasoning: Reasoning | None) -> None:
    """To be told that there are no thoughts to show is not to be told to think."""
    assert _picked(OLD, reasoning, temperature=0.5, top_k=40) == []
    assert _named(OLD, reasoning=reasoning, tools=(Tool("f"),), tool_choice=ToolChoice(ToolMode.REQUIRED)) == []


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (Image("image/heic", b""), ["images"]),
        (Image("image/webp", b""), []),
        (Audio("audio/wav", b""), ["audio"]),
        (Document("text/csv", b""), ["documents"]),
        (Document("text/plain", b""), []),
        (Document("application/pdf", b""), []),
        (ToolResult("a", (Text("1"), Image("image/heic", b""), Image("image/heic", b""))), ["images"]),
    ],
)
def test_files_that_anthropic_does_not_read_are_named(part: Part, named: list[str]) -> None:
    """Those of a tool's result too; each kind once."""
    assert _named(OLD, messages=(Message(Role.USER, (part,)),)) == named


@pytest.mark.parametrize("model", [OLDEST, OLD, NEW, NEWEST])
def test_what_was_named_can_be_dropped(model: str) -> None:
    """Without it nothing more is named, and every hint ends a sentence."""
    asked = _asking(
        sampling=Sampling(1.5, 0.5, 40, 100, ("END",), 7, 0.5, 0.5, 2),
        reasoning=Reasoning("max"),
        response_format=ResponseFormat(),
        tools=(Tool("f"),),
        tool_choice=ToolChoice(ToolMode.REQUIRED),
    )
    found = anthropic.WIRE.unsupported(asked, model)

    assert found
    assert all(each.hint and each.hint[-1] not in ".!" for each in found)
    assert anthropic.WIRE.unsupported(without(asked, [each.parameter for each in found]), model) == ()
