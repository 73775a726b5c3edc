"""What a good configuration means."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from synapse.config import (
    Config,
    HostedProvider,
    LimitsConfig,
    ModelConfig,
    OpenAIProvider,
    ProviderType,
    QueueConfig,
    RetryConfig,
    SchedulingConfig,
    ServerConfig,
    SimulatorProvider,
    StoreConfig,
    TlsConfig,
    cpu_cores,
    load,
)
from synapse.config.schema import PROVIDER_TYPES

ROOT = Path(__file__).parents[3]
SMALLEST = "models: {simulator: {codes: [sim/echo]}}"


def test_the_smallest_configuration_has_all_defaults(load_text: Callable[..., Config], tmp_path: Path) -> None:
    """One model is enough; everything else has a default."""
    config = load_text(SMALLEST)

    assert config.server == ServerConfig(
        host="127.0.0.1",
        grpc_port=50051,
        http_port=8080,
        keepalive_seconds=5,
        max_request_bytes=104857600,
        shutdown_grace=30,
        tls=None,
        callers=(),
    )
    assert config.worker.concurrency_multiplier == 64
    assert config.queue == QueueConfig(max_size=10000, max_wait=600, timeout=3600)
    assert config.retry == RetryConfig(max_attempts=4, base_delay=0.5, max_delay=30)
    assert config.store == StoreConfig(path=f"{tmp_path}/synapse.db", result_ttl=86400)
    assert config.scheduling == SchedulingConfig(interactive_reserve=0.2, fallback_after=30)
    assert (config.providers.stall_timeout, config.providers.connect_timeout) == (60, 10)
    assert config.providers.first_event_timeout == 120
    assert config.models == {
        "simulator": SimulatorProvider(type="simulator", tokens_per_second=50, tokens=100, codes=("sim/echo",))
    }


def test_what_the_file_says_wins_over_defaults(load_text: Callable[..., Config]) -> None:
    """Values of the file are taken, whole numbers for seconds included."""
    config = load_text(
        """
        server: {host: 0.0.0.0, http_port: 0, keepalive_seconds: 2}
        worker: {concurrency_multiplier: 4}
        retry: {base_delay: 0}
        models: {simulator: {tokens_per_second: 0, tokens: 3, codes: [sim/lorem]}}
        """
    )

    assert (config.server.host, config.server.http_port, config.server.keepalive_seconds) == ("0.0.0.0", 0, 2)  # noqa: S104
    assert config.worker.slots(cores=8) == 32
    assert config.retry == RetryConfig(base_delay=0)
    assert config.models["simulator"] == SimulatorProvider(
        type="simulator", tokens_per_second=0, tokens=3, codes=("sim/lorem",)
    )


def test_a_section_without_content_has_its_defaults(load_text: Callable[..., Config]) -> None:
    """A section whose lines are all commented out is no error."""
    config = load_text(f"server:\n  # http_port: 1\nqueue: ~\n{SMALLEST}")

    assert config.server == ServerConfig()
    assert config.queue == QueueConfig()


def test_every_kind_of_provider_can_be_described(load_text: Callable[..., Config]) -> None:
    """The name tells the type of three; others say it, and openai-compatible ones where they are."""
    config = load_text(
        """
        models:
          gemini:
            base_url: http://127.0.0.1:9100/
            codes: [gemini-2.5-pro, {code: fast, model: gemini-2.5-flash-lite}, {code: alone}]
          second-gemini: {type: gemini, api_keys_env: OTHER_KEYS, codes: [other]}
          openrouter: {codes: ["z-ai/glm-4.5-air:free"]}
          ollama: {type: openai, base_url: "http://[::1]:11434/v1", codes: [llama3.2]}
        """
    )

    assert config.models == {
        "gemini": HostedProvider(
            type="gemini",
            base_url="http://127.0.0.1:9100/",
            codes=(
                "gemini-2.5-pro",
                ModelConfig(code="fast", model="gemini-2.5-flash-lite"),
                ModelConfig(code="alone"),
            ),
        ),
        "second-gemini": HostedProvider(type="gemini", api_keys_env="OTHER_KEYS", codes=("other",)),
        "openrouter": HostedProvider(type="openrouter", codes=("z-ai/glm-4.5-air:free",)),
        "ollama": OpenAIProvider(type="openai", base_url="http://[::1]:11434/v1", codes=("llama3.2",)),
    }


def test_certificate_files_are_looked_for_beside_the_configuration(
    load_text: Callable[..., Config], tmp_path: Path
) -> None:
    """The server may be started from any folder."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/cert.pem").touch()
    (tmp_path / "key.pem").touch()

    config = load_text(f"server: {{tls: {{cert: tls/cert.pem, key: {tmp_path}/key.pem}}}}\n{SMALLEST}")

    assert config.server.tls == TlsConfig(cert=f"{tmp_path}/tls/cert.pem", key=f"{tmp_path}/key.pem")


