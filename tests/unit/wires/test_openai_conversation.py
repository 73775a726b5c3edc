"""What is written of a conversation for servers that speak like OpenAI: parts, tools, results, files."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from synapse.domain.request import (
    Audio,
    Document,
    Image,
    ImageUrl,
    Message,
    Part,
    Request,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from synapse.providers.wires import openai
from synapse.providers.wires.base import Wire

PNG = Image("image/png", b"\x89PNG")
PNG_URL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
CALL = ToolCall("call_1", "f", '{"x":1}')
WRITTEN_CALL = {"type": "function", "id": "call_1", "function": {"name": "f", "arguments": '{"x":1}'}}


def _sent(*messages: Message, wire: Wire = openai.WIRE, model: str = "m") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(wire.encode(Request("code", messages), model, None).body)[
        "messages"
    ]
    return found


def _user(*parts: Part) -> Message:
    return Message(Role.USER, parts)


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_a_picture_by_address_is_passed_on() -> None:
    """The server fetches it; how closely to look goes with it, where that was said."""
    assert _sent(
        _user(Text("What?"), ImageUrl("https://x.test/a.png", "high"), Image(PNG.media_type, PNG.data, "low"))
    ) == [
        {
            "role": "user",
            "content": [
                _text("What?"),
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("audio/wav", "wav"),
        ("audio/x-wav", "wav"),
        ("audio/wave", "wav"),
        ("audio/mpeg", "mp3"),
        ("audio/mp3", "mp3"),
        ("audio/flac", "flac"),
    ],
)
def test_a_recording_says_its_format_and_not_its_type(media_type: str, name: str) -> None:
    """`wav` and `mp3` have several types; other formats are the server's to judge."""
    (turn,) = _sent(_user(Audio(media_type, b"\x00\xff")))

    assert turn["content"] == [{"type": "input_audio", "input_audio": {"data": "AP8=", "format": name}}]


@pytest.mark.parametrize(
    ("document", "filename"),
    [
        (Document("application/pdf", b"%PDF", "a.pdf"), "a.pdf"),
        (Document("application/pdf", b"%PDF"), "document.pdf"),
        (Document("application/msword", b"%PDF"), "document"),
    ],
)
def test_a_file_has_a_name(document: Document, filename: str) -> None:
    """It is refused without one."""
    (turn,) = _sent(_user(document))

    url = f"data:{document.media_type};base64,JVBERg=="
    assert turn["content"] == [{"type": "file", "file": {"filename": filename, "file_data": url}}]


def test_a_file_of_text_is_text() -> None:
    """Every server reads that; its name stands before it."""
    named, nameless = Document("text/plain", b"One.", "a.txt"), Document("text/csv", b"a,b\xff")

    assert _sent(_user(named, nameless))[0]["content"] == [_text("a.txt:\nOne."), _text("a,b\N{REPLACEMENT CHARACTER}")]


@pytest.mark.parametrize("role", [Role.SYSTEM, Role.ASSISTANT])
def test_several_texts_of_others_than_the_user_are_one_string(role: Role) -> None:
    """Groq and Cerebras refuse lists there."""
    assert _sent(Message(role, (Text("One."), Text("Two.")))) == [{"role": role.value, "content": "One.\n\nTwo."}]


def test_deepseek_knows_strings_alone() -> None:
    """It refuses every list of texts; one with a picture is left to it."""
    assert _sent(_user(Text("One."), Text("Two.")), wire=openai.DEEPSEEK)[0]["content"] == "One.\n\nTwo."
    assert _sent(_user(Text("One."), PNG), wire=openai.DEEPSEEK)[0]["content"][0] == _text("One.")


def test_who_speaks_is_named() -> None:
    """Of several on a side."""
    assert _sent(Message(Role.USER, (Text("Hi"),), name="ada")) == [{"role": "user", "content": "Hi", "name": "ada"}]


def test_a_message_without_content_has_an_empty_one() -> None:
    """A content must be there, and null is taken with calls alone."""
    assert _sent(_user(), Message(Role.ASSISTANT, (Thinking("hm"),))) == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": ""},
    ]


