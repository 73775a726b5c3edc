"""The layers: who may import whom. The contracts are in pyproject.toml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from importlinter.cli import lint_imports

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]


def test_imports_keep_to_the_layers(capsys: pytest.CaptureFixture[str]) -> None:
    """Every import contract is kept; the report says which import breaks one."""
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)

    report = capsys.readouterr().out
    assert status == 0, report
    assert "0 broken" in report
