"""What the errors of OpenAI, OpenRouter and their likes teach."""

from __future__ import annotations

import json

import pytest

from synapse.domain.failure import Failure, FailureClass
from synapse.providers.wires import openai

DATE = "Wed, 19 Aug 2026 14:34:22 GMT"


def _error(**fields: object) -> bytes:
    return json.dumps({"error": {"message": "m", **fields}}).encode()


def _classify(status: int, body: bytes, **headers: str) -> Failure:
    return openai.WIRE.classify(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, FailureClass.CALLER_FAULT),
        (401, FailureClass.CREDENTIAL_DEAD),
        (402, FailureClass.CREDENTIAL_DEAD),
        (403, FailureClass.CREDENTIAL_DEAD),
        (404, FailureClass.MODEL_GONE),
        (408, FailureClass.TRANSIENT),
        (409, FailureClass.TRANSIENT),
        (413, FailureClass.CALLER_FAULT),
        (418, FailureClass.TRANSIENT),
        (422, FailureClass.CALLER_FAULT),
        (425, FailureClass.TRANSIENT),
        (429, FailureClass.RATE_LIMITED),
        (500, FailureClass.TRANSIENT),
        (502, FailureClass.TRANSIENT),
        (503, FailureClass.OVERLOADED),
        (504, FailureClass.TRANSIENT),
        (524, FailureClass.TRANSIENT),
        (529, FailureClass.OVERLOADED),
    ],
)
def test_a_status_alone_has_its_meaning(status: int, kind: FailureClass) -> None:
    """An error without a name of its own goes by its status."""
    assert _classify(status, _error(type=None, code=None, param=None)) == Failure(kind, "m", status)


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (429, "insufficient_quota", FailureClass.CREDENTIAL_DEAD),
        (429, "credit_balance_exhausted", FailureClass.CREDENTIAL_DEAD),
        (429, "project_spend_limit_exceeded", FailureClass.CREDENTIAL_DEAD),
        (429, "organization_usage_limit_exceeded", FailureClass.CREDENTIAL_DEAD),
        (400, "invalid_api_key", FailureClass.CREDENTIAL_DEAD),
        (403, "model_not_found", FailureClass.MODEL_GONE),
        (500, "context_length_exceeded", FailureClass.CALLER_FAULT),
        (429, "slow_down", FailureClass.RATE_LIMITED),
        (500, "server_is_overloaded", FailureClass.OVERLOADED),
        (400, "tool_use_failed", FailureClass.TRANSIENT),
        (403, "unsupported_country_region_territory", FailureClass.CALLER_FAULT),
    ],
)
def test_an_errors_own_name_says_more_than_its_status(status: int, name: str, kind: FailureClass) -> None:
    """Money is no rate, a missing model no dead key, a model's slip no caller's fault."""
    assert _classify(status, _error(code=name, type="x", param=None)).kind is kind


NAMES = {
    FailureClass.CREDENTIAL_DEAD: (
        "account_deactivated authentication authentication_error billing_hard_limit_reached billing_not_active "
        "exceeded_current_quota_error expired_api_key insufficient_balance organization_spend_limit_exceeded "
        "payment_required"
    ),
    FailureClass.CALLER_FAULT: (
        "content_policy_violation exceed_context_size_error invalid_prompt invalid_request max_tokens_exceeded refusal "
        "region_restricted string_too_long token_limit_exceeded unsupported_value wrong_endpoint"
    ),
    FailureClass.MODEL_GONE: (
        "constraint_filtered free_variant_ended model_deprecated model_unavailable_upstream no_endpoints "
        "privacy_restricted"
    ),
    FailureClass.OVERLOADED: (
        "capacity_exhausted overloaded overloaded_error provider_overloaded service_unavailable_error "
        "temporarily_unavailable unavailable_error"
    ),
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in NAMES.items() for name in names.split()])
def test_every_known_name_is_told_wherever_it_stands(kind: FailureClass, name: str) -> None:
    """As code or as type, with a status that says nothing."""
    assert _classify(500, _error(code=name)).kind is kind
    assert _classify(500, _error(code=None, type=name.upper())).kind is kind


def test_a_401_is_the_key_whatever_type_it_has() -> None:
    """OpenAI types it as an invalid request, DeepSeek codes it as one."""
    assert (
        _classify(401, _error(type="invalid_request_error", code="model_not_found")).kind
        is FailureClass.CREDENTIAL_DEAD
    )


def test_a_page_with_403_says_nothing_of_the_key() -> None:
    """A firewall on the way forbids in HTML; no key is thrown away for that."""
    assert _classify(403, b"<html>Attention Required! | Cloudflare</html>").kind is FailureClass.TRANSIENT


@pytest.mark.parametrize("name", ["rate_limit_exceeded", "invalid_request_error"])
def test_a_status_that_says_otherwise_is_believed_before_a_vague_name(name: str) -> None:
    """A server error is none of the caller and none of a quota, whatever type it has."""
    assert _classify(500, _error(type=name)).kind is FailureClass.TRANSIENT


