"""All that may carry one model: projects with their keys and accounts, its circuit, and what batch leaves of it."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.credential import Credential
from synapse.domain.quota import Measure
from synapse.scheduling.account import NEVER, Account
from synapse.scheduling.breaker import Breaker
from synapse.scheduling.demand import Demand
from synapse.scheduling.quota import DAY, MINUTE
from synapse.scheduling.slow_start import ACCEPTED_WITHIN, ANSWER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Dead(msgspec.Struct, frozen=True):
    """A credential that is benched for all models."""

    credential: Credential
    until: float
    reason: str


class Project:
    """The keys that share a quota."""

    __slots__ = ("dead", "keyless", "keys", "name", "used")

    def __init__(self, name: str, *, keyless: bool = False) -> None:
        """Begin without keys."""
        self.name = name
        self.keyless = keyless
        """Whether its requests go without a credential."""
        self.keys: OrderedDict[str, Credential] = OrderedDict()
        """Those that may be used, least recently used first."""
        self.dead: dict[str, Dead] = {}
        self.used = 0
        """When it was used last, counted in permits."""

    @property
    def alive(self) -> bool:
        """Whether something can be sent at all."""
        return bool(self.keys) or self.keyless

    def next_key(self) -> Credential | None:
        """Return the least recently used key."""
        if self.keyless:
            return None
        key = next(iter(self.keys))
        self.keys.move_to_end(key)
        return self.keys[key]

    def bench(self, credential: Credential, until: float, reason: str) -> bool:
        """Use a key no more; return whether it was in use."""
        self.dead[credential.key] = Dead(credential, until, reason)
        return self.keys.pop(credential.key, None) is not None


class Carrier(msgspec.Struct, gc=False, frozen=True, eq=False):
    """One project, and its accounts that a request for the model counts in."""

    project: Project
    accounts: tuple[Account, ...]
    """That of the model, and that of all models that share a quota with it, if there are such."""

    def opens_at(self, tokens: int, now: float, requests: int = 1) -> float:
        """Return when it may carry a request, or some together of so many tokens: the latest of its accounts."""
        if not self.project.alive:
            return NEVER
        at = -math.inf
        for account in self.accounts:
            account.expire(now)
            at = max(at, account.opens_at(tokens, now, requests))
        return at

    def awaits_answer(self, opens_at: float, now: float) -> bool:
        """Tell whether its opening is only that after which an answer is no longer waited for."""
        soon = opens_at <= now + ACCEPTED_WITHIN
        return soon and any(account.slow_start.awaits_answer for account in self.accounts)

    def headroom(self) -> float:
        """Return the share of the scarcest limit that is left."""
        return min([account.headroom() for account in self.accounts])

    def running(self) -> int:
        """Count the requests on their way."""
        return self.accounts[0].running

    def left(self, measure: Measure) -> float:
        """Return what is left of a limit, infinite where there is none."""
        return min([account.left(measure) for account in self.accounts])

    def limit(self, measure: Measure) -> float:
        """Return a limit, infinite where there is none."""
        limits = [getattr(account.quota, measure) for account in self.accounts]
        return min([limit for limit in limits if limit is not None], default=math.inf)


class ModelPool:
    """Everything that may carry requests of one model."""

    __slots__ = ("_demand", "_share", "_watched", "breaker", "carriers", "daily", "limited", "model")

    def __init__(self, model: str, carriers: Sequence[Carrier], share: float, demand: Mapping[Measure, Demand]) -> None:
        """Take who may carry the model, the largest share of a quota kept from batch work, and for whom it is kept."""
        self.model = model
        self.carriers = tuple(carriers)
        self.breaker = Breaker()
        self.limited = False
        """Whether any limit is known."""
        self.daily = False
        """Whether one of a day is."""
        self._share = share
        self._demand = demand
        self._watched: tuple[Measure, ...] = ()
        self.count_limits()

    def count_limits(self) -> None:
        """Look again which limits are known."""
        accounts = [account for carrier in self.carriers for account in carrier.accounts]
        self._watched = tuple(
            measure for measure in Measure if any(getattr(each.quota, measure) is not None for each in accounts)
        )
        self.limited = bool(self._watched)
        self.daily = Measure.RPD in self._watched or Measure.TPD in self._watched

    def choose(self, tokens: int, now: float) -> Carrier | None:
        """Return who carries a request now: who has most left, then who has least to do, then who rested longest."""
        carriers = self.carriers
        if len(carriers) == 1:
            only = carriers[0]
            return only if only.opens_at(tokens, now) <= now else None
        return _best([carrier for carrier in carriers if carrier.opens_at(tokens, now) <= now])

    def choose_beside(self, tokens: int, head: int, now: float) -> Carrier | None:
        """Return who carries a request now that does not delay a larger one of `head` tokens, which waits before it."""
        openings = {carrier: carrier.opens_at(head, now) for carrier in self.carriers}
        first = min(openings.values(), default=NEVER)
        able = [
            carrier
            for carrier, at in openings.items()
            if carrier.opens_at(tokens, now) <= now
            and (at > first or self._another(openings, carrier, first) or _has_room(carrier, tokens, head, at, now))
        ]
        return _best(able)

    @staticmethod
    def _another(openings: dict[Carrier, float], but: Carrier, first: float) -> bool:
        """Tell whether somebody else can carry the larger one just as soon."""
        return any(at <= first for carrier, at in openings.items() if carrier is not but)

    def opens_at(self, tokens: int, now: float) -> float:
        """Return when somebody may carry a request."""
        first = NEVER
        for carrier in self.carriers:
            opens_at = carrier.opens_at(tokens, now)
            if opens_at <= now:
                return opens_at
            first = min(first, opens_at)
        return first

    def starts_at(self, tokens: int, now: float) -> float:
        """Return the same, but `ANSWER` where an answer may let a request go before any window opens."""
        openings = [(carrier, carrier.opens_at(tokens, now)) for carrier in self.carriers]
        first = min([at for _, at in openings], default=NEVER)
        if first <= now:
            return first
        return ANSWER if any(at == ANSWER or carrier.awaits_answer(at, now) for carrier, at in openings) else first

    # --- what batch work leaves

    def note_demand(self, tokens: int, now: float) -> None:
        """Count a request of a band above batch."""
        demand = self._demand
        demand[Measure.CONCURRENCY].sent(now)
        for measure in self._watched:
            if measure is not Measure.CONCURRENCY:
                demand[measure].used(now, tokens if measure in _IN_TOKENS else 1)

    def demand_answered(self) -> None:
        """Note that one of those is no longer on its way."""
        self._demand[Measure.CONCURRENCY].answered()

    def spares(self, tokens: int, now: float) -> bool:
        """Tell whether a batch request leaves enough to the bands above it."""
        if not self._watched or not self._demand[Measure.CONCURRENCY].there(now):
            return True
        return all(self._spares(measure, tokens, now) for measure in self._watched)

    def _spares(self, measure: Measure, tokens: int, now: float) -> bool:
        left = sum([carrier.left(measure) for carrier in self.carriers if self._usable(carrier, now)])
        if math.isinf(left):
            return True
        whole = sum([carrier.limit(measure) for carrier in self.carriers])
        if measure is Measure.CONCURRENCY:
            return left - 1 >= self._demand[measure].kept_at_once(now, whole, self._share)
        kept = self._demand[measure].kept(now, whole, self._share)
        return left - (tokens if measure in _IN_TOKENS else 1) >= kept

    @staticmethod
    def _usable(carrier: Carrier, now: float) -> bool:
        return carrier.project.alive and all(account.closed_until <= now for account in carrier.accounts)

    def changes_at(self, now: float) -> float:
        """Return when to look again whether batch work may go on, while it leaves the rest to others; after now."""
        return min(self.frees_at(now), self._demand[Measure.CONCURRENCY].changes_at(now))

    def frees_at(self, now: float) -> float:
        """Return when more may be used than now though nothing is answered; after now."""
        alive = [carrier for carrier in self.carriers if carrier.project.alive]
        return min([account.frees_at(now) for carrier in alive for account in carrier.accounts], default=NEVER)


def demand_of_each() -> dict[Measure, Demand]:
    """Return a demand for each limit, with nobody seen."""
    return {measure: Demand(DAY if measure in _OF_A_DAY else MINUTE) for measure in Measure}


def _has_room(carrier: Carrier, tokens: int, head: int, at: float, now: float) -> bool:
    """Tell whether a request leaves enough for a larger one that may go at `at`."""
    both = head + tokens
    fits = both <= min(carrier.limit(Measure.TPM), carrier.limit(Measure.TPD))
    return fits and carrier.opens_at(both, now, requests=2) <= at


def _best(able: Sequence[Carrier]) -> Carrier | None:
    if len(able) < 2:  # noqa: PLR2004 - nothing to choose from
        return able[0] if able else None
    return max(able, key=lambda each: (each.headroom(), -each.running(), -each.project.used))


_IN_TOKENS = frozenset({Measure.TPM, Measure.TPD})
_OF_A_DAY = frozenset({Measure.RPD, Measure.TPD})
