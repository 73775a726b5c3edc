"""The items that a client of the Responses API sends, as the domain understands them."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.answer import Answer, Block
from synapse.domain.errors import InvalidRequest
from synapse.domain.events import Finish, FinishReason
from synapse.domain.request import (
    Audio,
    Document,
    Image,
    ImageUrl,
    Message,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from synapse.server.http.openai.responses_input import input_messages
from synapse.server.http.openai.responses_output import output_items

PNG = b"\x89PNG\r\n\x1a\nrest"
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
PDF = base64.b64encode(b"%PDF-1.7").decode()
ASKED = {"role": "user", "content": "Why?"}


def read(*items: object, instructions: str | None = None) -> tuple[Message, ...]:
    """Read items as they come in a body."""
    return input_messages(msgspec.json.decode(msgspec.json.encode(items), type=list[msgspec.Raw]), instructions)


def refused(*items: object) -> tuple[str | None, str]:
    """Read what cannot be; return the field and the message."""
    with pytest.raises(InvalidRequest) as caught:
        read(*items)
    assert caught.value.message.startswith(f"{caught.value.field}: ")
    return caught.value.field, caught.value.message


def call(name: str, **more: object) -> dict[str, object]:
    """Return a call of a function of that name."""
    return {"type": "function_call", "call_id": f"c-{name}", "name": name, "arguments": "{}", **more}


def result(name: str, output: object = "42") -> dict[str, object]:
    """Return what that function gave back."""
    return {"type": "function_call_output", "call_id": f"c-{name}", "output": output}


def part(**fields: object) -> tuple[Message, ...]:
    """Read a message of one part."""
    return read({"role": "user", "content": [fields]})


def user(*parts: object) -> tuple[Message, ...]:
    """Return the conversation of one message."""
    return (Message(Role.USER, parts),)  # type: ignore[arg-type]


def test_input_may_be_a_string() -> None:
    """It is what the user says, after the instructions."""
    assert input_messages("Why?", None) == user(Text("Why?"))
    assert input_messages("Why?", "Be brief.") == (Message(Role.SYSTEM, (Text("Be brief."),)), *user(Text("Why?")))


@pytest.mark.parametrize(
    ("role", "kind", "expected"),
    [
        ("user", "input_text", Role.USER),
        ("assistant", "output_text", Role.ASSISTANT),
        ("system", "input_text", Role.SYSTEM),
        ("developer", "input_text", Role.SYSTEM),
    ],
)
@pytest.mark.parametrize("typed", [{}, {"type": "message"}, {"type": None}], ids=["untyped", "typed", "null"])
def test_the_type_of_a_message_is_optional(role: str, kind: str, expected: Role, typed: dict[str, object]) -> None:
    """In every role, with text as a string or as parts."""
    for content in ("Why?", [{"type": kind, "text": "Why?", "annotations": []}]):
        assert read({"role": role, "content": content, **typed}) == (Message(expected, (Text("Why?"),)),)


def test_instructions_come_first() -> None:
    """Before whatever the items say."""
    assert read(ASKED, instructions="Be brief.")[0] == Message(Role.SYSTEM, (Text("Be brief."),))


def test_image_url_is_a_string_here() -> None:
    """In chat completions it is an object; the detail stands beside it."""
    assert part(type="input_image", image_url=PNG_URL, detail="low") == user(Image("image/png", PNG, "low"))
    assert part(type="input_image", image_url="https://x.org/a") == user(ImageUrl("https://x.org/a", None))
    field, _ = refused({"role": "user", "content": [{"type": "input_image", "image_url": {"url": PNG_URL}}]})
    assert field == "input[0].content[0].image_url"


def test_files_and_recordings_come_with_their_message() -> None:
    """A file as a data URL or base64, a recording as base64."""
    assert part(type="input_file", filename="a.pdf", file_data=f"data:application/pdf;base64,{PDF}") == user(
        Document("application/pdf", b"%PDF-1.7", "a.pdf")
    )
    assert part(type="input_file", file_data=PDF) == user(Document("application/pdf", b"%PDF-1.7"))
    assert part(type="input_audio", input_audio={"data": "QQ==", "format": "mp3"}) == user(Audio("audio/mpeg", b"A"))


def test_a_refusal_is_text() -> None:
    """The model said it."""
    items = ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, ASKED)
    assert read(*items)[0] == Message(Role.ASSISTANT, (Text("No."),))


def test_the_items_of_one_turn_are_one_message() -> None:
    """Thoughts, text and calls; then what the tools gave back, as the user."""
    messages = read(
        ASKED,
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        call("f"),
        call("g", arguments=' {"a": 1} '),
        result("g", [{"type": "input_text", "text": "7"}, {"type": "input_image", "image_url": PNG_URL}]),
        result("f"),
        {"role": "assistant", "content": "So."},
    )

    assert messages == (
        *user(Text("Why?")),
        Message(
            Role.ASSISTANT,
            (Thinking("Hm."), Text("Wait."), ToolCall("c-f", "f", "{}"), ToolCall("c-g", "g", ' {"a": 1} ')),
        ),
        Message(
            Role.USER,
            (
                ToolResult("c-g", (Text("7"), Image("image/png", PNG)), "g"),
                ToolResult("c-f", (Text("42"),), "f"),
            ),
        ),
        Message(Role.ASSISTANT, (Text("So."),)),
    )


def test_results_are_joined_by_call_id_and_not_by_id() -> None:
    """An item's own id is another one, and names no call."""
    messages = read(call("f", id="fc_1"), result("f"))
    assert messages[1].parts == (ToolResult("c-f", (Text("42"),), "f"),)

    field, message = refused(call("f", id="fc_1"), {**result("f"), "call_id": "fc_1"})
    assert (field, "no function_call before it" in message) == ("input[1].call_id", True)


