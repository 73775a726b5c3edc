"""Decides how a request for text is answered: thinking only, no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.delivery import AT_ONCE, Ending, Plan
from synapse.simulator.dialects.base import Ask, Dialect, Form, Generate, Refusal, Reply, Request, Stream
from synapse.simulator.faults import Dice, FaultKind, Roll
from synapse.simulator.quota import Quotas
from synapse.simulator.text import Writer

if TYPE_CHECKING:
    from synapse.simulator.options import Options
    from synapse.simulator.replay.library import Library

_OK = 200
_TOO_MANY_REQUESTS = 429
_STATUSES = (FaultKind.RATE_LIMITED, FaultKind.INTERNAL, FaultKind.UNAVAILABLE)
_ENDINGS = {FaultKind.CUT: Ending.CUT, FaultKind.STALL: Ending.STALL, FaultKind.MALFORMED: Ending.BROKEN}
_SLOWNESS = 10
_SLOW_LATENCY = 1.0
_SLOW_INTERVAL = 0.1


class Decision(msgspec.Struct, frozen=True):
    """An answer, and how it is sent."""

    answer: Reply | Stream
    key: str
    """Empty where there was none that is valid."""
    model: str
    """Empty where the request could not be read."""
    plan: Plan = AT_ONCE
    tokens: int = 1
    """How many tokens the answer is long."""

    @property
    def rate_limited(self) -> bool:
        """Whether the answer is a 429."""
        return isinstance(self.answer, Reply) and self.answer.status == _TOO_MANY_REQUESTS


class Mind:
    """All that answers depend on besides the request: quotas used, dice thrown, texts written."""

    def __init__(self, options: Options, library: Library | None) -> None:
        """Begin with nothing used. With a library, answers come from its recordings."""
        self._options = options
        self._library = library
        self._quotas = Quotas(options.limits, options.window)
        self._dice = Dice(options.faults, options.seed)
        self._writer = Writer(options.seed, options.tokens)
        self._plan = Plan(options.latency, options.interval, options.coalesce)

    def decide(self, dialect: Dialect, target: Generate, request: Request, body: bytes, now: float) -> Decision:
        """Decide about a request that came now."""
        key = ""
        try:
            key = dialect.key(request, target)
            ask = dialect.read(request, target, body)
        except Refusal as refusal:
            return Decision(refusal.reply, key, target.model)
        project = self._options.projects.get(key, key)
        broken, standing = self._quotas.admit(project, ask.model, ask.input_tokens, dialect.ZONE, now)
        if broken:
            return Decision(dialect.over_quota(ask, broken, standing, now), key, ask.model)
        roll = self._dice.roll()
        if roll is not None and roll.kind in _STATUSES:
            return Decision(dialect.fault(ask, roll.kind), key, ask.model)
        answer, tokens = self._answer(dialect, target, ask, body, now)
        if isinstance(answer, Reply) and answer.status != _OK:
            return Decision(answer, key, ask.model)
        answer.headers += dialect.allowance(standing)
        return Decision(answer, key, ask.model, self._planned(dialect, ask, roll), tokens)

    def _answer(
        self, dialect: Dialect, target: Generate, ask: Ask, body: bytes, now: float
    ) -> tuple[Reply | Stream, int]:
        if self._library is not None:
            return self._library.answer(dialect, target, ask, body), 1
        answer = self._writer.answer(ask, now)
        shape = dialect.reply if ask.form is Form.PLAIN else dialect.stream
        return shape(ask, answer), answer.length

    def _planned(self, dialect: Dialect, ask: Ask, roll: Roll | None) -> Plan:
        plan = self._plan
        if roll is None:
            return plan
        if roll.kind is FaultKind.SLOW:
            latency = max(plan.latency * _SLOWNESS, _SLOW_LATENCY)
            return Plan(latency, max(plan.interval * _SLOWNESS, _SLOW_INTERVAL), plan.coalesce)
        ending = _ENDINGS[roll.kind]
        return Plan(plan.latency, plan.interval, plan.coalesce, ending, roll.share, dialect.broken(ask.form))
