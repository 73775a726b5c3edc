"""What Gemini cannot honour is named, with what does work."""

from __future__ import annotations

import msgspec
import pytest

from synapse.domain.request import (
    Audio,
    Document,
    Embedding,
    Image,
    ImageUrl,
    Message,
    Part,
    Reasoning,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    ToolCall,
    ToolResult,
    prompt_request,
)
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.domain.unsupported import without
from synapse.providers.wires import gemini

TOOLS = (Tool("f"),)


def _refused(request: Request, model: str = "gemini-2.5-flash") -> dict[str, str]:
    found = gemini.WIRE.unsupported(request, model)
    refused = {each.parameter: each.hint for each in found}
    assert len(refused) == len(found), "a name is told twice"
    return refused


def _asking(**fields: object) -> Request:
    return msgspec.structs.replace(prompt_request("code", "Hi"), **fields)


def _showing(*parts: Part) -> Request:
    return Request("code", (Message(Role.USER, parts),))


def test_a_request_with_everything_that_gemini_knows_is_refused_nothing() -> None:
    """All sampling, tools in parallel, a schema, thinking, files of every kind."""
    request = Request(
        "code",
        (
            Message(Role.SYSTEM, (Text("Be terse."),)),
            Message(
                Role.USER,
                (
                    Text("Hi"),
                    Image("image/heic", b""),
                    Audio("audio/x-wav", b""),
                    Document("application/pdf", b""),
                    Document("video/mp4", b""),
                    ImageUrl("gs://bucket/a"),
                ),
            ),
            Message(Role.ASSISTANT, (ToolCall("1", "f", "{}"),)),
            Message(Role.USER, (ToolResult("1", (Text("1"), Image("image/png", b""))),)),
        ),
        Sampling(0.5, 0.5, 5, 50, ("a", "b", "c", "d", "e"), 2**31 - 1, 0.5, 0.5),
        tools=TOOLS,
        tool_choice=ToolChoice(ToolMode.REQUIRED, ("f",), parallel=True),
        response_format=ResponseFormat(msgspec.Raw(b"{}"), strict=True),
        reasoning=Reasoning("none", 0, show=True),
    )

    assert _refused(request, "gemini-3.5-flash") == {}
    assert _refused(Request("code", (), embedding=Embedding(("a",) * 2000, 64)), "gemini-embedding-001") == {}


def test_calls_one_at_a_time_cannot_be_had() -> None:
    """Gemini has no such switch; without tools, or where none is to be called, it would change nothing."""
    alone = ToolChoice(parallel=False)

    assert list(_refused(_asking(tools=TOOLS, tool_choice=alone))) == ["parallel_tool_calls"]
    assert _refused(_asking(tool_choice=alone)) == {}
    assert _refused(_asking(tools=TOOLS, tool_choice=ToolChoice(ToolMode.NONE, parallel=False))) == {}


def test_a_call_cannot_be_demanded_without_tools() -> None:
    """To leave it to the model, or to forbid it, means nothing there."""
    assert list(_refused(_asking(tool_choice=ToolChoice(ToolMode.REQUIRED)))) == ["tool_choice"]
    assert _refused(_asking(tool_choice=ToolChoice(ToolMode.NONE))) == {}


def test_more_than_five_stop_sequences_are_too_many() -> None:
    """The hint says how many work."""
    assert _refused(_asking(sampling=Sampling(stop=("a",) * 6))) == {"stop": "up to 5 of them do work; there are 6"}


