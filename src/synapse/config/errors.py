"""What is raised when the configuration cannot be used."""

from __future__ import annotations


class ConfigError(Exception):
    """The configuration is wrong. The message is finished: one line for each error, saying where and what to do."""