@pytest.mark.parametrize("after", [[], [ASKED], [result("f"), {"role": "assistant", "content": "So."}]])
def test_a_call_without_its_result_is_refused(after: list[object]) -> None:
    """At the end, before the user goes on, and before the model does."""
    field, message = refused(call("f"), call("g"), *after)
    assert (field, "a function_call_output with call_id" in message) == (f"input[{1 if len(after) == 2 else 0}]", True)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"summary": [{"text": "Hm."}], "encrypted_content": "sig"}, Thinking("Hm.", "sig")),
        ({"summary": [{"text": "Hm."}, {"text": "So."}], "encrypted_content": None}, Thinking("Hm.\n\nSo.")),
        ({"summary": [{"text": ""}], "encrypted_content": "sig"}, Thinking("", "sig")),
        ({"summary": [], "encrypted_content": "sealed"}, Thinking("", redacted="sealed")),
        ({"summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}, Thinking("Hm.")),
    ],
    ids=["signed", "in parts", "signed and not shown", "sealed", "open"],
)
def test_reasoning_is_passed_back(item: dict[str, object], expected: Thinking) -> None:
    """With a summary it is signed; without any it is sealed."""
    messages = read(ASKED, {"type": "reasoning", "id": "rs_1", **item}, {"role": "assistant", "content": "So."})
    assert messages[1].parts == (expected, Text("So."))


def test_reasoning_that_says_nothing_is_no_part() -> None:
    """Where its server has kept what was thought, there is nothing in it."""
    messages = read(ASKED, {"type": "reasoning", "id": "rs_1", "summary": []}, {"role": "assistant", "content": "So."})
    assert messages[1].parts == (Text("So."),)


def test_the_proof_that_goes_with_a_call_comes_back_with_it() -> None:
    """As it stood in the answer."""
    messages = read(call("f", extra_content={"google": {"thought_signature": "sig"}}), result("f"))
    assert messages[0].parts == (ToolCall("c-f", "f", "{}", "sig"),)


