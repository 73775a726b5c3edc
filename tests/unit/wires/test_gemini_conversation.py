"""What was said, as it is told to Gemini: turns, files, calls, results, signatures."""

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
from synapse.providers.wires import gemini

PNG = Image("image/png", b"\x89PNG\r\n\x1a\n\xff")
SIGNATURE = "EsoGCscGAdHtim8+/w=="
"""As Gemini writes them: standard base64."""
URL_SAFE = "EsoGCscGAdHtim8-_w=="
ANTHROPIC = "EqoBCkgIARABGAIiQAEBAQEBAQEBAQEBAQEBAQE="
OPENAI = "gAAAAABoISQ24OyVRYbkYfukdJoqdzWT-3uiErKInHDC-lgAaXeky44N77j7aibc"
DUMMY = "skip_thought_signature_validator"


def user(*parts: Part | str) -> Message:
    """Build a turn of the user's."""
    return Message(Role.USER, tuple([Text(part) if isinstance(part, str) else part for part in parts]))


def assistant(*parts: Part | str) -> Message:
    """Build a turn of the model's."""
    return Message(Role.ASSISTANT, tuple([Text(part) if isinstance(part, str) else part for part in parts]))


def system(*parts: Part | str) -> Message:
    """Build an instruction."""
    return Message(Role.SYSTEM, tuple([Text(part) if isinstance(part, str) else part for part in parts]))


def call(name: str, arguments: str = "{}", *, id: str = "", signature: str | None = None) -> ToolCall:  # noqa: A002 - the field's name
    """Build a call whose id is `call_<name>` where nothing else is said."""
    return ToolCall(id or f"call_{name}", name, arguments, signature)


def result(
    of: str, *content: Text | Image | ImageUrl | str, name: str | None = None, error: bool = False
) -> ToolResult:
    """Build the result of the call with the id `call_<of>`."""
    parts = tuple([Text(part) if isinstance(part, str) else part for part in content])
    return ToolResult(f"call_{of}", parts, name, error)


def body(*messages: Message, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    """Return what is sent."""
    sent: dict[str, Any] = msgspec.json.decode(gemini.WIRE.encode(Request("code", messages), model, None).body)
    return sent


def turns(*messages: Message, model: str = "gemini-2.5-flash") -> list[tuple[str, list[Any]]]:
    """Return the turns that are sent."""
    return [(turn["role"], turn["parts"]) for turn in body(*messages, model=model)["contents"]]


def given(part: dict[str, Any]) -> tuple[str, Any]:
    """Return the name and the response of a function's response."""
    response = part["functionResponse"]
    return response["name"], response["response"]


# --- turns


def test_images_are_inline_data() -> None:
    """A picture is its type and its bytes in standard base64."""
    assert turns(user(PNG, "What is it?")) == [
        (
            "user",
            [
                {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG.data).decode()}},
                {"text": "What is it?"},
            ],
        )
    ]


def test_system_messages_become_the_system_instruction() -> None:
    """All of them, wherever they stood, without a role, and none that is empty."""
    sent = body(system("Be terse."), user("Hi"), system("Be kind.", ""))

    assert sent == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be terse."}, {"text": "Be kind."}]},
    }


def test_pictures_of_an_instruction_are_shown_by_the_user() -> None:
    """A system instruction is text only."""
    sent = body(system("Look at this.", PNG), user("Hi"))

    assert sent["systemInstruction"] == {"parts": [{"text": "Look at this."}]}
    assert [list(part) for part in sent["contents"][0]["parts"]] == [["inlineData"], ["text"]]


def test_an_instruction_alone_is_said_by_the_user() -> None:
    """There have to be contents."""
    assert body(system("Tell a joke.")) == {"contents": [{"role": "user", "parts": [{"text": "Tell a joke."}]}]}


def test_an_assistant_is_a_model_at_gemini() -> None:
    """Turns keep their order."""
    assert turns(user("1"), assistant("2"), user("3")) == [
        ("user", [{"text": "1"}]),
        ("model", [{"text": "2"}]),
        ("user", [{"text": "3"}]),
    ]


