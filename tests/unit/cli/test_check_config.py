"""`synapse check-config`: what would run."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from synapse.cli.report import CallerReport, report
from synapse.config import (
    CallerConfig,
    Config,
    HostedProvider,
    LimitsConfig,
    ModelConfig,
    OpenAIProvider,
    ServerConfig,
    SimulatorProvider,
    WorkerConfig,
)
from synapse.domain.caller import Band
from synapse.providers.catalog import resolve

Run = Callable[..., subprocess.CompletedProcess[str]]
CONFIG = """
server: {http_port: 0}
models:
  simulator: {codes: [sim/echo]}
  gemini: {codes: [{code: fast, model: gemini-2.5-flash}, gemini-2.5-pro]}
  openrouter: {codes: ["z-ai/glm-4.5-air:free"]}
  ollama: {type: openai, base_url: "http://localhost:11434/v1", codes: ["[odd]:smile:"]}
"""


@pytest.fixture
def _config(tmp_path: Path) -> None:
    """A configuration in the folder where the command runs."""
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")


def test_a_report_has_ports_slots_keys_and_what_lacks_them() -> None:
    """Keys only by their last characters."""
    config = Config(
        server=ServerConfig(host="::1", grpc_port=1, http_port=2),
        worker=WorkerConfig(concurrency_multiplier=3),
        models={
            "gemini": HostedProvider(type="gemini", codes=("a",)),
            "openrouter": HostedProvider(type="openrouter", codes=("b", ModelConfig(code="c", model="d"))),
            "local": OpenAIProvider(type="openai", base_url="http://x", codes=("e",)),
            "simulator": SimulatorProvider(type="simulator", codes=("f",)),
        },
    )
    environ = {"GENAI_API_KEYS": "x=0123456789abcdef,short", "HTTPS_PROXY": "http://u:pw@proxy:1"}

    made = report("c.yaml", config, resolve(config, environ), environ, cores=4)

    assert (made.config, made.host, made.grpc_port, made.http_port, made.tls) == ("c.yaml", "::1", 1, 2, False)
    assert (made.cores, made.slots) == (4, 12)
    assert [(row.name, row.keys, row.needs_key, row.proxy) for row in made.providers] == [
        ("gemini", ("…cdef", "…"), True, "http://…@proxy:1"),
        ("openrouter", (), True, "http://…@proxy:1"),
        ("local", (), False, None),
        ("simulator", (), False, None),
    ]
    assert made.providers[1].models == {"b": "b", "c": "d"}
    assert made.models_without_key == dict.fromkeys("bc", ("OPENROUTER_API_KEYS", "OPENROUTER_API_KEY"))


def test_a_report_has_limits_fallbacks_and_callers() -> None:
    """By model code, only what is said; of a caller's key the variable alone."""
    codes = (ModelConfig(code="fast", model="m", limits=LimitsConfig(rpm=15), fallbacks=("slow",)), "slow")
    config = Config(
        server=ServerConfig(
            callers=(
                CallerConfig(name="app", key_env="APP_KEY", models=("fast",)),
                CallerConfig(name="ops", sha256="0" * 64, band=Band.BATCH, weight=2, max_concurrency=3, admin=True),
            )
        ),
        models={
            "gemini": HostedProvider(type="gemini", limits=LimitsConfig(tpm=9), codes=codes),
            "simulator": SimulatorProvider(type="simulator", codes=("sim",)),
        },
    )

    made = report("c.yaml", config, resolve(config, {}), {}, cores=4)

    assert [row.limits for row in made.providers] == [{"fast": {"rpm": 15, "tpm": 9}, "slow": {"tpm": 9}}, {}]
    assert [row.fallbacks for row in made.providers] == [{"fast": ("slow",)}, {}]
    assert made.callers == (
        CallerReport("app", "APP_KEY", 1, "interactive", None, ("fast",), admin=False),
        CallerReport("ops", None, 2, "batch", 3, ("fast", "slow", "sim"), admin=True),
    )