@pytest.mark.parametrize(("seed", "refused"), [(2**31, True), (-(2**31) - 1, True), (2**31 - 1, False), (0, False)])
def test_a_seed_has_32_bits(seed: int, refused: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Those of OpenAI's clients may have 64."""
    assert ("seed" in _refused(_asking(sampling=Sampling(seed=seed)))) is refused


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3.5-flash", "gemini-flash-latest", "gemini-1.5-flash"])
def test_probabilities_are_told_by_gemini_2_0_only(model: str) -> None:
    """All others answer "Logprobs is not enabled"."""
    assert "Gemini 2.0" in _refused(_asking(sampling=Sampling(logprobs=0)), model)["logprobs"]
    assert _refused(_asking(sampling=Sampling(logprobs=20)), "gemini-2.0-flash") == {}


def test_probabilities_of_more_than_twenty_others_cannot_be_had() -> None:
    """The hint says how many."""
    refused = _refused(_asking(sampling=Sampling(logprobs=21)), "gemini-2.0-flash")

    assert refused == {"logprobs": "those of up to 20 others do work"}


def test_json_beside_tools_works_from_gemini_3_on() -> None:
    """Older models refuse the two together."""
    request = _asking(tools=TOOLS, response_format=ResponseFormat())

    assert list(_refused(request, "gemini-2.5-pro")) == ["response_format"]
    assert _refused(request, "gemini-3-flash-preview") == {}
    assert _refused(_asking(response_format=ResponseFormat()), "gemini-2.5-pro") == {}


@pytest.mark.parametrize("reasoning", [Reasoning("low"), Reasoning(budget=1024), Reasoning(budget=-1)])
def test_models_that_do_not_think_cannot_be_told_to(reasoning: Reasoning) -> None:
    """Not to think, or to show what they think, can be asked of them."""
    assert list(_refused(_asking(reasoning=reasoning), "gemini-2.0-flash")) == ["reasoning"]
    assert _refused(_asking(reasoning=reasoning), "gemini-2.5-flash") == {}


@pytest.mark.parametrize("reasoning", [Reasoning("none"), Reasoning(budget=0), Reasoning(show=True)])
def test_not_to_think_can_be_asked_of_any_model(reasoning: Reasoning) -> None:
    """Nothing is lost with it."""
    assert _refused(_asking(reasoning=reasoning), "gemini-2.0-flash") == {}


@pytest.mark.parametrize(
    ("part", "name", "works"),
    [
        (Image("image/gif", b""), "images", "PNG, JPEG, WebP, HEIC and HEIF"),
        (Image("image/bmp", b""), "images", "PNG, JPEG, WebP, HEIC and HEIF"),
        (Audio("audio/amr", b""), "audio", "WAV, MP3"),
        (Document("application/zip", b""), "documents", "PDF"),
        (ImageUrl("http://a.example/a.png"), "image_urls", "data: URL"),
        (ImageUrl("https://a.example/a"), "image_urls", "data: URL"),
        (ImageUrl("https://a.example/a.gif"), "image_urls", "data: URL"),
        (ImageUrl("data:image/png;base64,AA=="), "image_urls", "data: URL"),
        (ImageUrl("https://[broken"), "image_urls", "data: URL"),
        (ToolResult("1", (ImageUrl("https://a.example/a.png"),)), "image_urls", "data: URL"),
        (ToolResult("1", (Image("image/gif", b""),)), "images", "PNG, JPEG, WebP, HEIC and HEIF"),
    ],
)
def test_files_that_gemini_does_not_read_are_named(part: Part, name: str, works: str) -> None:
    """Each by its kind, once, with those that it does read."""
    refused = _refused(_showing(Text("Hi"), part, part))

    assert list(refused) == [name]
    assert works in refused[name]


@pytest.mark.parametrize(
    ("url", "model", "reachable"),
    [
        ("https://a.example/a.png?b=c", "gemini-2.5-flash", True),
        ("https://a.example/a.jpeg", "gemini-3.5-flash", True),
        ("https://a.example/a.png", "gemini-2.0-flash", False),
        ("https://a.example/a.png", "gemma-4-31b-it", False),
        ("https://generativelanguage.googleapis.com/v1beta/files/abc", "gemini-2.0-flash", True),
        ("gs://bucket/a", "gemini-2.0-flash", True),
    ],
)
def test_addresses_that_gemini_goes_to_itself_are_left_to_it(url: str, model: str, *, reachable: bool) -> None:
    """Its own stores, and from 2.5 on the open web, where the address tells the type of the picture."""
    assert (_refused(_showing(ImageUrl(url)), model) == {}) is reachable


def test_a_request_without_what_was_refused_is_refused_nothing() -> None:
    """What may be dropped has the names under which it is dropped."""
    request = _asking(
        sampling=Sampling(stop=("a",) * 6, seed=2**40, logprobs=5),
        tools=TOOLS,
        tool_choice=ToolChoice(parallel=False),
        response_format=ResponseFormat(),
        reasoning=Reasoning("high"),
    )

    refused = _refused(request, "gemini-1.5-pro")

    assert list(refused) == ["stop", "seed", "logprobs", "parallel_tool_calls", "response_format", "reasoning"]
    assert _refused(without(request, refused), "gemini-1.5-pro") == {}
