"""What went wrong, as Anthropic's clients read it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synapse.domain.errors import ERRORS, QueueFull, SynapseError, Unauthenticated, UnsupportedParameter, WaitTooLong
from synapse.server.http.anthropic.errors import NAMES, ROWS, error_json, fail

TYPES = {
    400: {"invalid_request_error"},
    401: {"authentication_error"},
    403: {"permission_error"},
    404: {"not_found_error"},
    405: {"invalid_request_error"},
    413: {"request_too_large"},
    429: {"rate_limit_error"},
    499: {"api_error"},
    500: {"api_error"},
    502: {"api_error"},
    503: {"api_error", "overloaded_error"},
    504: {"timeout_error"},
}


def test_every_error_has_a_row() -> None:
    """Of a type that goes with its status."""
    assert ROWS.keys() == ERRORS.keys()
    for code, row in ROWS.items():
        assert row.type in TYPES[ERRORS[code].http]


async def headers_of(error: SynapseError) -> dict[str, str]:
    """Answer with an error; return the headers."""
    sent: list[Any] = []

    async def send(message: Any) -> None:  # noqa: ANN401 - what ASGI sends
        sent.append(message)

    await fail(error, send, "task_1")
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(("seconds", "retry"), [(1.2, None), (120.0, None), (120.1, "false"), (40_000.0, "false")])
async def test_the_clients_sleep_uncapped_so_a_long_retry_after_forbids_it(seconds: float, retry: str | None) -> None:
    """They would sleep for hours, and their callers would hear nothing."""
    for kind in (QueueFull, WaitTooLong):
        headers = await headers_of(kind("full", retry_after=seconds))

        assert headers.get("x-should-retry") == retry
        assert int(headers["retry-after"]) >= seconds


async def test_who_sends_no_key_is_told_how_to() -> None:
    """By the header HTTP has for it."""
    headers = await headers_of(Unauthenticated("no key"))

    assert headers["www-authenticate"] == "Bearer"
    assert headers["request-id"] == "task_1"


@pytest.mark.parametrize(("name", "here"), NAMES.items())
def test_a_field_is_called_as_its_callers_call_it(name: str, here: str) -> None:
    """In the message."""
    error = UnsupportedParameter.of(name, "m", "leave it out")

    message = json.loads(error_json(error, "task_1"))["error"]["message"]

    assert message == f"{here}: the provider of m cannot honour it; leave it out"
