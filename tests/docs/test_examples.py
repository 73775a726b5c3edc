"""Every example of README and docs runs, and gives what the page shows right behind it.

`bash` and `python` blocks are run; `...` in what is shown stands for anything. `sh` blocks start servers, install, or
need what is not there: their commands are only looked up. `yaml` and `dotenv` blocks are loaded. A section that is a
walk is done as it says, from its first block to its last: there, what `sh` blocks start is what the others talk to.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import dotenv
import msgspec
import pytest
from command_line import options
from pages import BENCHMARKS, PAGES, ROOT, Block, blocks
from started import Addresses, serving, simulating

from synapse.config import environment, load
from synapse.providers.catalog import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = {"bash", "python", "sh", "yaml", "dotenv", "json", "text", "mermaid"}
OTHERS_PROGRAMS = {"cp", "curl", "docker", "grpcurl", "sqlite3", "ulimit"}
"""Programs in `sh` blocks that are not ours."""
WALKS = (
    ("README.md", "See it wait"),
    ("docs/api.md", "Keys of callers"),
    ("docs/scheduling.md", "What survives a restart"),
)
"""Sections that are walks: page and heading."""

_RUNNERS = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}


def _each(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [pytest.param(each, id=each.place) for each in blocks(*languages)])


@pytest.mark.parametrize(
    "block",
    [pytest.param(each, id=each.place) for each in blocks("bash", "python") if (each.page, each.heading) not in WALKS],
)
def test_an_example_runs_and_gives_what_is_shown(
    block: Block, addresses: Addresses, environ: dict[str, str], tmp_path: Path
) -> None:
    """It ends well, in a folder with the repository's configuration, against servers on other ports."""
    shutil.copy(ROOT / "config.yaml", tmp_path)

    _run(block, addresses, environ, tmp_path)


@pytest.mark.parametrize(("page", "heading"), WALKS, ids=lambda value: value)
def test_a_walk_can_be_followed(page: str, heading: str, environ: dict[str, str], tmp_path: Path) -> None:
    """Each of its commands does what is shown, after those before it; what it starts again is another process."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    addresses, parts = Addresses(), {name: ExitStack() for name in _STARTERS}
    steps = [block for block in blocks("sh", *_RUNNERS, page=page) if block.heading == heading]

    with parts["simulate"], parts["serve"]:
        for block in steps:
            if block.language != "sh":
                _run(block, addresses, environ, tmp_path)
            elif (name := _started(block)) is not None:
                parts[name].close()
                script = addresses.in_place(block.content.replace("\\\n", " "))
                found = parts[name].enter_context(_STARTERS[name](script, tmp_path, environ))
                addresses = msgspec.structs.replace(addresses, **found)


_STARTERS = {"simulate": simulating, "serve": serving}


def _started(block: Block) -> str | None:
    """Return which of these a block starts, alone; None for one that shows what other programs do."""
    (words,) = _commands(block.content)
    return words[1] if words[0] == "synapse" else None


def _run(block: Block, addresses: Addresses, environ: Mapping[str, str], folder: Path) -> None:
    """Run an example and compare what it prints with what is shown."""
    run = subprocess.run(  # noqa: S603 - what the repository's own pages say
        [*_RUNNERS[block.language], addresses.in_place(block.content)],
        cwd=folder,
        env={**environ, **addresses.variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    if block.shown is not None:
        expect_shown(block.shown, run.stdout)


@_each("yaml")
def test_a_configuration_loads(block: Block, tmp_path: Path) -> None:
    """It is valid as it stands, as a whole file."""
    file = tmp_path / "config.yaml"
    file.write_text(block.content)
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()

    keys = {name: f"key-of-{name.lower()}" for name in re.findall(r"key_env: (\w+)", block.content)}

    plans = resolve(load(file, keys), keys)

    assert all(plan.models for plan in plans)


@_each("dotenv")
def test_an_environment_file_gives_keys(block: Block, tmp_path: Path) -> None:
    """Every variable in it is one that the repository's configuration reads, and has keys in it."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    file = tmp_path / ".env"
    file.write_text(block.content)

    config = tmp_path / "config.yaml"
    plans = resolve(load(config, {}), environment(config, {}))

    for variable in dotenv.dotenv_values(file):
        assert any(variable in plan.key_variables and plan.credentials for plan in plans), variable


@_each("sh")
def test_a_command_that_is_not_run_can_be(block: Block) -> None:
    """Its program is there, or is not ours; our own has the options that it is called with."""
    for words in _commands(block.content):
        program = words[0]
        if program == "synapse":
            used = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
            assert used <= options(words[1]), words
        elif program.startswith("./"):
            assert os.access(ROOT / program, os.X_OK), program
        else:
            assert program in OTHERS_PROGRAMS, words
        if program == "cp":
            assert (ROOT / words[1]).is_file(), words


def _commands(script: str) -> list[list[str]]:
    lines = script.replace("\\\n", " ").splitlines()
    commands = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
    for words in commands:
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
    return [words for words in commands if words]


def test_every_page_has_examples_in_known_languages() -> None:
    """No block escapes its test by a language that nobody knows, and no page has lost its examples."""
    assert {block.language for block in blocks()} <= LANGUAGES
    assert {block.page for block in blocks("bash", "python")} == set(PAGES) - {BENCHMARKS, "docs/design.md"}
    assert set(WALKS) <= {(block.page, block.heading) for block in blocks("sh")}


def test_the_first_screen_is_enough_to_start() -> None:
    """Within 60 lines the README says how to start, and shows the models, an answer and a stream."""
    first = [block.content for block in blocks("sh", "bash", page="README.md") if block.line < 60]

    assert first[0] == "./start.sh\n"
    assert first[1] == "curl localhost:8080/models\n"
    assert "localhost:8080/generate" in first[2]
    assert '"stream": true' in first[3]


def expect_shown(shown: str, output: str) -> None:
    """Raise AssertionError unless the output is what is shown, where `...` stands for anything.

    JSON may be shown over several lines; spaces at the ends of lines do not count.
    """
    try:
        wanted, got = (json.dumps(json.loads(text), indent=1) for text in (shown, output))
    except ValueError:
        wanted, got = ("\n".join(map(str.rstrip, text.strip("\n").splitlines())) for text in (shown, output))
    pattern = ".*".join(map(re.escape, wanted.split("...")))
    assert re.fullmatch(pattern, got, re.DOTALL), f"the page shows\n{wanted}\n\nwhat came is\n{got}"


@pytest.mark.parametrize(
    ("shown", "output"),
    [
        ("one\n...\nfour\n", "one\ntwo\n"),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": 1}', '{"a": "1"}'),
        ("sim/echo", "sim/echo\nsim/lorem"),
    ],
)
def test_other_output_than_shown_is_noticed(shown: str, output: str) -> None:
    """What is missing, added or of another type fails an example."""
    with pytest.raises(AssertionError, match="the page shows"):
        expect_shown(shown, output)
