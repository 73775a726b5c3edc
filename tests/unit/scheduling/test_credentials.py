"""Which credential carries the next request."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.credential import Credential
from synapse.scheduling.credentials import NEVER, CredentialPool, Permit, Rest

NOW = 1_767_225_600.0
A, B, C = (Credential(name, f"sk-secret-key-{name}{name}{name}{name}") for name in "abc")


def pool(*credentials: Credential) -> CredentialPool:
    """Make a pool whose keys come from one variable."""
    return CredentialPool("gemini", credentials, variables=("GENAI_API_KEYS",))


def take(from_pool: CredentialPool, model: str = "m", now: float = NOW) -> Credential | None:
    """Take a credential, None where none may carry the model."""
    permit = from_pool.take(model, now)
    return permit.credential if permit is not None else None


@given(st.integers(1, 8), st.lists(st.sampled_from(["m", "n"]), max_size=60))
def test_all_keys_are_used_evenly(count: int, models: list[str]) -> None:
    """While none rests, no key is ever more than one request ahead of another."""
    credentials = [Credential(f"p{number}", f"key-{number}") for number in range(count)]
    keys = pool(*credentials)

    used = Counter(take(keys, model) for model in models)

    uses = [used[credential] for credential in credentials]
    assert max(uses) - min(uses) <= 1
    assert sum(uses) == len(models)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "m", "n"]), st.integers(-5, 50))))
def test_a_pool_opens_when_a_key_may_be_taken(rests: list[tuple[str, str | None, int]]) -> None:
    """Whatever rests, nothing can be taken before the time the pool states, and something at that very time."""
    keys = pool(A, B, C)
    for name, model, seconds in rests:
        keys.rest(Rest({"a": A, "b": B, "c": C}[name], model, NOW + seconds, "resting"))

    for model in ("m", "n", "other"):
        opens_at = keys.opens_at(model)
        assert (take(keys, model) is not None) is (opens_at <= NOW)
        if opens_at > NOW:
            assert take(keys, model, opens_at - 0.001) is None
            assert take(keys, model, opens_at) is not None


def test_a_resting_key_is_passed_over_and_comes_back_first() -> None:
    """It is the least recently used when its rest ends."""
    keys = pool(A, B)
    keys.rest(Rest(A, None, NOW + 10, "resting"))

    assert [take(keys), take(keys)] == [B, B]
    assert [take(keys, now=NOW + 10), take(keys, now=NOW + 10)] == [A, B]


def test_a_closed_model_is_closed_for_the_whole_project() -> None:
    """Keys of one project share its quota; other models and other projects are open."""
    twin = Credential(A.project, "sk-another-key-of-the-same")
    keys = pool(A, twin, B)

    keys.rest(Rest(A, "m", NOW + 10, "used up"))

    assert {take(keys, "m") for _ in range(4)} == {B}
    assert {take(keys, "other") for _ in range(3)} == {A, twin, B}


def test_a_dead_key_leaves_its_project_to_the_others() -> None:
    """A key that is invalid says nothing about another key of the project."""
    twin = Credential(A.project, "sk-another-key-of-the-same")
    keys = pool(A, twin)

    keys.rest(Rest(A, None, NEVER, "invalid"))

    assert {take(keys) for _ in range(3)} == {twin}
    assert keys.opens_at("m") <= NOW


@pytest.mark.parametrize("model", [None, "m"])
def test_only_a_longer_rest_is_news(model: str | None) -> None:
    """A shorter one, learned later, does not shorten what is known."""
    keys = pool(A)

    assert keys.rest(Rest(A, model, NOW + 10, "first"))
    assert not keys.rest(Rest(A, model, NOW + 10, "same"))
    assert not keys.rest(Rest(A, model, NOW + 5, "shorter"))
    assert keys.opens_at("m") == NOW + 10
    assert keys.rest(Rest(A, model, NOW + 20, "longer"))
    assert keys.opens_at("m") == NOW + 20


def test_the_longer_of_two_rests_holds() -> None:
    """A key rests as long as its project's model or itself does."""
    keys = pool(A)
    keys.rest(Rest(A, None, NOW + 10, "itself"))
    keys.rest(Rest(A, "m", NOW + 20, "its model"))

    assert keys.opens_at("m") == NOW + 20
    assert keys.opens_at("other") == NOW + 10


def test_a_provider_without_keys_is_always_open() -> None:
    """Where no key is wanted there is nothing to choose and nothing to wait for."""
    keyless = CredentialPool("ollama", [])

    assert keyless.keyless
    assert keyless.take("m", NOW) == Permit(None)
    assert keyless.opens_at("m") <= NOW


def test_a_provider_whose_keys_are_missing_never_opens() -> None:
    """Its refusal names the variables to set."""
    keys = CredentialPool("openrouter", [], variables=("OPENROUTER_API_KEY", "OPENROUTER_API_KEYS"))

    assert not keys.keyless
    assert keys.take("m", NOW) is None
    assert keys.opens_at("m") == NEVER
    refusal = keys.refusal("m")
    assert refusal == "openrouter has no API key: set OPENROUTER_API_KEY or OPENROUTER_API_KEYS"


def test_a_refusal_has_each_keys_reason_and_no_key() -> None:
    """It says of each key, by its last characters, why it rests, and what to set; the keys themselves it keeps."""
    keys = pool(A, B)
    keys.rest(Rest(A, None, NEVER, "API key not valid"))
    keys.rest(Rest(B, "m", NEVER, "not in this tier"))

    refusal = keys.refusal("m")

    assert refusal == (
        "gemini accepts no key for m (…aaaa: API key not valid; …bbbb: not in this tier): set others in GENAI_API_KEYS"
    )
    assert A.key not in refusal
    assert B.key not in refusal


def test_a_refusal_is_silent_about_keys_that_do_not_rest() -> None:
    """Only those that rest have a reason."""
    keys = pool(A, B)
    keys.rest(Rest(A, None, NEVER, "API key not valid"))

    assert "…bbbb" not in keys.refusal("m")
