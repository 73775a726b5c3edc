"""Leaves a model alone that fails and fails."""

from __future__ import annotations

from synapse.scheduling.slow_start import ANSWER

THRESHOLD = 5
"""Failures in a row that open the circuit."""
SHORTEST = 5.0
"""Seconds of the first pause; each failed probe doubles it."""
LONGEST = 120.0


class Breaker:
    """The circuit of one (provider, model): closed while it works, open while it is left alone, then one probe.

    After M. Nygard, "Release It!". Instants are UTC seconds.
    """

    __slots__ = ("_failures", "_opened_until", "_pause", "_probing", "reason")

    def __init__(self) -> None:
        """Begin closed."""
        self._failures = 0
        self._pause = 0.0
        self._opened_until = 0.0
        self._probing = False
        self.reason = ""
        """What the last failure was, while it is not closed."""

    @property
    def closed(self) -> bool:
        """Whether all requests may pass."""
        return not self._pause

    def opens_at(self) -> float:
        """Return when a request may pass: an instant past is now, `ANSWER` when the probe is answered."""
        if not self._pause:
            return 0.0
        return ANSWER if self._probing else self._opened_until

    def sent(self) -> bool:
        """Note a request that passed; return whether it is the probe."""
        if not self._pause:
            return False
        self._probing = True
        return True

    def worked(self) -> bool:
        """Note a request that was answered; return whether that closed the circuit."""
        self._failures = 0
        news = bool(self._pause)
        self._pause = 0.0
        self._probing = False
        return news

    def failed(self, now: float, reason: str, *, probe: bool) -> bool:
        """Note a request that failed; return whether that opened the circuit, or left it open for longer."""
        self._failures += 1
        if self._pause:
            if not probe:
                return False  # sent before it opened
        elif self._failures < THRESHOLD:
            return False
        self._probing = False
        self._pause = min(LONGEST, self._pause * 2.0) if self._pause else SHORTEST
        self._opened_until = now + self._pause
        self.reason = reason
        return True

    def given_up(self, *, probe: bool) -> None:
        """Note a request that ended without telling anything."""
        if probe:
            self._probing = False
