"""What a bad configuration is told: where, what stood there, what belongs there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synapse.config import Config, ConfigError, load

GOOD = "models:\n  simulator:\n    codes: [sim/echo]\n"
SERVER_KEYS = (
    "host, grpc_port, http_port, keepalive_seconds, max_request_bytes, shutdown_grace, tls, callers, remote_images"
)
SECTIONS = "server, worker, queue, store, retry, scheduling, providers, models"
MODEL_KEYS = "code, model, limits, fallbacks"
CODE = f"a model code (text without spaces) or a mapping of {MODEL_KEYS}"
CODES = f"a list with at least one item: {CODE}"
LIMITS = "rpm, tpm, rpd, tpd, concurrency"
LIMITS_KNOWN = f"Known here: {LIMITS}"
TYPES = (
    "one of anthropic, cerebras, deepseek, gemini, groq, lmstudio, mistral, ollama, openai, openrouter, simulator, "
    "together, vllm, xai"
)
URL = "an http or https URL without user or query, such as https://api.example.com/v1"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("server: {http_port: eighty}", 'server.http_port: got "eighty", expected an integer from 0 to 65535'),
        ("server: {http_port: '80'}", 'server.http_port: got "80", expected an integer from 0 to 65535'),
        ("server: {grpc_port: 65536}", "server.grpc_port: got 65536, expected an integer from 0 to 65535"),
        ("server: {grpc_port: -1}", "server.grpc_port: got -1, expected an integer from 0 to 65535"),
        ("server: {grpc_port: 1.5}", "server.grpc_port: got 1.5, expected an integer from 0 to 65535"),
        ("server: {grpc_port: true}", "server.grpc_port: got true, expected an integer from 0 to 65535"),
        ("server: {grpc_port: ~}", "server.grpc_port: got nothing, expected an integer from 0 to 65535"),
        ("server: {grpc_port: }", "server.grpc_port: got nothing, expected an integer from 0 to 65535"),
        ("server: {grpc_port: !!int x}", "server.grpc_port: got x, expected an integer from 0 to 65535"),
        ("server: {grpc_port: !!bool x}", "server.grpc_port: got x, expected an integer from 0 to 65535"),
        ("server: {grpc_port: !ours 1}", "server.grpc_port: got 1, expected an integer from 0 to 65535"),
        ("server: {grpc_port: [1]}", "server.grpc_port: got a list, expected an integer from 0 to 65535"),
        ("server: {host: 4}", "server.host: got 4, expected text; in quotes it is text"),
        ("server: {host: 2024-01-01}", "server.host: got 2024-01-01, expected text; in quotes it is text"),
        ("server: {host: ''}", 'server.host: got "", expected text'),
        ('server: {host: "a\\tb"}', 'server.host: got "a\\tb", expected text'),
        (f"server: {{host: [{'x' * 99}]}}", "server.host: got a list, expected text"),
        (
            f"server: {{http_port: {'x' * 99}}}",
            f'server.http_port: got "{"x" * 59}…", expected an integer from 0 to 65535',
        ),
        ("server: {keepalive_seconds: 0}", "server.keepalive_seconds: got 0, expected a number above 0"),
        ("server: {keepalive_seconds: .inf}", "server.keepalive_seconds: got .inf, expected a number above 0"),
        ("server: {keepalive_seconds: .nan}", "server.keepalive_seconds: got .nan, expected a number above 0"),
        ("server: {shutdown_grace: -1}", "server.shutdown_grace: got -1, expected a number of at least 0"),
        (
            "server: {max_request_bytes: 2147483648}",
            "server.max_request_bytes: got 2147483648, expected an integer from 1 to 2147483647",
        ),
        ("server: {tls: true}", "server.tls: got true, expected a mapping of cert, key"),
        ("server: {tls: {cert: a.pem}}", "server.tls.key: missing, expected text"),
        ("server: on", f"server: got on, expected a mapping of {SERVER_KEYS}"),
        ("queue: [1]", "queue: got a list, expected a mapping of max_size, max_wait, timeout"),
        ("queue: {max_size: 0}", "queue.max_size: got 0, expected an integer of at least 1"),
        ("retry: {max_attempts: 0}", "retry.max_attempts: got 0, expected an integer of at least 1"),
        ("store: {path: 5}", "store.path: got 5, expected text; in quotes it is text"),
        ("store: {result_ttl: 0}", "store.result_ttl: got 0, expected a number above 0"),
        (
            "scheduling: {interactive_reserve: 1.1}",
            "scheduling.interactive_reserve: got 1.1, expected a number from 0 to 1",
        ),
        ("scheduling: {fallback_after: -1}", "scheduling.fallback_after: got -1, expected a number of at least 0"),
        ("providers: {first_event_timeout: 0}", "providers.first_event_timeout: got 0, expected a number above 0"),
    ],
)
def test_a_bad_value_says_what_stood_there_and_what_belongs_there(
    errors_of: Callable[..., list[str]], line: str, error: str
) -> None:
    """Each names file, line, path, what was found and what was expected."""
    assert errors_of(f"# a comment\n{line}\n{GOOD}") == [f"config.yaml:2: {error}"]


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        ("gemini: {codes: []}", f"gemini.codes: got an empty list, expected {CODES}"),
        ("gemini: {codes: fast}", f'gemini.codes: got "fast", expected {CODES}'),
        ("gemini: {}", f"gemini.codes: missing, expected {CODES}"),
        ("gemini:", f"gemini.codes: missing, expected {CODES}"),
        ("gemini: [fast]", "gemini: got a list, expected a mapping of type, base_url, api_keys_env, limits, codes"),
        ("gemini: {codes: [4]}", f"gemini.codes[0]: got 4, expected {CODE}; in quotes it is text"),
        ("gemini: {codes: [a b]}", f'gemini.codes[0]: got "a b", expected {CODE}'),
        ('gemini: {codes: ["\\ud800"]}', f'gemini.codes[0]: got "\\ud800", expected {CODE}'),
        (
            "gemini: {codes: [a, {model: b}]}",
            "gemini.codes[1].code: missing, expected a model code (text without spaces)",
        ),
        ("gemini: {codes: [{code: a, x: 1}]}", f"gemini.codes[0].x: unknown key; Known here: {MODEL_KEYS}"),
        ("gemini: {codes: [a], limits: 5}", f"gemini.limits: got 5, expected a mapping of {LIMITS}"),
        (
            "gemini: {codes: [a], limits: {rpm: 0}}",
            "gemini.limits.rpm: got 0, expected an integer of at least 1",
        ),
        (
            "gemini: {codes: [{code: a, limits: {tpd: 1.5}}]}",
            "gemini.codes[0].limits.tpd: got 1.5, expected an integer of at least 1",
        ),
        (
            "gemini: {codes: [a], limits: {rps: 1}}",
            f"gemini.limits.rps: unknown key; did you mean rpm or rpd? {LIMITS_KNOWN}",
        ),
        (
            "gemini: {codes: [{code: a, fallbacks: b}]}",
            (
                'gemini.codes[0].fallbacks: got "b", expected a list with at least one item: '
                "a model code (text without spaces)"
            ),
        ),
        (
            "gemini: {codes: [a], tokens: 5}",
            "gemini.tokens: unknown key; Known here: type, base_url, api_keys_env, limits, codes",
        ),
        (
            "simulator: {codes: [a], base_url: http://a}",
            "simulator.base_url: unknown key; Known here: type, tokens_per_second, tokens, limits, codes",
        ),
        ("mine: {codes: [a]}", f"mine: type is missing, expected {TYPES}"),
        ("ollama: {type: opnai, codes: [a]}", f'ollama.type: got "opnai", expected {TYPES}'),
        ("gemini: {base_url: 'ftp://a', codes: [a]}", f'gemini.base_url: got "ftp://a", expected {URL}'),
        ("gemini: {base_url: 'http://a?b', codes: [a]}", f'gemini.base_url: got "http://a?b", expected {URL}'),
        ("gemini: {base_url: 'http://', codes: [a]}", f'gemini.base_url: got "http://", expected {URL}'),
        ("gemini: {base_url: 'http://a:65536', codes: [a]}", f'gemini.base_url: got "http://a:65536", expected {URL}'),
        ("gemini: {base_url: 'https://u:pw@a', codes: [a]}", f'gemini.base_url: got "https://…@a", expected {URL}'),
        (
            "gemini: {api_keys_env: A-B, codes: [a]}",
            'gemini.api_keys_env: got "A-B", expected the name of an environment variable',
        ),
        (
            "'my server': {type: simulator, codes: [a]}",
            "my server: a provider's name begins with a letter or digit and has only those, '-', '_' and '.'",
        ),
    ],
)
def test_a_bad_provider_says_what_is_wrong_with_it(
    errors_of: Callable[..., list[str]], provider: str, error: str
) -> None:
    """Providers have keys of their own, by their type."""
    assert errors_of(f"models:\n  {provider}\n") == [f"config.yaml:2: models.{error}"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "server: {htp_port: 1}",
            f"server.htp_port: unknown key; did you mean http_port or grpc_port? Known here: {SERVER_KEYS}",
        ),
        ("server: {prt: 1}", f"server.prt: unknown key; Known here: {SERVER_KEYS}"),
        ("limits: {rpm: 1}", f"limits: unknown key; Known here: {SECTIONS}"),
        (
            "worker:\n  concurency_multiplier: 1",
            (
                "worker.concurency_multiplier: unknown key; did you mean concurrency_multiplier? "
                "Known here: concurrency_multiplier"
            ),
        ),
    ],
)
def test_an_unknown_key_is_told_its_nearest_and_all_there_are(
    errors_of: Callable[..., list[str]], line: str, error: str
) -> None:
    """A typing error is found at once."""
    assert errors_of(f"{line}\n{GOOD}") == [f"config.yaml:{line.count(chr(10)) + 1}: {error}"]


def test_a_key_may_stand_once_in_a_mapping(errors_of: Callable[..., list[str]]) -> None:
    """YAML itself would silently take the last."""
    assert errors_of(f"server:\n  http_port: 1\n  host: a\n  http_port: 2\n{GOOD}") == [
        "config.yaml:4: server.http_port: given twice, the first time at config.yaml:2"
    ]


def test_a_provider_may_stand_once(errors_of: Callable[..., list[str]]) -> None:
    """Two lists of one provider's models would be one too many."""
    assert errors_of("models:\n  gemini: {codes: [a]}\n  gemini: {codes: [b]}\n") == [
        "config.yaml:3: models.gemini: given twice, the first time at config.yaml:2"
    ]


