"""Who calls, told by the key that comes along."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from synapse.domain.caller import ANONYMOUS, Caller
from synapse.domain.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEME = "bearer "


class Callers:
    """Those who may call. Where there are none, everybody may, and nobody is told apart."""

    def __init__(self, known: Mapping[bytes, Caller]) -> None:
        """Take the callers by the SHA-256 digests of their keys."""
        self._known = tuple(known.items())

    @property
    def told_apart(self) -> bool:
        """Whether a key is needed; where it is not, nobody need look for one."""
        return bool(self._known)

    def identify(self, presented: str | None) -> Caller:
        """Return whose key this is. Raises `Unauthenticated`, which never has the key."""
        if not self._known:
            return ANONYMOUS
        if not presented:
            raise Unauthenticated(
                "no key came along, and this server answers only callers it knows: "
                "send a header `Authorization: Bearer KEY` with yours"
            )
        digest = hashlib.sha256(presented.encode()).digest()
        found = None
        for known, caller in self._known:  # all of them, so that the time it takes tells nothing
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise Unauthenticated(
                "the key that came along is that of no caller of this server: check which one you sent"
            )
        return found


EVERYBODY = Callers({})
"""Where no callers are configured."""


def bearer(authorization: str) -> str | None:
    """Return the key of an `Authorization` header's value; None where it has another scheme."""
    scheme, key = authorization[: len(_SCHEME)], authorization[len(_SCHEME) :]
    return key.strip() if scheme.lower() == _SCHEME else None
