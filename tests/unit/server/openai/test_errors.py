"""What went wrong, as OpenAI's clients read it."""

from __future__ import annotations

import json

import pytest

from synapse.domain import errors
from synapse.domain.errors import ERRORS, SynapseError
from synapse.server.http.openai.errors import ROWS, error_json, retry_headers


def subclasses(kind: type[SynapseError]) -> set[type[SynapseError]]:
    """Return all errors there are."""
    return {kind, *(each for child in kind.__subclasses__() for each in subclasses(child))}


KINDS = sorted(
    (kind for kind in subclasses(SynapseError) if kind.__module__ == errors.__name__ and kind is not SynapseError),
    key=lambda kind: kind.code,
)


def test_each_error_has_a_row() -> None:
    """No error is without a name on this port."""
    assert list(ROWS) == list(ERRORS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_the_envelope_has_all_four_keys(kind: type[SynapseError]) -> None:
    """The official client takes its attributes from them; the type says whose fault it is."""
    body = json.loads(error_json(kind("it is on fire")))

    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert (body["error"]["message"], body["error"]["param"]) == ("it is on fire", None)
    assert body["error"]["type"] == _type(ERRORS[kind.code].http)


def _type(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 499 else "server_error"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidRequest, None),
        (errors.UnsupportedParameter, "unsupported_parameter"),
        (errors.Unauthenticated, "invalid_api_key"),
        (errors.ModelNotFound, "model_not_found"),
        (errors.QueueFull, "rate_limit_exceeded"),
        (errors.WaitTooLong, "rate_limit_exceeded"),
    ],
)
def test_what_clients_look_for_has_the_code_they_look_for(kind: type[SynapseError], code: str | None) -> None:
    """OpenAI's own, where it has one."""
    assert json.loads(error_json(kind("no")))["error"]["code"] == code


def test_a_field_is_called_as_on_this_port() -> None:
    """In the message too."""
    error = errors.PermissionDenied("model_code: the caller may not use it", field="model_code")

    body = json.loads(error_json(error))["error"]

    assert (body["param"], body["message"]) == ("model", "model: the caller may not use it")


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (errors.QueueFull("full", retry_after=1.2), {b"retry-after": b"2"}),
        (errors.WaitTooLong("later", retry_after=3600.0), {b"retry-after": b"3600"}),
        (errors.ShuttingDown("bye", retry_after=1.0), {b"retry-after": b"1", b"x-should-retry": b"true"}),
        (errors.Unauthenticated("who?"), {b"www-authenticate": b"Bearer"}),
        (errors.ProviderFailed("fire"), {b"x-should-retry": b"false"}),
        (errors.TimedOut("late"), {b"x-should-retry": b"false"}),
        (errors.Expired("late"), {b"x-should-retry": b"false"}),
        (errors.NoCredentials("none"), {b"x-should-retry": b"false"}),
        (errors.InternalError("oops"), {}),
        (errors.InvalidRequest("no"), {}),
    ],
    ids=lambda value: value.code if isinstance(value, SynapseError) else None,
)
def test_clients_are_told_when_trying_again_makes_sense(error: SynapseError, headers: dict[bytes, bytes]) -> None:
    """They would do it thrice at every 5xx, behind a queue that has tried all there is to try.

    A `Retry-After` above 120 s they never follow, and `retry-after-ms` hides it: the one stays, the other is not sent.
    """
    assert dict(retry_headers(error)) == headers