def test_turns_of_one_side_become_one_turn() -> None:
    """Gemini wants the sides to take turns; an empty answer between them is left out."""
    assert turns(user("1"), assistant(""), user("2"), assistant("3"), assistant("4")) == [
        ("user", [{"text": "1"}, {"text": "2"}]),
        ("model", [{"text": "3"}, {"text": "4"}]),
    ]


def test_an_image_of_the_model_is_no_empty_text() -> None:
    """Only text can be empty."""
    assert [list(part) for part in turns(assistant(PNG, ""))[0][1]] == [["inlineData"]]


def test_a_last_turn_of_the_model_is_sent_as_it_is() -> None:
    """From Gemini 3.6 Flash on an answer that was begun is refused; the refusal says so better than we could."""
    assert turns(user("Say it."), assistant("It is"), model="gemini-3.6-flash")[-1] == ("model", [{"text": "It is"}])


# --- files


@pytest.mark.parametrize(
    ("media_type", "sent"),
    [
        ("audio/wav", "audio/wav"),
        ("audio/x-wav", "audio/wav"),
        ("audio/mp3", "audio/mp3"),
        ("audio/mpeg", "audio/mpeg"),
        ("audio/unknown", "audio/unknown"),
    ],
)
def test_recordings_are_inline_data(media_type: str, sent: str) -> None:
    """By the name that Gemini has for their type."""
    assert turns(user(Audio(media_type, b"RIFF")))[0][1] == [{"inlineData": {"mimeType": sent, "data": "UklGRg=="}}]


@pytest.mark.parametrize(
    ("media_type", "sent"),
    [
        ("application/pdf", "application/pdf"),
        ("text/csv", "text/csv"),
        ("text/plain; charset=utf-8", "text/plain"),
        ("text/markdown", "text/plain"),
        ("application/json", "text/plain"),
        ("video/mp4", "video/mp4"),
        ("application/zip", "application/zip"),
    ],
)
def test_documents_are_inline_data(media_type: str, sent: str) -> None:
    """Text of a kind that Gemini refuses by its name, such as JSON, is plain text."""
    document = Document(media_type, b"{}", "a.name")

    assert turns(user(document))[0][1] == [{"inlineData": {"mimeType": sent, "data": "e30="}}]


def test_an_address_is_file_data() -> None:
    """With the type that its ending tells, which Gemini wants to know of what it fetches itself."""
    assert turns(user(ImageUrl("https://a.example/b/300.JPG?hmac=x.y")))[0][1] == [
        {"fileData": {"fileUri": "https://a.example/b/300.JPG?hmac=x.y", "mimeType": "image/jpeg"}}
    ]
    assert turns(user(ImageUrl("https://generativelanguage.googleapis.com/v1beta/files/abc")))[0][1] == [
        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}}
    ]
    assert turns(user(ImageUrl("https://[broken")))[0][1] == [{"fileData": {"fileUri": "https://[broken"}}]


# --- calls


def test_calls_are_function_calls_with_their_ids() -> None:
    """Arguments are an object, and as they were written."""
    written = call("f", '{"x": 1.50, "y": [1e2]}', id="w71i0cbt")

    (_, parts) = turns(user("Hi"), assistant("Let me see.", written))[1]

    assert parts == [
        {"text": "Let me see."},
        {"functionCall": {"id": "w71i0cbt", "name": "f", "args": {"x": 1.5, "y": [100.0]}}},
    ]
    assert b'{"x": 1.50, "y": [1e2]}' in gemini.WIRE.encode(Request("c", (assistant(written),)), "m", None).body


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ("", {}),
        ("  ", {}),
        ("{}", {}),
        ('{"a": "cut', {"arguments": '{"a": "cut'}),
        ("[1]", {"arguments": "[1]"}),
        ("[" * 10_000, {"arguments": "[" * 10_000}),
    ],
)
def test_arguments_that_are_no_object_are_put_into_one(arguments: str, sent: object) -> None:
    """A call may have been broken off, by us or by another model; what there is of it is told."""
    (_, parts) = turns(user("Hi"), assistant(call("f", arguments)))[1]

    assert parts[0]["functionCall"]["args"] == sent


