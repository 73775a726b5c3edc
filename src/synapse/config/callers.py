"""Those who may send tasks, as the configuration names them, by the digests of their keys."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from synapse.config.errors import ConfigError
from synapse.domain.caller import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.config.schema import CallerConfig

_NEVER_IN_A_KEY = re.compile(r"[^!-~]|[\"']")
"""Quotes are printable, but come from files whose reader does not take them off."""


def known_callers(callers: Sequence[CallerConfig], environ: Mapping[str, str]) -> dict[bytes, Caller]:
    """Give the callers by the SHA-256 digests of their keys.

    Raises ConfigError where a key is not there, or no key; a configuration that has been loaded with this environment
    raises nothing.
    """
    try:
        return {digest_of(caller, environ): _caller(caller) for caller in callers}
    except ValueError as exc:
        raise ConfigError(f"server.callers: {exc}") from exc


def digest_of(caller: CallerConfig, environ: Mapping[str, str]) -> bytes:
    """Give the digest of a caller's key. Raises ValueError, which never has the key, where there is none."""
    if caller.sha256 is not None:
        return bytes.fromhex(caller.sha256)
    variable = caller.key_env or ""
    key = environ.get(variable, "").strip()
    if not key:
        raise ValueError(f"the variable {variable} is not set, or empty; it must have the key of {caller.name!r}")
    wrong = _NEVER_IN_A_KEY.search(key)
    if wrong:
        character = f"its character {wrong.start() + 1} (U+{ord(wrong[0]):04X})"
        raise ValueError(f"what {variable} has cannot be a key: {character} stands in none; write it without quotes")
    return hashlib.sha256(key.encode()).digest()


def _caller(caller: CallerConfig) -> Caller:
    return Caller(
        caller.name,
        weight=caller.weight,
        band=caller.band,
        max_concurrency=caller.max_concurrency,
        models=frozenset(caller.models) or None,
        admin=caller.admin,
    )
