"""A provider's API key."""

from __future__ import annotations

import msgspec

_SHORT = 8
"""Characters; of a key no longer than this, four would be half of it."""


class Credential(msgspec.Struct, frozen=True):
    """One key of a provider."""

    project: str
    """Credentials of one project share its quota."""
    key: str
    """The secret itself; only a wire's `encode` may read it."""

    @property
    def label(self) -> str:
        """How logs and people name it: the last four characters, or nothing of a key too short to hide the rest."""
        return f"…{self.key[-4:]}" if len(self.key) > _SHORT else "…"

    def __repr__(self) -> str:
        """Never show the key."""
        return f"Credential({self.label})"
