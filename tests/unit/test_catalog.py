"""From the configuration and the environment to what is asked, and with which keys."""

from __future__ import annotations

from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from synapse.config import (
    Config,
    ConfigError,
    HostedProvider,
    LimitsConfig,
    ModelConfig,
    OpenAIProvider,
    ProviderConfig,
    ProviderType,
    SimulatorProvider,
)
from synapse.domain.credential import Credential
from synapse.domain.quota import Quota
from synapse.providers.catalog import ROWS, ProviderPlan, resolve


def plan(provider: ProviderConfig, environ: dict[str, str] | None = None) -> ProviderPlan:
    """Resolve one provider."""
    (made,) = resolve(Config(models={"mine": provider}), environ or {})
    return made


def test_gemini_is_asked_where_google_has_it_with_the_keys_of_its_variable() -> None:
    """Its day ends at midnight in California."""
    made = plan(HostedProvider(type="gemini", codes=("gemini-2.5-pro",)), {"GENAI_API_KEYS": "a=KEY1,b=KEY2"})

    assert made == ProviderPlan(
        name="mine",
        wire="gemini",
        base_url="https://generativelanguage.googleapis.com",
        headers={},
        credentials=(Credential("a", "KEY1"), Credential("b", "KEY2")),
        key_variables=("GENAI_API_KEYS",),
        models={"gemini-2.5-pro": "gemini-2.5-pro"},
        day_zone="America/Los_Angeles",
        quotas={"gemini-2.5-pro": Quota()},
        type="gemini",
    )
    assert made.needs_key


def test_openrouter_has_two_variables_and_is_told_who_asks() -> None:
    """Keys of both are used, each once, those of the plural first."""
    environ = {"OPENROUTER_API_KEY": "a=KEY1", "OPENROUTER_API_KEYS": "b=KEY2,c=KEY1"}

    made = plan(HostedProvider(type="openrouter", codes=("z-ai/glm-4.5-air:free",)), environ)

    assert made.wire == "openrouter"
    assert made.base_url == "https://openrouter.ai/api/v1"
    assert made.credentials == (Credential("b", "KEY2"), Credential("c", "KEY1"))
    assert made.headers["X-OpenRouter-Title"] == "Synapse"
    assert made.headers["HTTP-Referer"].startswith("https://")


def test_a_provider_without_keys_is_still_planned() -> None:
    """What is missing is told to who asks for its models, not at the start."""
    made = plan(HostedProvider(type="openrouter", codes=("a",)))

    assert made.needs_key
    assert made.credentials == ()
    assert made.key_variables == ("OPENROUTER_API_KEYS", "OPENROUTER_API_KEY")


def test_a_provider_may_have_an_address_and_a_variable_of_its_own() -> None:
    """The address loses the slash at its end; the usual variable is left alone."""
    provider = HostedProvider(type="gemini", base_url="http://127.0.0.1:9100/", api_keys_env="MINE", codes=("a",))

    made = plan(provider, {"GENAI_API_KEYS": "x=KEY1", "MINE": "y=KEY2"})

    assert made.base_url == "http://127.0.0.1:9100"
    assert made.credentials == (Credential("y", "KEY2"),)
    assert made.key_variables == ("MINE",)


def test_an_openai_server_needs_a_key_only_where_its_variable_is_named() -> None:
    """A server of one's own has no keys."""
    keyless = plan(OpenAIProvider(type="openai", base_url="http://127.0.0.1:11434/v1", codes=("a",)))
    keyed = plan(
        OpenAIProvider(type="openai", base_url="https://api.example.com/v1/", api_keys_env="MINE", codes=("a",)),
        {"MINE": "x=KEY"},
    )

    assert (keyless.wire, keyless.needs_key, keyless.credentials) == ("openai", False, ())
    assert (keyed.base_url, keyed.needs_key, keyed.credentials) == (
        "https://api.example.com/v1",
        True,
        (Credential("x", "KEY"),),
    )


def test_the_simulator_has_its_pace_and_needs_no_key() -> None:
    """It is not asked over the network at all."""
    pace = SimulatorProvider(type="simulator", tokens_per_second=5, tokens=7, codes=("sim/echo",))

    made = plan(pace)

    assert (made.wire, made.base_url, made.needs_key, made.simulation) == ("simulator", "", False, pace)


def test_a_model_code_stands_for_the_providers_name_of_the_model() -> None:
    """A plain code is that name itself."""
    codes = ("plain", ModelConfig(code="fast", model="gemini-2.5-flash-lite"), ModelConfig(code="same"))

    assert plan(HostedProvider(type="gemini", codes=codes)).models == {
        "plain": "plain",
        "fast": "gemini-2.5-flash-lite",
        "same": "same",
    }


