"""A caller's arguments, as the message that is sent."""

from __future__ import annotations

import math
from collections.abc import Mapping

from synapse.client.channel import MAX_MESSAGE_BYTES
from synapse.client.config import GenerationConfig, encode_config
from synapse.client.field import set_field
from synapse.domain.errors import InvalidRequest, PayloadTooLarge
from synapse.protos import generate_pb2 as pb

DEADLINE_SLACK = 1.0
"""Seconds the server gets, beyond the task's `timeout`, to say itself that it is over: it knows more about why."""


def encode_request(
    *,
    prompt: str,
    model_code: str,
    stream: bool,
    config: GenerationConfig | Mapping[str, float | None] | None,
    images: list[bytes],
    max_wait: float | None,
    timeout: float | None,
) -> pb.Request:
    """Return the message for the arguments of `generate_task`; times are in seconds.

    Raises `InvalidRequest` for an argument of the wrong type or with an impossible value, and `PayloadTooLarge` where
    prompt and images together are more than a message may hold.
    """
    request = pb.Request(images=images)
    set_field(request, "prompt", prompt, "valid Unicode text")
    set_field(request, "model_code", model_code, "the text of a model code")
    set_field(request, "stream", stream, "True or False")
    if config is not None:
        request.config.CopyFrom(encode_config(config))
    _set_seconds(request, "max_wait", max_wait, least=0)
    _set_seconds(request, "timeout", timeout, least=math.ulp(0))
    size = request.ByteSize()
    if size > MAX_MESSAGE_BYTES:
        raise PayloadTooLarge(f"the request has {size} bytes; at most {MAX_MESSAGE_BYTES} are sent: use smaller images")
    return request


def deadline(timeout: float | None) -> float | None:
    """Return the seconds after which the client itself gives up; None for never."""
    return None if timeout is None else timeout + DEADLINE_SLACK


def _set_seconds(request: pb.Request, name: str, value: float | None, *, least: float) -> None:
    if value is None:
        return
    expected = "a positive number of seconds" if least else "a number of seconds, 0 or more"
    set_field(request, name, value, expected)
    if not (math.isfinite(value) and value >= least):
        raise InvalidRequest(f"{name} must be {expected}; got {value!r}", field=name)