def test_a_key_that_yaml_takes_for_something_else_needs_quotes(errors_of: Callable[..., list[str]]) -> None:
    """`on`, `1` and the like are no text to YAML."""
    assert errors_of(f"on: 1\n{GOOD}  2: {{codes: [a]}}\n  ? [a]\n  : b\n") == [
        "config.yaml:1: got on as a key, expected text; in quotes it is text",
        "config.yaml:5: models: got 2 as a key, expected text; in quotes it is text",
        "config.yaml:6: models: got a list as a key, expected text; in quotes it is text",
    ]


def test_a_model_code_belongs_to_one_model(errors_of: Callable[..., list[str]]) -> None:
    """The error names both places, in another provider or in the same."""
    text = """\
models:
  gemini:
    codes:
      - fast
      - {code: slow, model: gemini-2.5-pro}
      - fast
  mine: {type: openai, base_url: "http://a", codes: [{code: slow}]}
"""

    assert errors_of(text) == [
        (
            'config.yaml:6: models.gemini.codes[2]: got "fast", expected a code of its own: '
            "models.gemini.codes[0] (config.yaml:4) has it already"
        ),
        (
            'config.yaml:7: models.mine.codes[0]: got "slow", expected a code of its own: '
            "models.gemini.codes[1] (config.yaml:5) has it already"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "missing"),
        ("# nothing\n", "missing"),
        ("models:\n", "got nothing"),
        ("models: {}\n", "got an empty mapping"),
    ],
)
def test_there_must_be_a_provider(errors_of: Callable[..., list[str]], text: str, found: str) -> None:
    """Without models there is nothing to serve."""
    assert errors_of(text) == [
        f"config.yaml:1: models: {found}, expected a mapping of at least one provider by its name"
    ]


