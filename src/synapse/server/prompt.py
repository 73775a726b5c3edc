"""What a caller of the native API sends, over gRPC or REST, checked and made into a request."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.caller import Band
from synapse.domain.errors import InvalidRequest
from synapse.domain.images import SNIFFED_TYPES, sniff_image
from synapse.domain.request import Image, Request, Sampling, prompt_request

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 365 * 86400.0
"""Seconds; nobody waits longer than a year, and instants beyond that are not worth trusting."""
_MOST_TOKENS = 2**31 - 1
_BANDS = {band.value: band for band in Band}
_LONGEST_SHOWN = 40
"""Characters of a bad value that are sent back: a caller may send megabytes."""


class GenerationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the model is to answer, in the native API's names."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    """A whole number; the published proto has it as a float."""
    output_length: int | None = None


def native_request(
    prompt: str,
    model_code: str,
    *,
    stream: bool,
    config: GenerationConfig | None,
    images: Sequence[bytes],
) -> Request:
    """Build the request, or raise `InvalidRequest` with the field that is wrong and what was expected."""
    if not model_code:
        raise InvalidRequest("model_code: it is empty; name one of the models that are listed", field="model_code")
    if not prompt and not images:
        raise InvalidRequest("prompt: it is empty, and there are no images; there is nothing to answer", field="prompt")
    return prompt_request(
        model_code,
        prompt,
        images=tuple(_image(data, index) for index, data in enumerate(images)),
        sampling=_sampling(config) if config is not None else None,
        stream=stream,
    )


def check_seconds(field: str, value: float | None) -> float | None:
    """Return a duration a caller asked for, or raise `InvalidRequest`."""
    if value is not None and not 0 <= value <= _LONGEST:
        raise InvalidRequest(f"{field}: got {value:g}, expected seconds from 0 to {_LONGEST:.0f}", field=field)
    return value


def check_priority(value: str | None) -> Band | None:
    """Return the band a caller asked for, or raise `InvalidRequest`."""
    if value is None:
        return None
    band = _BANDS.get(value)
    if band is None:
        raise InvalidRequest(
            f"priority: got {value[:_LONGEST_SHOWN]!r}, expected one of {', '.join(_BANDS)}", field="priority"
        )
    return band


def _sampling(config: GenerationConfig) -> Sampling:
    _check("temperature", config.temperature, 0.0, math.inf, "a number, 0 or more")
    _check("top_p", config.top_p, 0.0, 1.0, "a number from 0 to 1")
    _check("top_k", config.top_k, 1.0, _MOST_TOKENS, "a whole number, 1 or more")
    _check("output_length", config.output_length, 1, _MOST_TOKENS, "a whole number of tokens, 1 or more")
    if config.top_k is not None and config.top_k != int(config.top_k):
        raise _wrong("top_k", config.top_k, "a whole number, 1 or more")
    return Sampling(
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=int(config.top_k) if config.top_k is not None else None,
        max_output_tokens=config.output_length,
    )


def _check(name: str, value: float | None, least: float, most: float, expected: str) -> None:
    if value is not None and not (least <= value <= most and math.isfinite(value)):
        raise _wrong(name, value, expected)


def _wrong(name: str, value: float, expected: str) -> InvalidRequest:
    return InvalidRequest(f"config.{name}: got {value:g}, expected {expected}", field=f"config.{name}")


def _image(data: bytes, index: int) -> Image:
    media_type = sniff_image(data)
    if media_type is None:
        known = ", ".join(kind.removeprefix("image/").upper() for kind in SNIFFED_TYPES)
        raise InvalidRequest(
            f"images[{index}]: its {len(data)} bytes are no image of a known type; expected one of {known}",
            field=f"images[{index}]",
        )
    return Image(media_type, data)
