"""What is sent to Gemini."""

from __future__ import annotations

import base64

import msgspec
import pytest

from synapse.domain.credential import Credential
from synapse.domain.request import Image, Message, Request, Role, Sampling, Text, prompt_request
from synapse.providers.wires import gemini

KEY = Credential("project", "AIza-a-key")
PNG = Image("image/png", b"\x89PNG\r\n\x1a\n\xff")


def _body(request: Request) -> object:
    return msgspec.json.decode(gemini.encode(request, "gemini-2.5-flash", KEY).body)


def test_a_prompt_is_one_user_turn_and_nothing_else() -> None:
    """What a caller leaves open is left to the provider: no empty configuration, no nulls."""
    assert _body(prompt_request("code", "Hi")) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-flash"])
def test_the_path_names_the_providers_model(model: str) -> None:
    """The prefix `models/` may be there or not."""
    call = gemini.encode(prompt_request("code", "Hi"), model, KEY)

    assert call.path == "/v1beta/models/gemini-2.5-flash:generateContent"


def test_streams_ask_for_server_sent_events() -> None:
    """Without `alt=sse` Gemini streams a JSON array."""
    call = gemini.encode(prompt_request("code", "Hi", stream=True), "gemini-2.5-flash", KEY)

    assert call.path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def test_a_model_name_cannot_change_the_address() -> None:
    """What means something in an address is escaped; a slash is part of some names."""
    assert gemini.encode(prompt_request("code", "Hi"), "a/b", None).path == "/v1beta/models/a/b:generateContent"
    assert gemini.encode(prompt_request("code", "Hi"), "a?b#c%d", None).path.startswith("/v1beta/models/a%3Fb%23c%25d:")


def test_the_key_is_a_header() -> None:
    """The key goes into `x-goog-api-key`, and without a credential there is no such header."""
    request = prompt_request("code", "Hi")

    assert gemini.encode(request, "m", KEY).headers == {
        "content-type": "application/json",
        "x-goog-api-key": "AIza-a-key",
    }
    assert gemini.encode(request, "m", None).headers == {"content-type": "application/json"}


def test_all_sampling_reaches_gemini() -> None:
    """Each choice has its place in generationConfig."""
    sampling = Sampling(temperature=0.0, top_p=0.9, top_k=40, max_output_tokens=100)

    assert _body(prompt_request("code", "Hi", sampling=sampling)) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "generationConfig": {"temperature": 0.0, "topP": 0.9, "topK": 40, "maxOutputTokens": 100},
    }


def test_one_choice_of_sampling_is_sent_alone() -> None:
    """A temperature of 0 is a choice; what is None is not there."""
    sent = _body(prompt_request("code", "Hi", sampling=Sampling(temperature=0.0)))

    assert isinstance(sent, dict)
    assert sent["generationConfig"] == {"temperature": 0.0}


def test_images_are_inline_data_before_the_text() -> None:
    """An image is its type and its bytes in standard base64."""
    assert _body(prompt_request("code", "What is it?", images=(PNG,))) == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG.data).decode()}},
                    {"text": "What is it?"},
                ],
            }
        ]
    }


def test_system_messages_become_the_system_instruction() -> None:
    """All of them, wherever they stood, and without a role."""
    request = Request(
        "code",
        (
            Message(Role.SYSTEM, (Text("Be terse."),)),
            Message(Role.USER, (Text("Hi"),)),
            Message(Role.SYSTEM, (Text("Be kind."),)),
        ),
    )

    assert _body(request) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be terse."}, {"text": "Be kind."}]},
    }


def test_an_assistant_is_a_model_at_gemini() -> None:
    """Turns keep their order."""
    request = Request(
        "code",
        (
            Message(Role.USER, (Text("1"),)),
            Message(Role.ASSISTANT, (Text("2"),)),
            Message(Role.USER, (Text("3"),)),
        ),
    )

    sent = _body(request)

    assert isinstance(sent, dict)
    assert [(turn["role"], turn["parts"][0]["text"]) for turn in sent["contents"]] == [
        ("user", "1"),
        ("model", "2"),
        ("user", "3"),
    ]


def test_turns_of_one_side_become_one_turn() -> None:
    """Gemini wants the sides to take turns; an empty answer between them is left out."""
    request = Request(
        "code",
        (
            Message(Role.USER, (Text("1"),)),
            Message(Role.ASSISTANT, (Text(""),)),
            Message(Role.USER, (Text("2"),)),
        ),
    )

    assert _body(request) == {"contents": [{"role": "user", "parts": [{"text": "1"}, {"text": "2"}]}]}


def test_an_image_of_the_model_is_no_empty_text() -> None:
    """Only text can be empty."""
    sent = _body(Request("code", (Message(Role.ASSISTANT, (PNG, Text(""))),)))

    assert isinstance(sent, dict)
    assert [list(part) for part in sent["contents"][0]["parts"]] == [["inlineData"]]


def test_encoding_a_request_twice_does_not_change_it() -> None:
    """Merging turns happens in what is sent, not in the request."""
    request = Request("code", (Message(Role.USER, (Text("1"),)), Message(Role.USER, (Text("2"),))))

    assert _body(request) == _body(request)
    assert request.messages == (Message(Role.USER, (Text("1"),)), Message(Role.USER, (Text("2"),)))
