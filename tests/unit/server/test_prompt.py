"""What a caller of the native API sends, checked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Image, Message, Request, Role, Sampling, Text
from synapse.server.prompt import GenerationConfig, check_seconds, native_request

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 8
WHOLE = st.integers(1, 2**31 - 1)


def build(
    prompt: str = "Why?",
    model_code: str = "m",
    *,
    config: GenerationConfig | None = None,
    images: tuple[bytes, ...] = (),
) -> Request:
    """Build a request that does not stream."""
    return native_request(prompt, model_code, stream=False, config=config, images=images)


def test_a_prompt_becomes_a_request() -> None:
    """Model, text and all of the configuration, in the words of the domain."""
    config = GenerationConfig(temperature=0.7, top_p=0.9, top_k=40.0, output_length=256)

    request = native_request("Why?", "m", stream=True, config=config, images=[])

    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=40, max_output_tokens=256)
    assert request == Request("m", (Message(Role.USER, (Text("Why?"),)),), sampling, stream=True)
    assert type(request.sampling.top_k) is int


def test_what_is_left_out_is_left_to_the_provider() -> None:
    """No configuration, or an empty one, is no choice."""
    assert build().sampling == build(config=GenerationConfig()).sampling == Sampling()


def test_images_get_the_type_of_their_bytes() -> None:
    """They stand before the text; a prompt may even be empty beside them."""
    assert build(images=(PNG,)).messages[0].parts == (Image("image/png", PNG), Text("Why?"))
    assert build("", images=(PNG,)).messages[0].parts[0] == Image("image/png", PNG)


def test_an_empty_model_code_is_refused() -> None:
    """The message says what to name."""
    with pytest.raises(InvalidRequest, match="model_code: it is empty") as caught:
        build(model_code="")

    assert caught.value.field == "model_code"


def test_an_empty_prompt_without_images_is_refused() -> None:
    """There is nothing to answer."""
    with pytest.raises(InvalidRequest, match="prompt: it is empty") as caught:
        build("")

    assert caught.value.field == "prompt"


def test_bytes_that_are_no_image_are_refused() -> None:
    """With the place in the list and what is known."""
    with pytest.raises(InvalidRequest) as caught:
        build(images=(PNG, b"%PDF-1.7"))

    assert caught.value.field == "images[1]"
    assert caught.value.message == (
        "images[1]: its 8 bytes are no image of a known type; expected one of PNG, JPEG, WEBP, GIF, HEIC"
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GenerationConfig(temperature=-0.1), "config.temperature: got -0.1, expected a number, 0 or more"),
        (GenerationConfig(temperature=math.inf), "config.temperature: got inf, expected a number, 0 or more"),
        (GenerationConfig(temperature=math.nan), "config.temperature: got nan, expected a number, 0 or more"),
        (GenerationConfig(top_p=-0.1), "config.top_p: got -0.1, expected a number from 0 to 1"),
        (GenerationConfig(top_p=1.1), "config.top_p: got 1.1, expected a number from 0 to 1"),
        (GenerationConfig(top_p=math.nan), "config.top_p: got nan, expected a number from 0 to 1"),
        (GenerationConfig(top_k=0), "config.top_k: got 0, expected a whole number, 1 or more"),
        (GenerationConfig(top_k=2.5), "config.top_k: got 2.5, expected a whole number, 1 or more"),
        (GenerationConfig(top_k=math.inf), "config.top_k: got inf, expected a whole number, 1 or more"),
        (GenerationConfig(top_k=math.nan), "config.top_k: got nan, expected a whole number, 1 or more"),
        (GenerationConfig(top_k=2.0**31), "config.top_k: got 2.14748e+09, expected a whole number, 1 or more"),
        (
            GenerationConfig(output_length=0),
            "config.output_length: got 0, expected a whole number of tokens, 1 or more",
        ),
        (
            GenerationConfig(output_length=-5),
            "config.output_length: got -5, expected a whole number of tokens, 1 or more",
        ),
        (
            GenerationConfig(output_length=2**31),
            "config.output_length: got 2.14748e+09, expected a whole number of tokens, 1 or more",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_value_is_refused(config: GenerationConfig, message: str) -> None:
    """The message names the field, what stood there, and what was expected."""
    with pytest.raises(InvalidRequest) as caught:
        build(config=config)

    assert caught.value.message == message
    assert caught.value.field == message.partition(":")[0]


@given(
    temperature=st.none() | st.floats(0, 1e6),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | WHOLE,
    length=st.none() | WHOLE,
)
def test_every_value_that_makes_sense_is_taken(
    temperature: float | None, top_p: float | None, top_k: int | None, length: int | None
) -> None:
    """Unchanged, bounds included."""
    config = GenerationConfig(temperature=temperature, top_p=top_p, top_k=top_k, output_length=length)

    assert build(config=config).sampling == Sampling(temperature, top_p, top_k, length)


@pytest.mark.parametrize("seconds", [None, 0.0, 0.5, 600, 365 * 86400.0])
def test_a_sensible_duration_is_taken(seconds: float | None) -> None:
    """None is left to the configuration."""
    assert check_seconds("max_wait", seconds) == seconds


@pytest.mark.parametrize("seconds", [-0.5, 365 * 86400.0 + 1, math.inf, -math.inf, math.nan])
def test_any_other_duration_is_refused(seconds: float) -> None:
    """The message has the field, the value and the bounds."""
    with pytest.raises(InvalidRequest) as caught:
        check_seconds("max_wait", seconds)

    assert caught.value.message == f"max_wait: got {seconds:g}, expected seconds from 0 to 31536000"
    assert caught.value.field == "max_wait"