def test_a_hint_is_passed_on_where_waiting_helps() -> None:
    """An overloaded server may say when; a bad request has no later."""
    assert _classify(503, _error(), retry_after="20").retry_after == 20.0
    assert _classify(429, _error(code="slow_down"), retry_after="20").retry_after == 20.0
    assert _classify(400, _error(), retry_after="20").retry_after is None


def test_a_date_is_compared_with_the_answers_own() -> None:
    """No clock of ours takes part."""
    failure = _classify(503, _error(), retry_after="Wed, 19 Aug 2026 14:35:22 GMT", date=DATE)

    assert failure.retry_after == 60.0


def _openrouter(code: int, message: str = "m", **fields: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **fields}, "user_id": "user_x"}).encode()


def test_moderation_at_openrouter_is_the_callers_fault() -> None:
    """Its 403 forbids a content, not a key."""
    metadata = {"reasons": ["violence"], "flagged_input": "my secret", "provider_name": "OpenAI", "model_slug": "m"}

    failure = _classify(403, _openrouter(403, "Your input was flagged", metadata=metadata))

    assert failure == Failure(FailureClass.CALLER_FAULT, "Your input was flagged", 403)


@pytest.mark.parametrize(
    "said",
    [
        "Key limit exceeded (total limit).",
        "This API key has expired.",
        "Your account is suspended.",
        "Key is disabled.",
        "A disabled key was used.",
    ],
)
def test_a_forbidden_key_at_openrouter_is_the_key(said: str) -> None:
    """The same status, but it says key."""
    assert _classify(403, _openrouter(403, said)).kind is FailureClass.CREDENTIAL_DEAD


@pytest.mark.parametrize("fields", [{"code": 403, "type": "t"}, {"code": 403, "param": None}, {"code": "no"}, {}])
def test_elsewhere_a_403_is_the_key(fields: dict[str, object]) -> None:
    """OpenRouter is known by a number as code, with neither type nor param beside it."""
    assert _classify(403, _error(**fields)).kind is FailureClass.CREDENTIAL_DEAD


def test_credits_used_up_at_openrouter_are_the_key() -> None:
    """Also a negative balance, which blocks free models."""
    assert _classify(402, _openrouter(402, "Insufficient credits")).kind is FailureClass.CREDENTIAL_DEAD


@pytest.mark.parametrize(
    "raw",
    ['{"error": {"message": "too long"}}', {"error": {"message": "too long"}}, '[{"error": {"message": "too long"}}]'],
)
def test_the_providers_own_error_may_be_json_in_openrouters(raw: object) -> None:
    """As text or as an object: its message is what helps."""
    failure = _classify(400, _openrouter(400, "Provider returned error", metadata={"raw": raw}))

    assert failure.message == "Provider returned error: too long"


@pytest.mark.parametrize("raw", [None, "", 5, {}, []])
def test_a_provider_may_have_said_nothing(raw: object) -> None:
    """Then OpenRouter's words stand alone."""
    assert _classify(502, _openrouter(502, "Bad gateway", metadata={"raw": raw})).message == "Bad gateway"


def test_what_was_said_already_is_not_said_again() -> None:
    """The raw text may be the message."""
    assert _classify(400, _openrouter(400, "too long", metadata={"raw": "too long"})).message == "too long"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "model_not_found", FailureClass.MODEL_GONE),
        (404, "free_variant_ended", FailureClass.MODEL_GONE),
        (403, "region_restricted", FailureClass.CALLER_FAULT),
        (429, "capacity_exhausted", FailureClass.OVERLOADED),
        (503, "temporarily_unavailable", FailureClass.OVERLOADED),
    ],
)
def test_openrouter_says_why_a_model_is_not_there(status: int, code: str, kind: FailureClass) -> None:
    """`availability` has a name and perhaps a delay."""
    failure = _classify(status, _openrouter(status, availability={"code": code, "retry_after": 15}))

    assert failure.kind is kind
    assert failure.retry_after == (15.0 if kind is FailureClass.OVERLOADED else None)


@pytest.mark.parametrize("code", ["9" * 5000, "-1", "٣"])
def test_a_code_that_can_be_no_status_is_none(code: str) -> None:
    """An error inside a stream may hold anything."""
    body = json.dumps({"error": {"message": "m", "code": code}}).encode()

    assert openai.WIRE.decoder().feed(body) == (Failure(FailureClass.TRANSIENT, "m"),)


def test_openrouter_names_the_type_of_an_error() -> None:
    """`metadata.error_type` is its stable name."""
    body = _openrouter(502, metadata={"error_type": "context_length_exceeded"})

    assert _classify(502, body).kind is FailureClass.CALLER_FAULT


def test_keys_are_hidden_in_what_providers_say() -> None:
    """OpenAI repeats the key it does not like."""
    failure = _classify(401, _error(message="Incorrect API key provided: sk-proj-abcdef. Find yours at …"))

    assert failure.message == "Incorrect API key provided: [redacted]. Find yours at …"


def test_long_messages_are_cut() -> None:
    """At 500 characters."""
    assert len(_classify(400, _error(message="x" * 10_000)).message) == 500