@pytest.mark.parametrize("item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}])
def test_an_item_reference_is_refused(item: dict[str, object]) -> None:
    """Nothing is kept that it could refer to."""
    assert refused(ASKED, item) == (
        "input[1].type",
        "input[1].type: answers are not kept, so none can be referred to; send the item itself",
    )


@pytest.mark.parametrize(
    ("item", "field", "words"),
    [
        ({"type": "computer_call_output", "output": {}}, "type", "'computer_call_output', expected message"),
        ({"content": "Why?"}, "role", "it is required"),
        ({"role": "tool", "content": "42"}, "role", "'tool', expected one of user"),
        ({"role": "user"}, "content", "it is required"),
        ({"role": "user", "content": []}, "content", "it is empty"),
        ({"role": "user", "content": [{"type": "text", "text": "Why?"}]}, "content[0].type", "'text'"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "content[0].text", "it is required"),
        ({"role": "system", "content": [{"type": "input_image", "image_url": PNG_URL}]}, "content", "is text"),
        ({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}, "content[0].file_id", "image_url"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "content[0].image_url", "must come with"),
        ({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}, "content[0].file_id", "file_data"),
        ({"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}, "content[0].file_url", "not fetched"),
        ({"role": "user", "content": [{"type": "input_file", "file_data": "?"}]}, "content[0].file_data", "base64"),
        (call("f", arguments="{"), "arguments", "expected a JSON object"),
        (call("f", arguments={}), "arguments", "expected str"),
        (result("f"), "call_id", "'c-f'"),
        (5, None, "expected object"),
    ],
)
def test_what_is_wrong_with_an_item_is_said_with_its_place(item: object, field: str | None, words: str) -> None:
    """The field and what was expected."""
    found, message = refused(ASKED, item)
    assert found == ("input[1]" if field is None else f"input[1].{field}")
    assert words in message


def test_a_tool_gives_back_text_and_pictures() -> None:
    """No wire carries anything else."""
    field, _ = refused(call("f"), result("f", [{"type": "input_file", "file_data": PDF}]))
    assert field == "input[1].output[0]"


@pytest.mark.parametrize("items", [[], [{"role": "assistant", "content": ""}]])
def test_an_empty_conversation_is_refused(items: list[object]) -> None:
    """There is nothing to answer."""
    assert refused(*items) == ("input", "input: it is empty; there is nothing to answer")


@pytest.mark.parametrize("depth", [100_000])
def test_an_item_nested_without_end_is_refused(depth: int) -> None:
    """As everything else that cannot be read."""
    with pytest.raises(InvalidRequest):
        input_messages([msgspec.Raw(b'{"role":"user","content":' + b"[" * depth)], None)


WORDS = st.text(min_size=1, max_size=5)
BLOCKS = st.lists(
    st.one_of(
        st.builds(Text, WORDS),
        st.builds(Thinking, st.text(max_size=5), WORDS),
        st.builds(Thinking, WORDS),
        st.builds(lambda sealed: Thinking("", redacted=sealed), WORDS),
        st.builds(
            lambda name, n, proof: ToolCall("", name, f'{{"n": {n}}}', proof), WORDS, st.integers(), st.none() | WORDS
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(BLOCKS)
def test_an_answer_that_is_sent_back_is_what_the_model_said(blocks: list[Block]) -> None:
    """Nothing is lost or becomes something else on the way out and in."""
    said: list[Block] = [
        msgspec.structs.replace(block, id=f"c{index}") if isinstance(block, ToolCall) else block
        for index, block in enumerate(blocks)
    ]
    answer = Answer("", Finish(FinishReason.STOP), tuple(said))
    items = msgspec.to_builtins(output_items("task_1", answer, complete=True))

    outputs = [
        {"type": "function_call_output", "call_id": block.id, "output": "42"}
        for block in said
        if isinstance(block, ToolCall)
    ]
    messages = read(*items, *outputs)

    assert messages[0] == Message(Role.ASSISTANT, tuple(said))