def test_all_errors_are_told_at_once(errors_of: Callable[..., list[str]]) -> None:
    """Nobody has to start five times to find five errors."""
    text = """\
server: {http_port: eighty, grpc_prot: 1}
retry: {max_attempts: none}
models:
  gemini: {codes: [a], tokens: 1}
  ollama: {type: openai, codes: []}
"""

    assert [error.split(": ")[:2] for error in errors_of(text)] == [
        ["config.yaml:1", "server.http_port"],
        ["config.yaml:1", "server.grpc_prot"],
        ["config.yaml:2", "retry.max_attempts"],
        ["config.yaml:4", "models.gemini.tokens"],
        ["config.yaml:5", "models.ollama.codes"],
    ]


def test_a_certificate_that_is_not_there_is_found_at_once(errors_of: Callable[..., list[str]], tmp_path: Path) -> None:
    """A path to nothing is an error of the configuration, with its line."""
    (tmp_path / "key.pem").touch()

    assert errors_of(f"server:\n  tls: {{cert: cert.pem, key: key.pem}}\n{GOOD}") == [
        "config.yaml:2: server.tls.cert: got a path to no file (cert.pem), expected a PEM file"
    ]


def test_a_key_in_the_wrong_place_is_not_repeated(errors_of: Callable[..., list[str]]) -> None:
    """Errors end up in logs, where no API key may be."""
    key = "AIzaSyA-1234567890abcdefghijklmnopqrstu"

    errors = errors_of(f"{key}: 1\nmodels:\n  gemini:\n    api_keys_env: {key}\n    {key}: 1\n    codes: [[{key}]]\n")

    assert len(errors) == 4
    assert key not in "\n".join(errors)
    assert 'models.gemini.api_keys_env: got "AIza…"' in errors[1]


