"""Values from the environment and from `.env`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synapse.config import Config, ConfigError, ModelConfig, environment, load

SECTIONS = "server, worker, queue, store, retry, scheduling, providers, models"
GOOD = "models:\n  simulator:\n    codes: [sim/echo]\n  my-server.v1: {type: openai, base_url: http://a, codes: [b]}\n"


def test_a_variable_overrides_the_file(load_text: Callable[..., Config]) -> None:
    """Two underscores lead one level down; the value is YAML."""
    config = load_text(
        f"server: {{http_port: 1, host: a}}\n{GOOD}",
        {
            "SYNAPSE_SERVER__HTTP_PORT": "9000",
            "SYNAPSE_QUEUE__MAX_WAIT": "1.5",
            "SYNAPSE_MODELS__SIMULATOR__CODES": "[sim/lorem, {code: l, model: sim/lorem}]",
        },
    )

    assert (config.server.http_port, config.server.host) == (9000, "a")
    assert config.queue.max_wait == 1.5
    assert config.models["simulator"].codes == ("sim/lorem", ModelConfig(code="l", model="sim/lorem"))


def test_a_provider_is_found_by_the_letters_of_its_name(load_text: Callable[..., Config]) -> None:
    """Variables have capitals and underscores only."""
    config = load_text(GOOD, {"SYNAPSE_MODELS__MY_SERVER_V1__BASE_URL": "http://b:1/v1"})

    assert config.models["my-server.v1"].base_url == "http://b:1/v1"


def test_a_provider_can_come_from_variables_alone(load_text: Callable[..., Config]) -> None:
    """A container may have all its models in the environment."""
    environ = {
        "SYNAPSE_MODELS": "{gemini: {codes: [a]}}",
        "SYNAPSE_MODELS__LOCAL__TYPE": "openai",
        "SYNAPSE_MODELS__LOCAL__BASE_URL": "http://127.0.0.1/v1",
        "SYNAPSE_MODELS__LOCAL__CODES": "[b]",
    }

    config = load_text("", environ)

    assert {name: (model.type, model.codes) for name, model in config.models.items()} == {
        "gemini": ("gemini", ("a",)),
        "local": ("openai", ("b",)),
    }


def test_an_override_reaches_only_the_place_it_names(load_text: Callable[..., Config]) -> None:
    """Where the file says one thing of two places by an alias, the other keeps it."""
    text = """
    models:
      a: &a {type: openai, base_url: http://a, codes: [a]}
      b: *a
    """

    config = load_text(text, {"SYNAPSE_MODELS__B__CODES": "[b]"})

    assert (config.models["a"].codes, config.models["b"].codes) == (("a",), ("b",))


def test_variables_for_others_are_left_alone(load_text: Callable[..., Config]) -> None:
    """The client's target and key, the tests' recordings, and what Kubernetes sets for a service called synapse."""
    environ = {
        "SYNAPSE_SERVER": "localhost:50051",
        "SYNAPSE_URL": "http://localhost:8080",
        "SYNAPSE_API_KEY": "secret",
        "SYNAPSE_RECORDINGS": "/somewhere",
        "SYNAPSE_SERVICE_HOST": "10.0.0.1",
        "SYNAPSE_SERVICE_PORT_HTTP": "8080",
        "SYNAPSE_PORT": "tcp://10.0.0.1:8080",
        "SYNAPSE_PORT_8080_TCP_ADDR": "10.0.0.1",
        "synapse_server__http_port": "9000",
    }

    assert load_text(GOOD, environ) == load_text(GOOD)


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("SERVER__HTTP_PORT", "eighty", 'server.http_port: got "eighty", expected an integer from 0 to 65535'),
        ("SERVER__HTTP_PORT", "", "server.http_port: got nothing, expected an integer from 0 to 65535"),
        (
            "SERVER__HTTP_PROT",
            "80",
            (
                "server.http_prot: unknown key; did you mean http_port? Known here: "
                "host, grpc_port, http_port, keepalive_seconds, max_request_bytes, shutdown_grace, tls, callers, "
                "remote_images"
            ),
        ),
        ("FOO", "1", f"foo: unknown key; Known here: {SECTIONS}"),
        ("MODELS__SIMULATOR__CODES__0", "a", "models.simulator.codes is no mapping, so nothing in it can be set"),
        (
            "MODELS__NEW__BASE_URL",
            "http://a",
            (
                "models.new: type is missing, expected one of anthropic, cerebras, deepseek, gemini, groq, lmstudio, "
                "mistral, ollama, openai, openrouter, simulator, together, vllm, xai"
            ),
        ),
        (
            "QUEUE",
            "[",
            "this is not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        ),
        ("QUEUE__MAX_SIZE", "{a: 1}", "queue.max_size: got a mapping, expected an integer of at least 1"),
    ],
)
def test_a_bad_override_names_its_variable(
    errors_of: Callable[..., list[str]], variable: str, value: str, error: str
) -> None:
    """It is the variable that must be changed, not the file."""
    assert errors_of(GOOD, {f"SYNAPSE_{variable}": value}) == [f"SYNAPSE_{variable}: {error}"]


def test_errors_of_variables_and_of_the_file_are_told_together(errors_of: Callable[..., list[str]]) -> None:
    """Each names its own place."""
    environ = {"SYNAPSE_SERVER__GRPC_PORT": "x", "SYNAPSE_QUEUE": "]"}

    assert errors_of(f"server: {{host: 1}}\n{GOOD}", environ) == [
        "SYNAPSE_QUEUE: this is not YAML: while parsing a block node, expected the node content, but found ']'",
        "config.yaml:1: server.host: got 1, expected text; in quotes it is text",
        'SYNAPSE_SERVER__GRPC_PORT: server.grpc_port: got "x", expected an integer from 0 to 65535',
    ]


def test_dotenv_is_read_from_beside_the_configuration(write: Callable[[str], Path]) -> None:
    """Overrides and keys can both stand there; the process's own environment is not touched."""
    path = write(GOOD)
    (path.parent / ".env").write_text("SYNAPSE_SERVER__HTTP_PORT=9001\nGENAI_API_KEYS='a b'\nEMPTY\n", encoding="utf-8")
    before = dict(os.environ)

    assert load(path, {}).server.http_port == 9001
    assert environment(path, {"OTHER": "1"}) == {
        "SYNAPSE_SERVER__HTTP_PORT": "9001",
        "GENAI_API_KEYS": "a b",
        "OTHER": "1",
    }
    assert dict(os.environ) == before


def test_the_real_environment_wins_over_dotenv(write: Callable[[str], Path]) -> None:
    """So that one start can differ from the rest, by an empty value too."""
    path = write(GOOD)
    (path.parent / ".env").write_text("SYNAPSE_SERVER__HTTP_PORT=9001\nGENAI_API_KEYS=a\n", encoding="utf-8")
    environ = {"SYNAPSE_SERVER__HTTP_PORT": "9002", "GENAI_API_KEYS": ""}

    assert load(path, environ).server.http_port == 9002
    assert environment(path, environ)["GENAI_API_KEYS"] == ""


def test_values_of_dotenv_are_taken_as_they_stand(write: Callable[[str], Path]) -> None:
    """A dollar sign in a key is a dollar sign; lines within quotes are lines of the value."""
    path = write(GOOD)
    (path.parent / ".env").write_text('A="one\ntwo"\nB=${HOME}$A\nexport C=3 # three\n', encoding="utf-8")

    assert environment(path, {}) == {"A": "one\ntwo", "B": "${HOME}$A", "C": "3"}


def test_a_dotenv_that_cannot_be_read_is_told(write: Callable[[str], Path]) -> None:
    """Silence would look as if there were no keys."""
    path = write(GOOD)
    (path.parent / ".env").write_bytes(b"A=\xff")

    with pytest.raises(ConfigError) as caught:
        load(path, {})

    assert str(caught.value) == f"{path.parent}/.env: is not UTF-8 text (byte 2)"


def test_the_example_of_dotenv_changes_nothing(write: Callable[[str], Path]) -> None:
    """Copied as it is, it leaves the server without keys and without overrides."""
    path = write(GOOD)
    example = Path(__file__).parents[3] / ".env.example"
    (path.parent / ".env").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")

    assert environment(path, {}) == {"GENAI_API_KEYS": "", "OPENROUTER_API_KEY": ""}


_names = st.lists(
    st.sampled_from(["SERVER", "MODELS", "HTTP_PORT", "SIMULATOR", "CODES", "TLS", "", "0", "QUEUE"]), max_size=4
).map("__".join)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        _names, st.sampled_from(["", "1", "[a]", "{a: b}", "{", "~", "*a", "&a [*a]", "a: b: c"]) | st.text()
    )
)
def test_no_variable_does_worse_than_a_configuration_error(
    load_text: Callable[..., Config], values: dict[str, str]
) -> None:
    """Whatever is set, the configuration is loaded or refused in words."""
    environ = {f"SYNAPSE_{name}": value for name, value in values.items()}

    with contextlib.suppress(ConfigError):
        assert isinstance(load_text(GOOD, environ), Config)
