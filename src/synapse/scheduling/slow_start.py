"""How fast to go where nobody has said how fast one may."""

from __future__ import annotations

import math
from collections import deque

import msgspec

ANSWER = 1e300
"""The instant when one of the requests on their way is answered: later than any that is known, sooner than never."""
REFUSED_WITHIN = 0.1
"""Seconds; who is refused hears it within these: nothing is generated for a refusal."""
_SOONEST = 0.03
_SOONER = 8
"""How much sooner than an answer a refusal comes, where answers take their time."""
PROBED_WITHIN = 1.0
"""The same, where it must be certain."""
ACCEPTED_WITHIN = 2.0
"""Seconds of silence that show that a request is being answered: answers can take minutes."""
FEW = 2
"""Requests that may be found too many at once while little is known."""
_PART = 8
"""Where more have been accepted, one in so many may be found too many. Waves come as often within an answer's time, so
that this does not keep requests in flight from doubling."""
ENOUGH = 1024
"""Requests accepted in a row that prove that there is nothing to be careful of."""


class Step(msgspec.Struct, gc=False):
    """One request that was sent while nothing was certain."""

    sent_at: float
    epoch: int
    done: bool = False
    """It has been answered, or it is known that it will be."""
    fresh: bool = True
    """It has not been answered, and is too young for its silence to tell anything."""


class SlowStart:
    """Lets a (project, model) whose limits are unknown find them at the cost of few refusals.

    Two rules. Unanswered are at most as many requests as have been answered, and one: they double with each round trip,
    like TCP's window (RFC 5681). One that has begun to be answered, or is silent for long, counts as answered. And of
    those that go beyond what has ever been accepted within a window, only a few may be so young that their refusal
    could still be on its way: a limit is overstepped by no more than these.
    """

    __slots__ = (
        "_cautious",
        "_epoch",
        "_fastest",
        "_fresh",
        "_out",
        "_proven",
        "_resume",
        "_steps",
        "_waiting",
        "over",
        "safe",
    )

    def __init__(self, *, over: bool = False) -> None:
        """Begin with one request, or with no care at all."""
        self.over = over
        self.safe = 0
        """Requests of one window that are known to be accepted."""
        self._cautious = False
        self._fastest = math.inf
        """Seconds of the quickest answer so far."""
        self._epoch = 0
        self._proven = 0
        self._resume = 0
        self._out = 0
        """Sent in this epoch and not answered."""
        self._fresh = 0
        self._steps: deque[Step] = deque()
        """The fresh ones, and some that are no longer."""
        self._waiting: deque[Step] = deque()
        """Those that are not done, and some that are."""

    @property
    def limit(self) -> int | None:
        """What a window seems to hold, where a refusal has shown that it holds no more."""
        return self.safe if self._cautious and not self.over else None

    @property
    def awaits_answer(self) -> bool:
        """Whether the next request waits for an answer to one of those before it."""
        return not self.over and self._out > self._proven

    def opens_at(self, used: int, now: float) -> float:
        """Return when one more may be sent on top of those used of this window, if no answer lets it go sooner."""
        self._age(now)
        while self._waiting and (self._waiting[0].done or self._waiting[0].sent_at + ACCEPTED_WITHIN <= now):
            self._accept(self._waiting.popleft(), used)
        if self._out > self._proven:
            return self._waiting[0].sent_at + ACCEPTED_WITHIN
        if used < self.safe or self._fresh < self._wave():
            return -math.inf
        return next(step.sent_at for step in self._steps if step.fresh) + self._patience

    def sent(self, now: float) -> Step:
        """Note a request."""
        step = Step(now, self._epoch)
        self._steps.append(step)
        self._waiting.append(step)
        self._out += 1
        self._fresh += 1
        return step

    def answered(self, step: Step, used: int, now: float, *, accepted: bool) -> None:
        """Note its answer, or that one has begun; `used` is what the window holds without refused ones."""
        if step.fresh:
            step.fresh = False
            self._fresh -= 1
        if accepted and not step.done:
            self._fastest = min(self._fastest, now - step.sent_at)
            self._accept(step, used)
        elif not step.done:
            step.done = True
            self._out -= step.epoch == self._epoch

    def _accept(self, step: Step, used: int) -> None:
        """Count a request as accepted, if it is of this epoch and does not count yet."""
        if step.done or step.epoch != self._epoch:
            return
        step.done = True
        self._out -= 1
        self.safe = max(self.safe, used - self._out)
        self._proven = max(self._proven + 1, self._resume)
        self._resume = 0
        self.over = self._proven >= ENOUGH and not self._cautious

    def refused(self, used: int) -> None:
        """Note that a window was full, without having been told its size: what was accepted is what may be."""
        self.over = False
        self._cautious = True
        self.safe = max(1, used - self._out)

    def restart(self, running: int) -> None:
        """Begin anew with one probe, after a refusal that explains nothing; then go on at half the pace."""
        self.over = False
        self._epoch += 1
        self._waiting.clear()
        self._proven = self._out = 0
        self._resume = running // 2

    def _wave(self) -> int:
        if self._cautious:
            return 1
        return max(min(self._proven + 1, FEW), self._proven // _PART)

    @property
    def _patience(self) -> float:
        if self._cautious:
            return PROBED_WITHIN
        if not REFUSED_WITHIN <= self._fastest < math.inf:
            return REFUSED_WITHIN
        return min(REFUSED_WITHIN, max(_SOONEST, self._fastest / _SOONER))

    def _age(self, now: float) -> None:
        steps, patience = self._steps, self._patience
        while steps and (not steps[0].fresh or steps[0].sent_at + patience <= now):
            step = steps.popleft()
            if step.fresh:
                step.fresh = False
                self._fresh -= 1