def test_what_the_file_says_cannot_play_with_the_terminal(errors_of: Callable[..., list[str]]) -> None:
    """Control characters are shown by their names, so that an error stays one line."""
    assert errors_of(f'"\\e[2Jx\\ny": 1\n{GOOD}') == [
        f"config.yaml:1: \\x1b[2Jx\\ny: unknown key; Known here: {SECTIONS}"
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "server: {",
            "1: this is not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        ),
        (
            "server:\n\thost: a",
            "2: this is not YAML: while scanning for the next token, found character '\\t' that cannot start any token",
        ),
        (
            "a: 1\n---\nb: 1",
            "2: this is not YAML: expected a single document in the stream, but found another document",
        ),
        ("a: 1\nb: *c", "2: this is not YAML: found undefined alias 'c'"),
        ("a: 1\nb: \x07", "2: this is not YAML: the character U+0007 may not stand in it"),
        ('a: 1\nb: "\\UFFFFFFFF"', "2: this is not YAML: an escape stands for no character there is"),
        ("a:\n " + "[" * 1000, "2: this is nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(errors_of: Callable[..., list[str]], text: str, error: str) -> None:
    """The YAML parser's own words follow the line."""
    assert errors_of(text) == [f"config.yaml:{error}"]


def test_a_file_that_is_a_list_is_told_what_it_should_be(errors_of: Callable[..., list[str]]) -> None:
    """The whole file is one mapping."""
    assert errors_of("- a\n") == [f"config.yaml:1: got a list, expected a mapping of {SECTIONS}"]


def test_a_missing_file_is_told_how_the_smallest_looks(tmp_path: Path) -> None:
    """The line it gives is a configuration that works."""
    path = tmp_path / "config.yaml"
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    message, _, line = str(caught.value).partition("this line: ")
    path.write_text(line, encoding="utf-8")

    assert message == f"{path}: there is no such file; the smallest that works is "
    assert list(load(path, {}).models) == ["simulator"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """What cannot be read says why."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {})

    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_file_in_another_encoding_is_told_so(write: Callable[[str], Path]) -> None:
    """The place of the first wrong byte helps to find it."""
    path = write("")
    path.write_bytes(b"a: \xff")

    with pytest.raises(ConfigError) as caught:
        load(path, {})

    assert str(caught.value) == f"{path}: is not UTF-8 text (byte 3)"


def test_an_alias_that_contains_itself_is_only_a_wrong_value(errors_of: Callable[..., list[str]]) -> None:
    """Reading follows the types, not the tree, so it always ends."""
    assert errors_of("models: &m\n  gemini:\n    codes: &c [*c]\n") == [
        f"config.yaml:3: models.gemini.codes[0]: got a list, expected {CODE}"
    ]


_TOKENS = [
    *("server", "models", "gemini", "simulator", "codes", "type", "http_port", "tls", "host", "a", "1", "-1", ".inf"),
    *(":", ": ", "- ", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ",", "#", "&a ", "*a", "!!int ", "!!bool ", "!x "),
    *(
        "? ",
        "<<",
        "~",
        "'",
        '"',
        "|",
        ">",
        "%",
        "---\n",
        "...\n",
        "\\",
        "\t",
        "2024-99-99",
        "0x",
        "1:99",
        "\x00",
        "\u2028",
    ),
]
_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates() | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_TOKENS[:11]) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_TOKENS) | st.text(max_size=3), max_size=30).map("".join) | _trees.map(yaml.safe_dump))
def test_no_file_does_worse_than_a_configuration_error(write: Callable[[str], Path], text: str) -> None:
    """Whatever stands in it, a file is loaded or refused in words."""
    path = write("")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    with contextlib.suppress(ConfigError):
        assert isinstance(load(path, {}), Config)