def test_limits_and_fallbacks_are_those_of_a_provider_and_of_a_model(load_text: Callable[..., Config]) -> None:
    """A fallback may be a model of any provider, also of one that stands further down."""
    config = load_text(
        """
        models:
          gemini:
            limits: {rpm: 10, tpm: 250000, rpd: 250, tpd: 1000000, concurrency: 4}
            codes: [{code: fast, limits: {rpm: 15, tpm: ~}, fallbacks: [sim/echo, slow]}, slow]
          simulator: {limits: ~, codes: [sim/echo]}
        """
    )

    gemini = config.models["gemini"]
    assert gemini.limits == LimitsConfig(rpm=10, tpm=250000, rpd=250, tpd=1000000, concurrency=4)
    assert gemini.codes[0] == ModelConfig(code="fast", limits=LimitsConfig(rpm=15), fallbacks=("sim/echo", "slow"))
    assert config.models["simulator"].limits is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("kept/here.db", "{folder}/kept/here.db"), ("/tmp/elsewhere.db", "/tmp/elsewhere.db"), ("~", None)],  # noqa: S108
)
def test_the_store_is_looked_for_beside_the_configuration(
    load_text: Callable[..., Config], tmp_path: Path, path: str, expected: str | None
) -> None:
    """A path is absolute once loaded; null keeps nothing on disk."""
    (tmp_path / "kept").mkdir()

    config = load_text(f"store: {{path: {path}}}\n{SMALLEST}")

    assert config.store.path == (expected and expected.format(folder=tmp_path))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.groq.com/openai/v1",
        "http://localhost:11434/v1/",
        "http://10.0.0.1",
        "https://[2001:db8::1]:65535/v1",
        "http://host_name.internal:0",
    ],
)
def test_urls_of_servers_are_taken_as_written(load_text: Callable[..., Config], url: str) -> None:
    """Names, addresses, ports and paths all make a base URL."""
    config = load_text(f'models: {{mine: {{type: openai, base_url: "{url}", codes: [a]}}}}')

    assert config.models["mine"].base_url == url


def test_anchors_may_repeat_a_section(load_text: Callable[..., Config]) -> None:
    """YAML's aliases mean what they say."""
    config = load_text(
        """
        models:
          a: {type: openai, base_url: &url http://127.0.0.1/v1, codes: [a]}
          b: {type: openai, base_url: *url, codes: [b]}
        """
    )

    assert config.models["b"].base_url == "http://127.0.0.1/v1"


def test_a_byte_order_mark_is_no_part_of_the_file(write: Callable[[str], Path]) -> None:
    """Some editors write one."""
    path = write("")
    path.write_bytes(b"\xef\xbb\xbf" + SMALLEST.encode())

    assert load(path, {}).models["simulator"].codes == ("sim/echo",)


def test_the_configuration_that_comes_with_synapse_is_good(tmp_path: Path) -> None:
    """It loads, and offers the simulator, Gemini and OpenRouter."""
    shutil.copy(ROOT / "config.yaml", tmp_path)

    config = load(tmp_path / "config.yaml", {})

    assert {name: provider.codes for name, provider in config.models.items()} == {
        "simulator": ("sim/echo", "sim/lorem"),
        "gemini": ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"),
        "openrouter": ("z-ai/glm-4.5-air:free",),
    }
    assert config.server == ServerConfig()


def test_its_commented_lines_are_good_too(tmp_path: Path) -> None:
    """Who takes the comment signs away gets a working provider."""
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    head, sign, ollama = text.partition("  # ollama:")
    (tmp_path / "config.yaml").write_text(head + (sign + ollama).replace("  # ", "  "), encoding="utf-8")

    config = load(tmp_path / "config.yaml", {})

    assert config.models["ollama"] == OpenAIProvider(
        type="openai",
        base_url="http://localhost:11434/v1",
        api_keys_env="OLLAMA_API_KEYS",
        codes=("llama3.2", ModelConfig(code="small", model="qwen3:0.6b")),
    )


def test_a_loaded_configuration_cannot_be_changed(load_text: Callable[..., Config]) -> None:
    """What has been checked stays as it was."""
    config = load_text(SMALLEST)

    with pytest.raises(AttributeError):
        config.server.http_port = 1
    assert msgspec.structs.asdict(config.server)["http_port"] == 8080


def test_every_type_of_provider_has_its_keys() -> None:
    """A type that may be written has a struct that reads it."""
    assert set(PROVIDER_TYPES) == set(get_args(ProviderType))


def test_there_is_a_core_to_run_on() -> None:
    """Slots are counted on at least one core."""
    assert cpu_cores() >= 1
