"""Decides how a request for text, or for vectors, is answered: thinking only, no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.accounts import Account, Accounts, Admission
from synapse.simulator.delivery import AT_ONCE, Ending, Plan
from synapse.simulator.dialects.base import Ask, Dialect, Form, Generate, Refusal, Reply, Request, Stream, Target
from synapse.simulator.faults import Dice, FaultKind, Roll
from synapse.simulator.options import Bodies
from synapse.simulator.quota import Standing
from synapse.simulator.text import Writer

if TYPE_CHECKING:
    from synapse.simulator.options import Options
    from synapse.simulator.replay.library import Library

_OK = 200
_TOO_MANY_REQUESTS = 429
_INVALID = "invalid"
_STATUSES = (FaultKind.RATE_LIMITED, FaultKind.INTERNAL, FaultKind.UNAVAILABLE)
_ENDINGS = {FaultKind.CUT: Ending.CUT, FaultKind.STALL: Ending.STALL, FaultKind.MALFORMED: Ending.BROKEN}
_SLOWNESS = 10
_SLOW_LATENCY = 1.0
_SLOW_INTERVAL = 0.1


class Decision(msgspec.Struct, frozen=True):
    """An answer, and how it is sent."""

    answer: Reply | Stream
    key: str
    """Empty where there was none."""
    model: str
    """Empty where the request could not be read."""
    plan: Plan = AT_ONCE
    tokens: int = 1
    """How many tokens the answer is long."""
    over_quota: bool = False
    """Whether it is refused for a quota."""
    fault: FaultKind | None = None
    """What goes wrong with it on purpose."""
    account: Account | None = None
    """What to leave when the answer has ended."""

    @property
    def rate_limited(self) -> bool:
        """Whether the answer is a 429."""
        return isinstance(self.answer, Reply) and self.answer.status == _TOO_MANY_REQUESTS


class Mind:
    """All that answers depend on besides the request: quotas used, dice thrown, texts written."""

    def __init__(self, options: Options, library: Library | None, now: float) -> None:
        """Begin now, with nothing used. With a library, answers come from its recordings."""
        self._options = options
        self._library = library
        self.accounts = Accounts(options, now)
        self._dice = Dice(options.faults, options.seed)
        self._writer = Writer(options.seed, options.tokens)
        self._plan = Plan(options.latency, options.interval, options.coalesce)

    def decide(self, dialect: Dialect, target: Generate, request: Request, body: bytes, now: float) -> Decision:
        """Decide about a request that came now."""
        key = dialect.key(request) or ""
        try:
            self.check_key(dialect, request, target)
            ask = dialect.read(request, target, body)
        except Refusal as refusal:
            return Decision(refusal.reply, key, target.model)
        span = dialect.span(ask.model)
        admission = self.accounts.admit(key, ask.model, span, tokens=ask.input_tokens, zone=dialect.ZONE, now=now)
        if admission.violations:
            return Decision(self._refuse(dialect, ask, admission, now), key, ask.model, over_quota=True)
        roll = self._dice.roll()
        kind = None if roll is None else roll.kind
        if kind in _STATUSES:
            return Decision(dialect.fault(ask, kind), key, ask.model, fault=kind, account=admission.account)
        answer, tokens = self._answer(dialect, target, ask, body, now)
        if isinstance(answer, Reply) and answer.status != _OK:
            return Decision(answer, key, ask.model, account=admission.account)
        answer.headers += dialect.allowance(self._told(admission.standing), now)
        plan = self._planned(dialect, ask, roll)
        return Decision(answer, key, ask.model, plan, tokens, fault=kind, account=admission.account)

    def check_key(self, dialect: Dialect, request: Request, target: Target) -> None:
        """Raise `Refusal` where a request has no key, or one that is invalid."""
        key = dialect.key(request)
        if not key or key.startswith(_INVALID) or key in self._options.dead:
            raise Refusal(dialect.refuse(target, key))

    def _refuse(self, dialect: Dialect, ask: Ask, admission: Admission, now: float) -> Reply:
        """Give the 429 of a quota, telling as much of it as is asked for."""
        broken = admission.violations
        match self._options.bodies:
            case Bodies.BARE:
                return dialect.fault(ask, FaultKind.RATE_LIMITED)
            case Bodies.NO_VALUE:
                broken = tuple(msgspec.structs.replace(violation, limit=None) for violation in broken)
        return dialect.over_quota(ask, broken, self._told(admission.standing), now)

    def _told(self, standing: Standing) -> Standing:
        """Return what answers are to tell of what is left."""
        return standing if self._options.bodies is Bodies.FULL else Standing()

    def _answer(
        self, dialect: Dialect, target: Generate, ask: Ask, body: bytes, now: float
    ) -> tuple[Reply | Stream, int]:
        if self._library is not None:
            return self._library.answer(dialect, target, ask, body), 1
        if target.vectors:
            return dialect.embed(ask), 1
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