def test_a_call_without_an_id_is_sent_without_one() -> None:
    """Older models give none."""
    (_, parts) = turns(user("Hi"), assistant(ToolCall("", "f", "{}")))[1]

    assert parts == [{"functionCall": {"name": "f", "args": {}}}]


def test_a_conversation_that_begins_with_a_call_begins_with_the_user() -> None:
    """A history that was cut off at the front would be refused: a call has to follow something."""
    sent = turns(assistant(call("f")), user(result("f", "1")))

    assert [role for role, _ in sent] == ["user", "model", "user"]
    assert sent[0][1] == [{"text": " "}]
    assert [role for role, _ in turns(assistant("Hi"), user("1"))] == ["model", "user"]


# --- results


def test_results_of_one_turn_follow_it_in_one_turn_in_the_order_of_the_calls() -> None:
    """However many messages they came in: Gemini counts one response for each call."""
    sent = turns(
        user("Hi"),
        assistant(call("a"), call("b"), call("c")),
        user(result("c", "3")),
        user(result("a", "1"), result("b", "2")),
    )

    assert [role for role, _ in sent] == ["user", "model", "user"]
    assert [given(part) for part in sent[2][1]] == [
        ("a", {"output": "1"}),
        ("b", {"output": "2"}),
        ("c", {"output": "3"}),
    ]
    assert [part["functionResponse"]["id"] for part in sent[2][1]] == ["call_a", "call_b", "call_c"]


def test_what_else_the_user_says_follows_the_results_in_a_turn_of_its_own() -> None:
    """Nothing may stand between a call and its result, nor beside it."""
    sent = turns(
        user("Hi"), assistant(call("a"), call("b")), user("Wait. ", result("b", "2")), user(result("a", "1"), "Go on.")
    )

    assert [role for role, _ in sent] == ["user", "model", "user", "user"]
    assert [given(part)[0] for part in sent[2][1]] == ["a", "b"]
    assert sent[3][1] == [{"text": "Wait. "}, {"text": "Go on."}]


def test_steps_of_calls_and_results_alternate() -> None:
    """Results belong to the turn before them, not to an earlier one."""
    sent = turns(
        user("Hi"),
        assistant(call("a", id="x")),
        user(ToolResult("x", (Text("1"),))),
        assistant(call("b", id="x")),
        user(ToolResult("x", (Text("2"),))),
        assistant("Done."),
    )

    assert [role for role, _ in sent] == ["user", "model", "user", "model", "user", "model"]
    assert given(sent[2][1][0]) == ("a", {"output": "1"})
    assert given(sent[4][1][0]) == ("b", {"output": "2"})


def test_ids_that_come_again_stand_where_they_stand_now() -> None:
    """Some clients number the calls of each turn anew."""
    one, two = call("a", id="1"), call("b", id="2")
    sent = turns(
        user("Hi"),
        assistant(one, two),
        user(ToolResult("1", ()), ToolResult("2", ())),
        assistant(two, one),
        user(ToolResult("1", ()), ToolResult("2", ())),
    )

    assert [part["functionResponse"]["id"] for part in sent[2][1]] == ["1", "2"]
    assert [part["functionResponse"]["id"] for part in sent[4][1]] == ["2", "1"]


def test_the_name_of_a_function_is_looked_up() -> None:
    """It is required: that of the call, else the result's own, else the id, for want of anything better."""
    sent = turns(
        user("Hi"),
        assistant(call("a")),
        user(result("a", "1", name="wrong"), result("b", "2", name="b"), result("c", "3")),
        user(ToolResult("", ())),
    )

    assert [given(part)[0] for part in sent[2][1]] == ["a", "b", "call_c", "tool"]


def test_calls_without_ids_are_told_apart_by_the_names_of_their_results() -> None:
    """Nothing can be looked up by an id that is not there."""
    sent = turns(
        user("Hi"),
        assistant(ToolCall("", "a", "{}"), ToolCall("", "b", "{}")),
        user(ToolResult("", (Text("1"),), "a"), ToolResult("", (Text("2"),), "b")),
    )

    assert [part["functionResponse"] for part in sent[2][1]] == [
        {"name": "a", "response": {"output": "1"}},
        {"name": "b", "response": {"output": "2"}},
    ]


