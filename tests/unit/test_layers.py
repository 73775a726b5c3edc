"""The layers: who may import whom. The contracts are in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"


def test_imports_keep_to_the_layers() -> None:
    """Every import contract is kept; the report says which import breaks one.

    In a process of its own, because import-linter silences the loggers of the one it runs in.
    """
    command = [sys.executable, "-c", LINT]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "0 broken" in checked.stdout
