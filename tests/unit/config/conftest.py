"""A configuration file to write and load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from synapse.config import Config, ConfigError, load

Write = Callable[[str], Path]
Load = Callable[..., Config]
Errors = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the text to a configuration file and give its path."""

    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def load_text(write: Write) -> Load:
    """Load a configuration from its text, with some environment."""

    def load_text(text: str, environ: Mapping[str, str] | None = None) -> Config:
        return load(write(text), environ or {})

    return load_text


@pytest.fixture
def errors_of(write: Write) -> Errors:
    """Give the errors of a bad configuration, a line each, with the file's folder left out."""

    def errors_of(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        path = write(text)
        with pytest.raises(ConfigError) as caught:
            load(path, environ or {})
        return str(caught.value).replace(f"{path.parent}/", "").splitlines()

    return errors_of
