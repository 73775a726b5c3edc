"""What one place of the configuration says of another has to be there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

GOOD = "models: {simulator: {codes: [sim/echo]}}\n"


def test_a_fallback_is_a_model_code_of_the_file_and_another_one(errors_of: Callable[..., list[str]]) -> None:
    """The error has the place, the nearest code and all there are."""
    text = """\
models:
  gemini:
    codes:
      - plain
      - code: fast
        fallbacks:
          - plain
          - plane
          - fast
  simulator: {codes: [{code: sim/echo, fallbacks: [o9]}]}
"""

    assert errors_of(text) == [
        (
            'config.yaml:8: models.gemini.codes[1].fallbacks[1]: got "plane", expected a model code of this file; '
            "did you mean plain? There are plain, fast, sim/echo"
        ),
        (
            'config.yaml:9: models.gemini.codes[1].fallbacks[2]: got "fast", expected another model code: '
            "no model is a fallback of itself"
        ),
        (
            'config.yaml:10: models.simulator.codes[0].fallbacks[0]: got "o9", expected a model code of this file; '
            "There are plain, fast, sim/echo"
        ),
    ]


def test_a_store_is_a_file_in_a_folder_that_is_there(errors_of: Callable[..., list[str]], tmp_path: Path) -> None:
    """The file itself is made when it is needed."""
    (tmp_path / "folder").mkdir()

    assert errors_of(f"{GOOD}store: {{path: none/a.db}}\n") == [
        "config.yaml:2: store.path: got a file in no folder (none/a.db), expected one in a folder that is there"
    ]
    assert errors_of(f"{GOOD}store:\n  path: folder\n") == [
        "config.yaml:3: store.path: got a folder (folder), expected a file, which need not be there yet"
    ]


def test_a_folder_in_the_place_of_the_usual_store_is_an_error_of_the_file(
    errors_of: Callable[..., list[str]], tmp_path: Path
) -> None:
    """What was left out has no line."""
    (tmp_path / "synapse.db").mkdir()

    assert errors_of(GOOD) == [
        "config.yaml: store.path: got a folder (synapse.db), expected a file, which need not be there yet"
    ]
