"""API keys as people write them into a variable."""

from __future__ import annotations

import hashlib
import re

from synapse.domain.credential import Credential

_BETWEEN = re.compile(r"[, \t\r\n]+")
_NEVER_IN_A_KEY = re.compile(r"[^!-~]|[\"']")
"""Quotes are printable, but come from files whose reader does not take them off."""


def parse_keys(text: str) -> tuple[Credential, ...]:
    """Read keys that commas, spaces or line ends part; `name=KEY` puts a key into the project of that name.

    A key without a name is a project of its own. A key that stands there twice counts once, as it stands first.
    Raises ValueError, which names the key's position but never the key.
    """
    entries = [entry for entry in _BETWEEN.split(text) if entry]
    found: dict[str, Credential] = {}
    for position, entry in enumerate(entries, start=1):
        credential = _credential(entry, f"key {position} of {len(entries)}")
        found.setdefault(credential.key, credential)
    return tuple(found.values())


def _credential(entry: str, where: str) -> Credential:
    wrong = _NEVER_IN_A_KEY.search(entry)
    if wrong:
        character = f"its character {wrong.start() + 1} (U+{ord(wrong[0]):04X})"
        raise ValueError(f"{where} cannot be one: {character} stands in no key; copy it again, without quotes")
    project, _, key = entry.partition("=")
    if not key.strip("="):  # an equals sign at the end is padding: it belongs to the key
        return _unnamed(entry, where)
    if not project:
        raise ValueError(f"{where} has no name before its '='; write name=KEY, or the key alone")
    return Credential(project, key)


def _unnamed(key: str, where: str) -> Credential:
    if not key.strip("="):
        raise ValueError(f"{where} is empty; write name=KEY, or the key alone")
    # The project's name shows up in places that a key must not; it stays the same wherever in the list the key stands.
    return Credential(f"key-{hashlib.sha256(key.encode()).hexdigest()[:12]}", key)