def test_results_without_calls_are_sent_in_their_order() -> None:
    """Gemini says what is missing."""
    sent = turns(user("Hi"), user(result("b", "2"), result("a", "1")))

    assert [given(part)[0] for part in sent[0][1]] == ["call_b", "call_a"]


@pytest.mark.parametrize(
    ("text", "error", "response"),
    [
        ("sunny", False, {"output": "sunny"}),
        ("", False, {"output": ""}),
        ('{"sky": "clear"}', False, {"sky": "clear"}),
        (' {"output": 1} ', False, {"output": 1}),
        ("[1, 2]", False, {"output": "[1, 2]"}),
        ("22", False, {"output": "22"}),
        ('{"cut', False, {"output": '{"cut'}),
        ("no such city", True, {"error": "no such city"}),
        ('{"code": 404}', True, {"error": {"code": 404}}),
    ],
)
def test_a_response_is_an_object(text: str, error: bool, response: object) -> None:  # noqa: FBT001 - a parameter
    """What is none is wrapped: as output, or as an error."""
    sent = turns(user("Hi"), assistant(call("a")), user(result("a", text, error=error)))

    assert given(sent[2][1][0]) == ("a", response)


def test_several_texts_of_a_result_are_its_lines() -> None:
    """One response holds all of them."""
    sent = turns(user("Hi"), assistant(call("a")), user(result("a", "1", "2")))

    assert given(sent[2][1][0]) == ("a", {"output": "1\n2"})


def test_pictures_of_a_result_stand_in_it_from_gemini_3_on() -> None:
    """As parts of the response; an address stands beside, for nobody fetches it there."""
    far = ImageUrl("gs://bucket/a.png")
    messages = (user("Hi"), assistant(call("a", signature=SIGNATURE)), user(result("a", "1", PNG, far)))

    sent = turns(*messages, model="gemini-3-flash-preview")

    response = sent[2][1][0]["functionResponse"]
    assert response["response"] == {"output": "1"}
    assert response["parts"] == [{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG.data).decode()}}]
    assert sent[3] == ("user", [{"fileData": {"fileUri": "gs://bucket/a.png", "mimeType": "image/png"}}])


def test_pictures_of_a_result_follow_it_before_gemini_3() -> None:
    """Older models refuse them in a response, and anything beside responses too."""
    sent = turns(user("Hi"), assistant(call("a"), call("b")), user(result("a", "1", PNG), result("b", PNG), "See?"))

    assert [list(part) for part in sent[2][1]] == [["functionResponse"], ["functionResponse"]]
    assert all("parts" not in part["functionResponse"] for part in sent[2][1])
    assert [list(part) for part in sent[3][1]] == [["inlineData"], ["inlineData"], ["text"]]


# --- thoughts and signatures


@pytest.mark.parametrize("signature", [SIGNATURE, URL_SAFE, "not base64 at all", ""])
def test_the_signature_of_a_call_is_given_back_as_it_was(signature: str) -> None:
    """It is opaque, and Gemini takes both alphabets."""
    (_, parts) = turns(user("Hi"), assistant(call("a", signature=signature), call("b")))[1]

    assert [part.get("thoughtSignature") for part in parts] == [signature or None, None]


@pytest.mark.parametrize(
    "model", ["gemini-3-pro-preview", "gemini-3.5-flash", "gemini-flash-latest", "models/gemini-4"]
)
def test_the_first_call_of_each_turn_is_signed_for_gemini_3(model: str) -> None:
    """A call without a signature, from another model or from a client that lost it, gets the documented stand-in."""
    sent = turns(
        user("Hi"),
        assistant("Let me see.", call("a"), call("b")),
        user(result("a", "1"), result("b", "2")),
        assistant(call("c", signature=SIGNATURE), call("d")),
        user(result("c", "3"), result("d", "4")),
        assistant(call("e", signature=ANTHROPIC)),
        model=model,
    )

    signatures = [
        part.get("thoughtSignature") for role, parts in sent if role == "model" for part in parts if "text" not in part
    ]
    assert signatures == [DUMMY, None, SIGNATURE, None, DUMMY]


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-2.0-flash", "gemma-4-31b-it"])
def test_older_models_and_gemma_get_no_stand_in(model: str) -> None:
    """They ask for none."""
    (_, parts) = turns(user("Hi"), assistant(call("a")), model=model)[1]

    assert parts == [{"functionCall": {"id": "call_a", "name": "a", "args": {}}}]


