"""What the command line says of itself."""

from __future__ import annotations

import contextlib
import functools
import io
import re

from synapse import cli

COMMANDS = [name.replace("_", "-") for name in cli.COMMANDS]


@functools.cache
def options(command: str | None = None) -> frozenset[str]:
    """Return the options that a command's help lists, or that of `synapse` itself. Raises AssertionError for none."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = cli.main([command, "--help"] if command else ["--help"])
    assert code == 0, f"there is no command {command}"
    lines = re.findall(r"^  (-.*?)(?:   *\S.*)?$", output.getvalue(), re.MULTILINE)
    return frozenset(option for line in lines for option in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line))
