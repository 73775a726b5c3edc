"""Those who may send tasks, as the configuration names them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from synapse.config import CallerConfig, Config, ConfigError, known_callers
from synapse.domain.caller import Band, Caller

MODELS = "models: {simulator: {codes: [sim/echo, sim/lorem]}}\n"
DIGEST = hashlib.sha256(b"the key of app").hexdigest()
CALLER_KEYS = "name, key_env, sha256, weight, band, max_concurrency, models, admin"


def test_a_caller_has_a_key_or_its_digest_and_may_have_limits(load_text: Callable[..., Config]) -> None:
    """What is left out is what most callers want."""
    config = load_text(
        f"""
        server:
          callers:
            - {{name: app, sha256: "{DIGEST.upper()}"}}
            - name: nightly
              key_env: NIGHTLY_KEY
              weight: 0.5
              band: batch
              max_concurrency: 3
              models: [sim/lorem]
              admin: true
        {MODELS}""",
        {"NIGHTLY_KEY": "secret"},
    )

    assert config.server.callers == (
        CallerConfig(name="app", sha256=DIGEST.upper()),
        CallerConfig(
            name="nightly",
            key_env="NIGHTLY_KEY",
            weight=0.5,
            band=Band.BATCH,
            max_concurrency=3,
            models=("sim/lorem",),
            admin=True,
        ),
    )


def test_callers_are_known_by_the_digests_of_their_keys() -> None:
    """A key from the environment may have blanks around it, as files leave them."""
    callers = [
        CallerConfig(name="app", sha256=DIGEST.upper()),
        CallerConfig(
            name="nightly", key_env="KEY", weight=2, band=Band.BATCH, max_concurrency=3, models=("a", "b"), admin=True
        ),
    ]

    known = known_callers(callers, {"KEY": " secret\n"})

    assert known == {
        bytes.fromhex(DIGEST): Caller("app"),
        hashlib.sha256(b"secret").digest(): Caller(
            "nightly", weight=2, band=Band.BATCH, max_concurrency=3, models=frozenset("ab"), admin=True
        ),
    }


def test_a_key_may_stand_in_the_env_file(load_text: Callable[..., Config], write: Callable[[str], object]) -> None:
    """The `.env` beside the configuration is part of the environment."""
    path = write("")
    path.with_name(".env").write_text("APP_KEY=secret\n")  # type: ignore[attr-defined]

    config = load_text(f"server: {{callers: [{{name: app, key_env: APP_KEY}}]}}\n{MODELS}")

    assert config.server.callers[0].key_env == "APP_KEY"


@pytest.mark.parametrize("environ", [{}, {"APP_KEY": ""}, {"APP_KEY": " \n"}])
def test_a_key_that_is_not_there_stops_the_start(errors_of: Callable[..., list[str]], environ: dict[str, str]) -> None:
    """The error names the variable, and where the file does."""
    text = f"server:\n  callers:\n    - name: app\n      key_env: APP_KEY\n{MODELS}"

    assert errors_of(text, environ) == [
        (
            "config.yaml:4: server.callers[0].key_env: the variable APP_KEY is not set, or empty; "
            "it must have the key of 'app'"
        )
    ]
    with pytest.raises(ConfigError, match=r"^server\.callers: the variable APP_KEY is not set"):
        known_callers([CallerConfig(name="app", key_env="APP_KEY")], environ)


@pytest.mark.parametrize("key", ["two words", "'quoted'", '"quoted"', "schlüssel", "a\x00b"])
def test_a_key_that_no_header_can_carry_stops_the_start(errors_of: Callable[..., list[str]], key: str) -> None:
    """The error says which of its characters, and does not repeat it."""
    (error,) = errors_of(f"server: {{callers: [{{name: app, key_env: APP_KEY}}]}}\n{MODELS}", {"APP_KEY": key})

    assert error.startswith("config.yaml:1: server.callers[0].key_env: what APP_KEY has cannot be a key: its character")
    assert key not in error


@pytest.mark.parametrize(
    ("caller", "error"),
    [
        ("{name: a}", ": got neither of key_env and sha256, expected exactly one of them"),
        (
            f"{{name: a, key_env: KEY, sha256: {DIGEST}}}",
            ": got both of key_env and sha256, expected exactly one of them",
        ),
        (f"{{sha256: {DIGEST}}}", ".name: missing, expected text"),
        (f"{{name: a, sha256: {DIGEST}, weight: 0}}", ".weight: got 0, expected a number above 0"),
        (
            f"{{name: a, sha256: {DIGEST}, band: urgent}}",
            '.band: got "urgent", expected one of interactive, standard, batch',
        ),
        (f"{{name: a, sha256: {DIGEST}, admin: 1}}", ".admin: got 1, expected true or false"),
        (
            f"{{name: a, sha256: {DIGEST}, max_concurrency: 0}}",
            ".max_concurrency: got 0, expected an integer of at least 1",
        ),
        (
            f"{{name: a, sha256: {DIGEST}, models: [sim/ecko]}}",
            (
                '.models[0]: got "sim/ecko", expected a model code of this file; did you mean sim/echo? '
                "There are sim/echo, sim/lorem"
            ),
        ),
        (
            f"{{name: a, sha256: {DIGEST}, models: []}}",
            ".models: got an empty list, expected a list with at least one item: a model code (text without spaces)",
        ),
        (
            f"{{name: a, sha256: {DIGEST}, weigh: 2}}",
            f".weigh: unknown key; did you mean weight? Known here: {CALLER_KEYS}",
        ),
    ],
)
def test_a_bad_caller_says_what_is_wrong_with_it(errors_of: Callable[..., list[str]], caller: str, error: str) -> None:
    """By its place in the list."""
    assert errors_of(f"{MODELS}server: {{callers: [{caller}]}}\n", {"KEY": "secret"}) == [
        f"config.yaml:2: server.callers[0]{error}"
    ]


@pytest.mark.parametrize("field", ["key_env", "sha256"])
@pytest.mark.parametrize("key", ["my-own-secret", "4f" * 31])
def test_a_key_in_the_place_of_its_variable_or_digest_is_not_repeated(
    errors_of: Callable[..., list[str]], field: str, key: str
) -> None:
    """Whatever stands there may be the key itself, and errors end up in logs."""
    (error,) = errors_of(f"{MODELS}server: {{callers: [{{name: a, {field}: {key}}}]}}\n")

    assert error.startswith(f"config.yaml:2: server.callers[0].{field}: got something else, expected ")
    assert key not in error


def test_two_callers_share_neither_name_nor_key(errors_of: Callable[..., list[str]]) -> None:
    """Also where one has the key's variable and the other its digest."""
    text = f"""\
server:
  callers:
    - {{name: a, sha256: {DIGEST}}}
    - {{name: b, key_env: KEY}}
    - {{name: a, key_env: OTHER}}
{MODELS}"""

    assert errors_of(text, {"KEY": "the-key", "OTHER": "other"})[:1] == [
        'config.yaml:5: server.callers[2].name: got "a", expected a name of its own: server.callers[0] has it already'
    ]
    same = text.replace(DIGEST, hashlib.sha256(b"the-key").hexdigest()).replace("name: a, key_env", "name: c, key_env")
    assert errors_of(same, {"KEY": "the-key", "OTHER": "other"}) == [
        "config.yaml:4: server.callers[1].key_env: the same key as that of server.callers[0], expected a key of its own"
    ]


@pytest.mark.parametrize("callers", ["[]", "~", "{}"])
def test_a_list_of_callers_without_callers_is_refused(errors_of: Callable[..., list[str]], callers: str) -> None:
    """Who wants to let everybody in leaves the key out; an empty list may be a mistake that opens every door."""
    (error,) = errors_of(f"{MODELS}server: {{callers: {callers}}}\n")

    assert error.startswith("config.yaml:2: server.callers: got ")
    assert error.endswith(f"expected a list with at least one item: a mapping of {CALLER_KEYS}")
