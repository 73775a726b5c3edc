"""What is sent to servers that speak like OpenAI."""

from __future__ import annotations

import base64

import msgspec

from synapse.domain.credential import Credential
from synapse.domain.request import Image, Message, Request, Role, Sampling, Text, prompt_request
from synapse.providers.wires import openai

KEY = Credential("project", "sk-a-key")
PNG = Image("image/png", b"\x89PNG\r\n\x1a\n\xff")


def _body(request: Request) -> object:
    return msgspec.json.decode(openai.WIRE.encode(request, "author/model:free", KEY).body)


def test_a_prompt_is_one_message_as_a_plain_string() -> None:
    """Some servers know no parts; what a caller leaves open is not sent."""
    assert _body(prompt_request("code", "Hi")) == {
        "model": "author/model:free",
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_the_path_goes_behind_a_base_url_with_its_version() -> None:
    """`/v1` belongs to the base URL."""
    assert openai.WIRE.encode(prompt_request("code", "Hi"), "m", KEY).path == "/chat/completions"


def test_streams_ask_for_usage() -> None:
    """OpenAI counts the tokens of a stream only on request, and refuses the request where nothing is streamed."""
    assert _body(prompt_request("code", "Hi", stream=True)) == {
        "model": "author/model:free",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_key_is_a_bearer_token() -> None:
    """Without a credential (a local server) there is no such header."""
    request = prompt_request("code", "Hi")

    assert openai.WIRE.encode(request, "m", KEY).headers == {
        "content-type": "application/json",
        "authorization": "Bearer sk-a-key",
    }
    assert openai.WIRE.encode(request, "m", None).headers == {"content-type": "application/json"}


def test_all_sampling_reaches_the_server() -> None:
    """Each choice stands at the top, under the names that all servers know."""
    sampling = Sampling(temperature=0.0, top_p=0.9, top_k=40, max_output_tokens=100)

    assert _body(prompt_request("code", "Hi", sampling=sampling)) == {
        "model": "author/model:free",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 100,
    }


def test_images_are_data_uris() -> None:
    """An image needs no download: its bytes are in the request."""
    url = "data:image/png;base64," + base64.b64encode(PNG.data).decode()

    assert _body(prompt_request("code", "What is it?", images=(PNG,))) == {
        "model": "author/model:free",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": url}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ],
    }


def test_roles_keep_their_names_and_order() -> None:
    """System messages stay where they stood."""
    request = Request(
        "code",
        (
            Message(Role.SYSTEM, (Text("Be terse."),)),
            Message(Role.USER, (Text("1"),)),
            Message(Role.ASSISTANT, (Text("2"),)),
            Message(Role.USER, (Text("3"), Text("4"))),
        ),
    )

    sent = _body(request)

    assert isinstance(sent, dict)
    assert sent["messages"] == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": [{"type": "text", "text": "3"}, {"type": "text", "text": "4"}]},
    ]