def test_people_read_limits_fallbacks_and_callers(synapse: Run, tmp_path: Path) -> None:
    """Beside the models, and below them; never a key, nor the digest of one."""
    digest = "0123456789abcdef" * 4
    callers = f"[{{name: app, key_env: APP_KEY, weight: 3}}, {{name: '[red]ops', sha256: '{digest}', admin: true}}]"
    (tmp_path / "config.yaml").write_text(f"""
server: {{callers: {callers}}}
models:
  simulator: {{limits: {{rpm: 5}}, codes: [{{code: fast, model: sim/echo, fallbacks: [sim/lorem]}}, sim/lorem]}}
""")

    result = synapse("check-config", APP_KEY="very-secret")

    assert (result.returncode, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip()]
    assert lines[3:] == [
        "provider address keys models",
        "simulator built in not needed fast = sim/echo (rpm 5), else sim/lorem",
        "sim/lorem (rpm 5)",
        "It answers only these callers, by their keys:",
        "caller key band weight at once models admin",
        "app APP_KEY interactive 3 any fast",
        "sim/lorem",
        "[red]ops sha256 interactive 1 any fast yes",
        "sim/lorem",
    ]
    everything = result.stdout + synapse("check-config", "--json", APP_KEY="very-secret").stdout
    assert "very-secret" not in everything
    assert digest not in everything


@pytest.mark.usefixtures("_config")
def test_people_get_a_table(synapse: Run) -> None:
    """Without colours where there is no terminal, and with every model and missing variable."""
    result = synapse("check-config", GENAI_API_KEYS="0123456789abcdef")

    assert (result.returncode, result.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("config.yaml is valid. `synapse serve` runs up to ")
    assert lines[1:] == [
        "HTTP http://127.0.0.1:(any free port)",
        "gRPC 127.0.0.1:50051",
        "provider address keys models",
        "simulator built in not needed sim/echo",
        "gemini https://generativelanguage.googleapis.com 1: …cdef fast = gemini-2.5-flash",
        "gemini-2.5-pro",
        "openrouter https://openrouter.ai/api/v1 none z-ai/glm-4.5-air:free",
        "ollama http://localhost:11434/v1 not needed [odd]:smile:",
        "openrouter has no key, so its models answer with an error: set OPENROUTER_API_KEYS or OPENROUTER_API_KEY",
    ]
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("_config")
def test_machines_get_json(synapse: Run, tmp_path: Path) -> None:
    """The configuration can stand anywhere; `.env` and overrides count."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "config.yaml").rename(tmp_path / "sub/other.yaml")
    (tmp_path / "sub/.env").write_text("OPENROUTER_API_KEY=0123456789abcdef\n")

    result = synapse("check-config", "--json", "--config", "sub/other.yaml", SYNAPSE_WORKER__CONCURRENCY_MULTIPLIER="1")

    answer = json.loads(result.stdout)
    assert (result.returncode, result.stderr) == (0, "")
    assert answer["config"] == "sub/other.yaml"
    assert answer["slots"] == answer["cores"]
    assert answer["models_without_key"] == {"fast": ["GENAI_API_KEYS"], "gemini-2.5-pro": ["GENAI_API_KEYS"]}
    assert {row["name"]: row["keys"] for row in answer["providers"]}["openrouter"] == ["…cdef"]


@pytest.mark.usefixtures("_config")
def test_a_bad_key_or_proxy_is_an_error_too(synapse: Run) -> None:
    """All that would stop the start is found beforehand."""
    key = synapse("check-config", "--json", GENAI_API_KEYS='"quoted"')
    proxy = synapse("check-config", HTTPS_PROXY="socks5://a:1")

    assert (key.returncode, key.stdout) == (2, "")
    assert key.stderr.startswith("synapse: GENAI_API_KEYS: key 1 of 1 cannot be one")
    assert (proxy.returncode, proxy.stdout) == (2, "")
    assert proxy.stderr.startswith("synapse: HTTPS_PROXY: not the address of an HTTP proxy")


@pytest.mark.usefixtures("_config")
@pytest.mark.parametrize(("environ", "yellow"), [({}, b"\x1b[33m"), ({"NO_COLOR": "1"}, b"")])
def test_a_terminal_has_colours_unless_they_are_unwanted(
    tmp_path: Path, environ: dict[str, str], yellow: bytes
) -> None:
    """NO_COLOR is heard."""
    leader, follower = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "synapse", "check-config"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", **environ},
        stdout=follower,
        check=True,
        timeout=30,
    )
    output = os.read(leader, 65536)
    os.close(follower)
    os.close(leader)

    assert yellow + b"openrouter has no key" in output.replace(b"\r\n", b"")
    assert (b"\x1b[3" in output) is bool(yellow)