# --- tools


def test_a_message_with_calls_and_no_text_has_a_content_of_null() -> None:
    """OpenAI's own form: it must not be missing, and some refuse an empty string."""
    assert _sent(Message(Role.ASSISTANT, (CALL,))) == [
        {"role": "assistant", "content": None, "tool_calls": [WRITTEN_CALL]}
    ]


def test_text_and_calls_stand_in_one_message() -> None:
    """The text before, the calls in their order; no arguments are an empty object."""
    (turn,) = _sent(Message(Role.ASSISTANT, (Text("Wait."), CALL, ToolCall("call_2", "g", ""))))

    assert turn["content"] == "Wait."
    assert turn["tool_calls"] == [
        WRITTEN_CALL,
        {"type": "function", "id": "call_2", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_results_are_messages_of_their_own_before_what_the_user_says() -> None:
    """Every call must be answered before the next message of a user, in whatever order a caller says it."""
    assert _sent(
        _user(Text("And?"), ToolResult("call_1", (Text("1"),), name="f"), ToolResult("call_2", (Text("a"), Text("b"))))
    ) == [
        {"role": "tool", "content": "1", "tool_call_id": "call_1", "name": "f"},
        {"role": "tool", "content": "a\n\nb", "tool_call_id": "call_2"},
        {"role": "user", "content": "And?"},
    ]


def test_results_alone_are_followed_by_nothing() -> None:
    """An empty message of the user would be another turn."""
    assert _sent(_user(ToolResult("call_1", ()))) == [{"role": "tool", "content": "", "tool_call_id": "call_1"}]


def test_pictures_among_results_are_shown_by_the_user() -> None:
    """A tool can send text alone here; which call they belong to is said."""
    shown = ToolResult("call_1", (Text("a cat"), PNG))
    only = ToolResult("call_2", (ImageUrl("https://x.test/a.png"),))

    assert _sent(_user(shown, only, Text("And?"))) == [
        {"role": "tool", "content": "a cat", "tool_call_id": "call_1"},
        {"role": "tool", "content": "The result is shown in the next message.", "tool_call_id": "call_2"},
        {
            "role": "user",
            "content": [
                _text("Shown by the tool call call_1:"),
                {"type": "image_url", "image_url": {"url": PNG_URL}},
                _text("Shown by the tool call call_2:"),
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
                _text("And?"),
            ],
        },
    ]


def test_mistral_takes_ids_of_nine_letters_and_digits_alone() -> None:
    """Those of other providers are made into such, the same for a call and its result; its own stay."""
    own = ToolCall("3sniiMddS", "f", "{}")

    called, result = _sent(
        Message(Role.ASSISTANT, (CALL, own)), _user(ToolResult("call_1", (Text("1"),))), wire=openai.MISTRAL
    )

    short, kept = (call["id"] for call in called["tool_calls"])
    assert kept == "3sniiMddS"
    assert (len(short), short.isalnum()) == (9, True)
    assert result["tool_call_id"] == short
    assert _sent(Message(Role.ASSISTANT, (CALL,)), wire=openai.OPENROUTER)[0]["tool_calls"] == [WRITTEN_CALL]


# --- caches


def test_openrouter_is_told_what_to_keep_in_a_cache() -> None:
    """A text with a mark has to be a part; five minutes are what is kept unasked."""
    system = Message(Role.SYSTEM, (Text("Long.", cache="5m"),))
    picture = Image(PNG.media_type, PNG.data, cache="1h")

    assert _sent(system, _user(picture, Text("?")), wire=openai.OPENROUTER) == [
        {"role": "system", "content": [{**_text("Long."), "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "image_url",
                    "image_url": {"url": PNG_URL},
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                },
                _text("?"),
            ],
        },
    ]


def test_others_are_told_nothing_of_caches() -> None:
    """They keep what they like, and some refuse the mark."""
    assert _sent(Message(Role.SYSTEM, (Text("Long.", cache="5m"),))) == [{"role": "system", "content": "Long."}]
