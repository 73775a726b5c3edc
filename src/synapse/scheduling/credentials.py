"""Which credential carries the next request of a model."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.credential import Credential

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER = math.inf
"""The instant that does not come: a rest until then is for good."""


class Permit(msgspec.Struct, frozen=True, gc=False):
    """The right to send one request now."""

    credential: Credential | None
    """None where the provider wants no key."""


class Rest(msgspec.Struct, frozen=True):
    """A credential, or one model on a whole project, must be left alone for a while."""

    credential: Credential
    model: str | None
    """The provider's model that rests on all credentials of the project; None when the credential itself rests."""
    until: float
    """UTC seconds; `NEVER` for good."""
    reason: str


class CredentialPool:
    """The credentials of one provider and what is known of each.

    The least recently used one that does not rest goes next, so that all are used evenly. Instants are UTC seconds.
    """

    def __init__(self, provider: str, credentials: Iterable[Credential], *, variables: tuple[str, ...] = ()) -> None:
        """Take the provider's name, its keys, and the environment variables that keys come from (none: keyless)."""
        self.provider = provider
        self.variables = variables
        self._idle: OrderedDict[str, Credential] = OrderedDict((c.key, c) for c in credentials)
        """Least recently used first."""
        self._benched: dict[str, Rest] = {}
        """Rests of credentials, by key."""
        self._closed: dict[tuple[str, str], Rest] = {}
        """Rests of models, by (project, model)."""

    @property
    def keyless(self) -> bool:
        """Whether requests go without a credential."""
        return not self.variables and not self._idle

    def take(self, model: str, now: float) -> Permit | None:
        """Take the right to send one request of the model, or None when no credential may carry it now."""
        if self.keyless:
            return _KEYLESS
        for key, credential in self._idle.items():
            if self._rests_until(credential, model) <= now:
                self._idle.move_to_end(key)
                return Permit(credential)
        return None

    def opens_at(self, model: str) -> float:
        """Return when some credential may carry the model: an instant already past means now, `NEVER` means never."""
        if self.keyless:
            return 0.0
        if not self._benched and not self._closed:
            return 0.0 if self._idle else NEVER
        return min((self._rests_until(credential, model) for credential in self._idle.values()), default=NEVER)

    def rest(self, rest: Rest) -> bool:
        """Note a rest; return whether it is news, that is, longer than what was known."""
        known: float
        if rest.model is None:
            known = self._until(self._benched.get(rest.credential.key))
            self._benched[rest.credential.key] = rest if rest.until > known else self._benched[rest.credential.key]
        else:
            scope = (rest.credential.project, rest.model)
            known = self._until(self._closed.get(scope))
            self._closed[scope] = rest if rest.until > known else self._closed[scope]
        return rest.until > known

    def refusal(self, model: str) -> str:
        """Say why no credential will ever carry the model, and what to do about it."""
        where = " or ".join(self.variables)
        if not self._idle:
            return f"{self.provider} has no API key: set {where}"
        reasons = "; ".join(
            f"{credential.label}: {rest.reason}"
            for credential in self._idle.values()
            if (rest := self._resting(credential, model)) is not None
        )
        return f"{self.provider} accepts no key for {model} ({reasons}): set others in {where}"

    def _resting(self, credential: Credential, model: str) -> Rest | None:
        rests = (self._benched.get(credential.key), self._closed.get((credential.project, model)))
        return max((rest for rest in rests if rest is not None), key=self._until, default=None)

    def _rests_until(self, credential: Credential, model: str) -> float:
        if not self._benched and not self._closed:
            return 0.0
        return self._until(self._resting(credential, model))

    @staticmethod
    def _until(rest: Rest | None) -> float:
        return rest.until if rest is not None else 0.0


_KEYLESS = Permit(None)