def test_gemma_gets_no_signatures() -> None:
    """It refuses them."""
    messages = (user("Hi"), assistant(Thinking("", SIGNATURE), call("a", signature=SIGNATURE)))

    (_, parts) = turns(*messages, model="gemma-4-31b-it")[1]

    assert parts == [{"functionCall": {"id": "call_a", "name": "a", "args": {}}}]


def test_thoughts_without_a_signature_are_not_sent() -> None:
    """They are other models', or were only a summary."""
    assert turns(user("Hi"), assistant(Thinking("Hm."), "Hello"), user("?"))[1] == ("model", [{"text": "Hello"}])
    assert [role for role, _ in turns(user("Hi"), assistant(Thinking("Hm.")), user("?"))] == ["user"]


def test_a_signature_of_text_is_given_back_behind_it() -> None:
    """On an empty text, as it comes at the end of a stream: signed and unsigned parts are never made one."""
    (_, parts) = turns(user("Hi"), assistant("Hello", Thinking("", SIGNATURE)))[1]

    assert parts == [{"text": "Hello"}, {"text": "", "thoughtSignature": SIGNATURE}]


def test_signed_thoughts_are_given_back_as_thoughts() -> None:
    """With their text."""
    (_, parts) = turns(user("Hi"), assistant(Thinking("Hm.", SIGNATURE), "Hello"))[1]

    assert parts == [{"text": "Hm.", "thought": True, "thoughtSignature": SIGNATURE}, {"text": "Hello"}]


@pytest.mark.parametrize("foreign", [ANTHROPIC, OPENAI])
def test_thoughts_that_another_provider_signed_are_not_sent(foreign: str) -> None:
    """Gemini would refuse the whole request: "Corrupted thought signature"."""
    for text in ("Hm.", ""):
        (_, parts) = turns(user("Hi"), assistant(Thinking(text, foreign), "Hello"))[1]

        assert parts == [{"text": "Hello"}]


@pytest.mark.parametrize("signature", [SIGNATURE, URL_SAFE, "CAESBg==", "CgQIAQ==", "sig", "Ä", "CgEBCA=="])
def test_thoughts_whose_signature_looks_like_nobody_elses_are_sent(signature: str) -> None:
    """It is opaque: what is not known to be another provider's is believed."""
    (_, parts) = turns(user("Hi"), assistant("Hello", Thinking("", signature)))[1]

    assert parts[1:] == [{"text": "", "thoughtSignature": signature}]


def test_sealed_thoughts_are_not_sent() -> None:
    """Gemini seals none."""
    (_, parts) = turns(user("Hi"), assistant(Thinking("", redacted="sealed"), "Hello"))[1]

    assert parts == [{"text": "Hello"}]


def test_a_signature_alone_before_a_call_is_the_calls() -> None:
    """Where a client has no place for it on calls it comes so; a signed call keeps its own."""
    (_, parts) = turns(user("Hi"), assistant("Hm.", Thinking("", SIGNATURE), call("a"), call("b")))[1]

    assert [part.get("thoughtSignature") for part in parts] == [None, SIGNATURE, None]
    (_, parts) = turns(user("Hi"), assistant(Thinking("", URL_SAFE), call("a", signature=SIGNATURE)))[1]
    assert [part.get("thoughtSignature") for part in parts] == [URL_SAFE, SIGNATURE]


def test_encoding_does_not_change_the_request() -> None:
    """Turns are put together in what is sent, not in the request."""
    messages = (user("1"), user("2"), assistant(Thinking("", SIGNATURE), call("a")), user(result("a", "1")))
    request = Request("code", messages)

    first = gemini.WIRE.encode(request, "gemini-3-pro", None)

    assert gemini.WIRE.encode(request, "gemini-3-pro", None) == first
    assert request == Request("code", messages)
