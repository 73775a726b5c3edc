"""What went wrong, as callers of the native API read it."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.errors import InvalidRequest, ProviderFailed, QueueFull
from synapse.server.http.explain import error_headers, error_json, not_understood
from synapse.server.prompt import GenerationConfig


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """A body like those of the API."""

    prompt: str
    stream: bool = False
    config: GenerationConfig | None = None
    images: list[str] = []


def explain(body: bytes) -> InvalidRequest:
    """Decode what cannot be understood; return what is said of it."""
    with pytest.raises((msgspec.MsgspecError, RecursionError, UnicodeDecodeError)) as caught:
        msgspec.json.decode(body, type=Body)
    return not_understood(caught.value)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b"{}", "prompt", "prompt: it is required"),
        (b'{"prompt": 5}', "prompt", "prompt: expected str, got int"),
        (b'{"prompt": null}', "prompt", "prompt: expected str, got null"),
        (b'{"prompt": "x", "promt": "y"}', "promt", "promt: there is no such field"),
        (b'{"prompt": "x", "stream": "yes"}', "stream", "stream: expected bool, got str"),
        (b'{"prompt": "x", "config": 1}', "config", "config: expected object | null, got int"),
        (
            b'{"prompt": "x", "config": {"top_p": "high"}}',
            "config.top_p",
            "config.top_p: expected float | null, got str",
        ),
        (b'{"prompt": "x", "config": {"topP": 1}}', "config.topP", "config.topP: there is no such field"),
        (b'{"prompt": "x", "images": ["aa", 5]}', "images[1]", "images[1]: expected str, got int"),
        (b"[]", None, "the body: expected object, got array"),
        (b"null", None, "the body: expected object, got null"),
        (b'"text"', None, "the body: expected object, got str"),
    ],
)
def test_a_body_that_breaks_the_schema_is_explained(body: bytes, field: str | None, message: str) -> None:
    """By the path of the field, what was expected and what stood there, without a library's punctuation."""
    error = explain(body)

    assert (error.code, error.field, error.message) == ("invalid_request", field, message)


@pytest.mark.parametrize("body", [b"{", b'{"prompt": "x",}', b"prompt=x", b'{"prompt": "x"} and more', b"\x00"])
def test_what_is_no_json_is_said_to_be_none(body: bytes) -> None:
    """With the place where it breaks off."""
    error = explain(body)

    assert error.message.startswith("the body is not valid JSON: ")
    assert error.field is None


def test_text_that_is_no_utf_8_is_said_to_be_none() -> None:
    """It is not called bad JSON."""
    assert explain(b'{"prompt": "\xff\xfe"}').message == "the body is not valid UTF-8"


def test_a_body_without_a_bottom_is_refused() -> None:
    """However deep it is nested, it costs an error and not the process."""
    deep = msgspec.json.Decoder()
    with pytest.raises(RecursionError) as caught:
        deep.decode(b"[" * 100_000)

    assert not_understood(caught.value).message == "the body is nested too deeply to be read"


def test_a_name_of_any_length_is_not_sent_back_at_length() -> None:
    """A field that does not exist is named by its beginning."""
    error = explain(b'{"prompt": "x", "' + b"y" * 1_000_000 + b'": 1}')

    assert len(error.message) < 500
    assert error.field is not None
    assert len(error.field) < 500
    assert error.message.endswith("there is no such field")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda kids: st.lists(kids) | st.dictionaries(st.text(), kids),
    )
)
def test_whatever_is_sent_the_answer_is_an_explanation(body: object) -> None:
    """No JSON is too odd to be explained."""
    try:
        msgspec.json.decode(msgspec.json.encode(body), type=Body)
    except msgspec.ValidationError as exc:
        error = not_understood(exc)
        assert error.code == "invalid_request"
        assert error.message


def test_an_errors_json_has_what_there_is_to_say() -> None:
    """Type and message always, field and pause where there are any."""
    assert json.loads(error_json(ProviderFailed("it is on fire"))) == {
        "error": {"type": "provider_failed", "message": "it is on fire"}
    }
    assert json.loads(error_json(InvalidRequest("prompt: wrong", field="prompt"))) == {
        "error": {"type": "invalid_request", "message": "prompt: wrong", "field": "prompt"}
    }
    assert json.loads(error_json(QueueFull("full", retry_after=1.23456))) == {
        "error": {"type": "queue_full", "message": "full", "retry_after": 1.235}
    }


@pytest.mark.parametrize(
    ("seconds", "value"),
    [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.001, b"2"), (59.5, b"60"), (86400.0, b"86400")],
)
def test_retry_after_is_in_whole_seconds_and_never_too_short(seconds: float, value: bytes) -> None:
    """Rounded up: who comes back then does not come too early."""
    assert error_headers(QueueFull("full", retry_after=seconds)) == [(b"retry-after", value)]


def test_without_a_pause_there_is_no_header() -> None:
    """Where trying again makes no sense nothing is said of it."""
    assert error_headers(ProviderFailed("it is on fire")) == []