def test_a_models_own_limits_are_completed_by_its_providers() -> None:
    """Field by field; a plain code has the provider's alone, and quotas go by the provider's name of the model."""
    provider = HostedProvider(
        type="gemini",
        limits=LimitsConfig(rpm=10, tpm=250_000, concurrency=3),
        codes=("plain", ModelConfig(code="fast", model="flash", limits=LimitsConfig(rpm=15, rpd=250, tpd=9))),
    )

    assert plan(provider).quotas == {
        "plain": Quota(rpm=10, tpm=250_000, concurrency=3),
        "flash": Quota(rpm=15, tpm=250_000, rpd=250, tpd=9, concurrency=3),
    }


def test_of_two_codes_of_one_model_the_smaller_limit_holds() -> None:
    """What the provider's limits say counts only for what neither of them says."""
    codes = (
        ModelConfig(code="a", model="m", limits=LimitsConfig(rpm=15, rpd=100)),
        ModelConfig(code="b", model="m", limits=LimitsConfig(rpm=20, tpm=7)),
        "m",
    )
    limits = LimitsConfig(rpm=10, concurrency=2)

    for order in (codes, codes[::-1]):
        made = plan(HostedProvider(type="gemini", limits=limits, codes=order))
        assert made.quotas == {"m": Quota(rpm=15, tpm=7, rpd=100, concurrency=2)}


def test_every_type_of_provider_can_have_limits() -> None:
    """A server of one's own, and the simulator too."""
    limits = LimitsConfig(concurrency=1)
    providers = [
        OpenAIProvider(type="openai", base_url="http://127.0.0.1/v1", limits=limits, codes=("a",)),
        SimulatorProvider(type="simulator", limits=limits, codes=("a",)),
    ]

    assert [plan(provider).quotas for provider in providers] == [{"a": Quota(concurrency=1)}] * 2


def test_fallbacks_go_by_model_code() -> None:
    """Only those codes are there that have any."""
    codes = ("a", ModelConfig(code="b", fallbacks=("a", "elsewhere")), ModelConfig(code="c"))

    assert plan(HostedProvider(type="gemini", codes=codes)).fallbacks == {"b": ("a", "elsewhere")}


def test_openrouters_free_models_share_a_projects_quota() -> None:
    """Those of everybody else have a quota each."""
    shared = {kind: row.shared_models for kind, row in ROWS.items() if row.shared_models}

    assert shared == {"openrouter": ":free"}
    assert plan(HostedProvider(type="openrouter", codes=("a",))).shared_models == ":free"


def test_openai_itself_needs_no_address() -> None:
    """Its keys are in the usual variables."""
    found = plan(OpenAIProvider(type="openai", codes=("gpt",)), {"OPENAI_API_KEY": "key-of-openai"})

    assert found.base_url == "https://api.openai.com/v1"
    assert [credential.key for credential in found.credentials] == ["key-of-openai"]


def test_openais_keys_go_nowhere_else() -> None:
    """A server that speaks its dialect at another address is asked without them."""
    provider = OpenAIProvider(type="openai", base_url="http://localhost:9", codes=("m",))

    assert plan(provider, {"OPENAI_API_KEY": "key-of-openai"}).credentials == ()


@pytest.mark.parametrize("kind", [kind for kind, row in ROWS.items() if row.wire != "simulator"])
def test_each_row_says_where_its_provider_is(kind: ProviderType) -> None:
    """A name and a model are enough; what runs at home wants no key, all others have two variables for them."""
    row = ROWS[kind]

    assert row.base_url.startswith(("https://", "http://localhost:"))
    assert bool(row.key_variables) == row.base_url.startswith("https://")


def test_providers_are_planned_in_the_order_of_the_configuration() -> None:
    """So that what is listed is listed as it was written."""
    models: dict[str, ProviderConfig] = {
        "b": SimulatorProvider(type="simulator", codes=("x",)),
        "a": HostedProvider(type="gemini", codes=("y",)),
    }

    assert [made.name for made in resolve(Config(models=models), {})] == ["b", "a"]


def test_a_bad_key_is_an_error_of_the_configuration() -> None:
    """It names the variable and the key's place."""
    with pytest.raises(ConfigError, match=r"^OPENROUTER_API_KEY: key 2 of 2 "):
        plan(HostedProvider(type="openrouter", codes=("a",)), {"OPENROUTER_API_KEY": "good b\x00d"})


def test_a_provider_is_reached_through_the_environments_proxy() -> None:
    """By its base URL."""
    made = plan(HostedProvider(type="gemini", codes=("a",)))

    assert made.proxy({"HTTPS_PROXY": "http://proxy:3128"}) == "http://proxy:3128"
    assert made.proxy({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".googleapis.com"}) is None
    with pytest.raises(ConfigError, match=r"^HTTPS_PROXY: not the address of an HTTP proxy"):
        made.proxy({"HTTPS_PROXY": "socks5://proxy:1080"})


def test_every_type_of_provider_has_a_row_with_a_real_time_zone() -> None:
    """A type that may be configured can be resolved."""
    assert set(ROWS) == set(get_args(ProviderType))
    assert {ZoneInfo(row.day_zone).key for row in ROWS.values()} == {"UTC", "America/Los_Angeles"}
