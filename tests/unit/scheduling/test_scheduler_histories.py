"""Random histories of scheduler, ledger and slots on a virtual clock, against a provider that counts by itself."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synapse.domain.caller import Band, Caller
from synapse.domain.credential import Credential
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Measure, Quota, Violation
from synapse.domain.request import prompt_request
from synapse.domain.task import Task
from synapse.domain.usage import Usage
from synapse.scheduling.account import MARGIN, NEVER, Account
from synapse.scheduling.ledger import Ledger, Permit, Terms
from synapse.scheduling.policy import RetryRules, Tried, after_failure
from synapse.scheduling.pool import Carrier
from synapse.scheduling.quota import day_end
from synapse.scheduling.scheduler import Scheduler
from synapse.scheduling.settlement import Retry
from synapse.scheduling.slots import Slots
from synapse.scheduling.slow_start import ACCEPTED_WITHIN, ANSWER

MODELS = ["m", "a:free", "b:free"]
SHARED = ":free"
REQUEST = prompt_request("code", "hello")
CALLERS = [Caller("ann"), Caller("bob", weight=3.0), Caller("eve", max_concurrency=2), Caller("flo", max_concurrency=1)]
ZONES = [ZoneInfo("UTC"), ZoneInfo("America/Los_Angeles")]
NOON = 1_772_800_000.0
"""On the sixth of March 2026; the clocks of the Pacific coast go forward on the eighth."""
SEEN = 600.0
"""Seconds for which batch work makes room for somebody above it."""
RULES = RetryRules()
REFUSALS = {
    FailureClass.CREDENTIAL_DEAD,
    FailureClass.NOT_IN_TIER,
    FailureClass.QUOTA_DAY,
    FailureClass.QUOTA_MINUTE,
    FailureClass.RATE_LIMITED,
}
DAILY = {Measure.RPD, Measure.TPD}
IN_TOKENS = {Measure.TPM, Measure.TPD}

bands = st.sampled_from([Band.INTERACTIVE, Band.STANDARD, Band.BATCH, Band.BATCH])
picks = st.integers(0, 10**6)
sizes = st.sampled_from([1, 5, 10, 30, 60, 95, 150])
delays = st.lists(st.sampled_from([0.0, 0.3, 0.9]), min_size=1, max_size=4)
"""Seconds between sending and arrival, one request after the other."""
kinds = st.sampled_from([*FailureClass, FailureClass.TRANSIENT, FailureClass.TRANSIENT, FailureClass.RATE_LIMITED])
quotas = st.builds(
    Quota,
    rpm=st.sampled_from([None, 1, 2, 3, 8]),
    tpm=st.sampled_from([None, None, 100]),
    rpd=st.sampled_from([None, None, None, 2, 9]),
    tpd=st.sampled_from([None, None, None, 200]),
    concurrency=st.sampled_from([None, None, 1, 2, 5]),
)


@dataclasses.dataclass(frozen=True)
class World:
    """What stays the same through a history."""

    own: Quota
    """Of the model that shares with none."""
    shared: Quota
    """Of the models that share."""
    told: bool
    """Whether the ledger knows the limits beforehand."""
    explains: bool
    """Whether refusals say what the limit is."""
    keys: tuple[int, ...]
    """Of each project."""
    slots: int
    share: float
    zone: ZoneInfo
    start: float
    """Seconds to the next midnight."""

    @property
    def in_tokens(self) -> bool:
        """Whether any limit is one of tokens, so that estimates must be right."""
        return any(quota.tpm or quota.tpd for quota in (self.own, self.shared))


worlds = st.builds(
    World,
    own=quotas,
    shared=quotas,
    told=st.sampled_from([True, True, True, False]),
    explains=st.booleans(),
    keys=st.sampled_from([(1,), (2,), (1, 1), (2, 1, 1)]),
    slots=st.sampled_from([1, 3, 8, 50]),
    share=st.sampled_from([0.2, 0.2, 0.5]),
    zone=st.sampled_from(ZONES),
    start=st.sampled_from([0.7, 2.0, 30.0, 600.0, 40_000.0]),
)


@dataclasses.dataclass(eq=False)
class Item:
    """What a broker would hold of a task."""

    task: Task
    tokens: int


@dataclasses.dataclass(eq=False)
class Sent:
    """A request, and what there is to know of it."""

    item: Item
    permit: Permit
    at: float
    arrives_at: float
    tokens: int
    """Of its input, truly."""
    counted: int = 0
    """1 if the provider counts it."""
    reserved: int = 1
    """1 if it counts for who sent it."""
    reserved_tokens: int = 0
    open: bool = True
    """Whether it is still on its way."""
    refusal: Failure | None = None


class Provider:
    """Counts trailing minutes, days, and what runs, of each project and scope, as requests arrive."""

    def __init__(self, world: World) -> None:
        """Begin with nothing sent."""
        self.world = world
        self.sent: dict[tuple[str, str], list[Sent]] = {}
        self.told_at: dict[tuple[str, str, Measure], float] = {}
        """Since when it is known what a limit is."""
        self.on_way: list[Sent] = []
        """What has not arrived."""

    def quota(self, scope: str) -> Quota:
        """Return the true limits."""
        return self.world.shared if scope == SHARED else self.world.own

    def same_day(self, one: float, other: float) -> bool:
        """Tell whether two instants are of one day of the provider's."""
        zone = self.world.zone
        return datetime.fromtimestamp(one, zone).date() == datetime.fromtimestamp(other, zone).date()

    def send(self, sent: Sent) -> None:
        """Take a request that is on its way."""
        self.sent.setdefault(place(sent.permit), []).append(sent)
        self.on_way.append(sent)

    def pass_time(self, now: float) -> None:
        """Let everything arrive that does by now."""
        arriving = sorted([sent for sent in self.on_way if sent.arrives_at <= now], key=lambda sent: sent.arrives_at)
        self.on_way = [sent for sent in self.on_way if sent.arrives_at > now]
        for sent in arriving:
            self._arrive(sent)

    def _arrive(self, sent: Sent) -> None:
        project, scope = place(sent.permit)
        quota = self.quota(scope)
        before = [other for other in self.sent[project, scope] if other.counted]
        over = [measure for measure in Measure if self._is_over(measure, getattr(quota, measure), before, sent)]
        for measure in over:
            assert not self._is_known(project, scope, measure, sent.at), f"{measure} of {project}, {scope} is exceeded"
        if over:
            sent.refusal = self._refuse(scope, over)
        else:
            sent.counted = 1

    def _is_known(self, project: str, scope: str, measure: Measure, at: float) -> bool:
        """Tell whether whoever sent something then had to know of a limit, and of all that counts in it."""
        if self.world.told:
            return True
        sent = self.sent[project, scope]
        at_midnight = any(each.counted and not self.same_day(each.at, each.arrives_at) for each in sent)
        return at > self.told_at.get((project, scope, measure), NEVER) and not (measure in DAILY and at_midnight)

    def _is_over(self, measure: Measure, limit: int | None, before: list[Sent], sent: Sent) -> bool:
        if limit is None:
            return False
        at = sent.arrives_at
        if measure is Measure.CONCURRENCY:
            return sent.open and sum(other.open for other in before) >= limit
        if measure in DAILY:
            before = [other for other in before if self.same_day(other.arrives_at, at)]
        else:
            before = [other for other in before if other.arrives_at > at - 60.0]
        if measure in IN_TOKENS:
            return bool(before) and sum(other.tokens for other in before) + sent.tokens > limit
        return len(before) >= limit

    def _refuse(self, scope: str, over: list[Measure]) -> Failure:
        shared = scope == SHARED
        if not self.world.explains and not DAILY.intersection(over):
            return Failure(FailureClass.RATE_LIMITED, "slow down", 429, shared=shared)
        kind = FailureClass.QUOTA_DAY if DAILY.intersection(over) else FailureClass.QUOTA_MINUTE
        explains = self.world.explains
        limits = tuple(Violation(each, getattr(self.quota(scope), each) if explains else None) for each in over)
        return Failure(kind, "quota exceeded", 429, violations=limits, shared=shared)


def place(permit: Permit) -> tuple[str, str]:
    """Return the project, and the scope of the limits, that a request counts for."""
    return permit.carrier.project.name, scope_of(permit.model)


def scope_of(model: str) -> str:
    """Return the model, or the suffix of those that share."""
    return SHARED if model.endswith(SHARED) else model


class Histories(RuleBasedStateMachine):
    """Tasks come and go, time passes, requests are sent, answered, refused, broken and given up."""

    @initialize(world=worlds)
    def begin(self, world: World) -> None:
        """Begin with nothing known but what the world tells."""
        self.world = world
        self.now = day_end(NOON, world.zone) - world.start
        self.provider = Provider(world)
        credentials = [
            Credential(f"project-{project}", f"key-{number}-of-project-{project}")
            for project, keys in enumerate(world.keys)
            for number in range(keys)
        ]
        known = {"m": world.own, f"a{SHARED}": world.shared} if world.told else {}
        terms = Terms("p", world.zone, ("KEYS",), known, Quota(), SHARED, world.share)
        self.ledger = Ledger(terms, credentials)
        self.scheduler: Scheduler[Item] = Scheduler({"p": self.ledger}, interactive_reserve=world.share)
        self.slots = Slots(world.slots)
        self.waiting: list[Item] = []
        self.running: list[Sent] = []
        self.seen: dict[str, float] = {}
        """When somebody above batch was last served, by scope."""
        self.ids = itertools.count()

    # --- what happens

    @rule(caller=st.sampled_from(CALLERS), model=st.sampled_from(MODELS), band=bands, tokens=sizes, n=st.integers(1, 5))
    def submit(self, caller: Caller, model: str, band: Band, tokens: int, n: int) -> None:
        """Let some tasks come."""
        for _ in range(n):
            task = Task(f"t{next(self.ids)}", REQUEST, "p", model, self.now, 60.0, 60.0, caller, band)
            self._add(Item(task, tokens))

    def _add(self, item: Item, *, first: bool = False, refund: bool = False) -> None:
        self.waiting.append(item)
        self.scheduler.add(item, first=first, refund=refund)

    @precondition(lambda self: self.waiting)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        """Let a waiting task leave."""
        item = self.waiting.pop(pick % len(self.waiting))
        assert self.scheduler.remove(item)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.1, 0.95, 1.0, 2.0, 17.0, 59.9, 60.0, 61.0, 300.0, 650.0]))
    def pass_time(self, seconds: float) -> None:
        """Let some time pass."""
        self._go_to(self.now + seconds)

    @rule(delays=delays)
    def sleep(self, delays: list[float]) -> None:
        """Let time pass until the scheduler wants to look again, and have it look."""
        if self.scheduler.wakes_at() < self.now + 200_000.0:
            self._go_to(self.scheduler.wakes_at())
        self.dispatch(delays)

    def _go_to(self, instant: float) -> None:
        self.now = max(self.now, instant)
        self.provider.pass_time(self.now)

    @rule(delays=delays)
    def dispatch(self, delays: list[float]) -> None:
        """Send all that may be sent."""
        self.scheduler.wake_due(self.now)
        for delay in itertools.cycle(delays):
            firsts = {lane: self.scheduler.lanes.first(lane) for lane in self.scheduler.lanes}
            openings = {lane: self._window_opens_at(first) for lane, first in firsts.items() if first is not None}
            turn = self.scheduler.next(self.slots, self.now)
            if turn is None:
                break
            item, permit = turn
            self._start(item, permit, delay)
            first = firsts[item.task.lane]
            assert first is not None
            if first is not item:
                self._check_beside(first, item, openings[item.task.lane])
        self._check_nothing_idles()

    def _start(self, item: Item, permit: Permit, delay: float) -> None:
        task = item.task
        self.waiting.remove(item)
        self.slots.take(task)
        sent = Sent(item, permit, self.now, self.now + delay, item.tokens, reserved_tokens=item.tokens)
        if task.band is Band.BATCH:
            self._check_reserve(sent)
        else:
            self.seen[scope_of(task.model)] = self.now
        self.provider.send(sent)
        self.running.append(sent)
        self.provider.pass_time(self.now)
        assert permit.credential in permit.carrier.project.keys.values()

    @precondition(lambda self: self.running)
    @rule(pick=picks, factor=st.sampled_from([0.5, 1.0, 1.0, 1.5]), reported=st.booleans(), n=st.integers(1, 4))
    def answer(self, pick: int, factor: float, n: int, *, reported: bool) -> None:
        """Let some requests be answered."""
        for sent in self._some(pick, n):
            if not self.world.in_tokens:
                sent.tokens = round(sent.item.tokens * factor)
            self._answer(sent, Usage(sent.tokens if reported else 0))

    def _some(self, pick: int, n: int) -> list[Sent]:
        at = pick % len(self.running)
        return self.running[at : at + n]

    def _answer(self, sent: Sent, usage: Usage) -> None:
        self._go_to(sent.arrives_at)
        if sent.refusal is not None:
            self._fail(sent, sent.refusal)
            return
        sent.reserved_tokens = usage.input_tokens or sent.reserved_tokens
        self._settle(sent, usage=usage)

    @precondition(lambda self: self.running)
    @rule(pick=picks, kind=kinds, hint=st.sampled_from([None, None, 0.0, 2.0, 90.0]), n=st.integers(1, 6))
    def fail(self, pick: int, kind: FailureClass, hint: float | None, n: int) -> None:
        """Let some requests fail, for whatever reason."""
        for sent in self._some(pick, n):
            self._go_to(sent.arrives_at)
            shared = sent.item.task.model.endswith(SHARED) and pick % 2 == 0
            retry_after = None if kind is FailureClass.QUOTA_DAY else hint
            self._fail(sent, sent.refusal or Failure(kind, "no", retry_after=retry_after, shared=shared))

    @precondition(lambda self: self.running)
    @rule(pick=picks)
    def lose(self, pick: int) -> None:
        """Let a request never arrive."""
        sent = self._some(pick, 1)[0]
        if sent in self.provider.on_way:
            self.provider.on_way.remove(sent)
            self._fail(sent, Failure(FailureClass.TRANSIENT, "no connection", arrived=False))

    def _fail(self, sent: Sent, failure: Failure) -> None:
        if failure.kind in REFUSALS or not failure.arrived:
            sent.counted = sent.reserved = sent.reserved_tokens = 0
        self._settle(sent, failure=failure)
        if sent.refusal is failure:
            for violation in failure.violations:
                if violation.limit is not None:
                    self.provider.told_at.setdefault((*place(sent.permit), violation.measure), self.now)
        tried = Tried(failure, 1, "p", sent.permit.model, shown=False)
        settlement = after_failure(tried, RULES, random=lambda: 0.0)
        if isinstance(settlement, Retry):
            self._add(sent.item, first=True, refund=not settlement.counted)

    @precondition(lambda self: self.running)
    @rule(pick=picks)
    def give_up(self, pick: int) -> None:
        """Stop waiting for an answer, whether the request arrives or not."""
        self._settle(self._some(pick, 1)[0])

    def _settle(self, sent: Sent, *, usage: Usage | None = None, failure: Failure | None = None) -> None:
        sent.open = False
        self.running.remove(sent)
        task = sent.item.task
        self.ledger.settle(sent.permit, self.now, usage=usage, failure=failure)
        self.scheduler.ended(task, seconds=self.now - sent.at if usage is not None else None)
        if failure is not None:
            self.scheduler.wake_provider("p")
        self.slots.give_back(task)

    # --- what must be true

    def _opens_at(self, item: Item) -> float:
        return self.ledger.opens_at(item.task.model, item.tokens, item.task.band, self.now)

    def _window_opens_at(self, item: Item) -> float:
        return self.ledger.pool(item.task.model).opens_at(item.tokens, self.now)

    def _check_beside(self, first: Item, item: Item, opened_at: float) -> None:
        """Who went before its turn did not delay the one whose turn it was."""
        assert item.tokens < first.tokens
        accounts = [account for carrier in self._carriers(first) for account in carrier.accounts]
        late = 0.0 if all(account.slow_start.over for account in accounts) else ACCEPTED_WITHIN
        opens_at = self._window_opens_at(first)
        assert opened_at >= ANSWER or opens_at >= ANSWER or opens_at <= max(opened_at, self.now) + late

    def _check_nothing_idles(self) -> None:
        """After all that may be sent was sent, no task waits that may be."""
        busy = Counter(sent.item.task.caller.name for sent in self.running)
        admitted = self.slots.order(self.scheduler.lanes)
        for model in MODELS:
            waiting = [item for item in self.waiting if item.task.model == model]
            free = [item for item in waiting if busy[item.task.caller.name] < (item.task.caller.max_concurrency or 999)]
            first = self.scheduler.lanes.first(("p", model))
            assert (first is None) == (not free)
            if first is None or ("p", model) not in admitted or not self._slot_is_spare(first.task.band):
                continue
            assert first.task.band is min((item.task.band for item in free), key=lambda band: band.rank)
            if first.task.band is Band.BATCH and model.endswith(SHARED) and self._seen(model):
                continue  # what is kept from it becomes less when others of another model are sent
            assert self._opens_at(first) > self.now, "a permit idles"
            assert not self._plainly_open(first), "a permit idles that a plain count allows"
            self._check_nobody_fits_beside(first)

    def _check_nobody_fits_beside(self, first: Item) -> None:
        """Nor does one that is small enough to go before a large one without delaying it.

        Of models that share a quota that may have become so when another of them was sent.
        """
        pool = self.ledger.pool(first.task.model)
        if pool.breaker.opens_at() > self.now or first.task.model.endswith(SHARED):
            return
        for item in self.scheduler.lanes.upcoming(first.task.lane, 16)[1:]:
            if item.tokens < first.tokens and item.task.band is not Band.BATCH:
                assert pool.choose_beside(item.tokens, first.tokens, self.now) is None, "a small task idles"

    def _slot_is_spare(self, band: Band) -> bool:
        total = self.slots.total
        kept = min(total - 1, max(1.0, self.world.share * total))
        return band is not Band.BATCH or not self._seen() or total - self.slots.taken - 1 >= kept

    def _seen(self, model: str | None = None, *, within: float = SEEN) -> bool:
        """Tell whether somebody above batch was served lately, of a model's scope, or at all."""
        scopes = self.seen if model is None else [scope_of(model)]
        return any(self.now - self.seen.get(scope, -NEVER) < within for scope in scopes)

    def _plainly_open(self, item: Item) -> bool:
        pool = self.ledger.pool(item.task.model)
        if not pool.breaker.closed:
            return False
        usable = [carrier for carrier in pool.carriers if self._is_usable(carrier)]
        if not any(self._is_free(carrier, item.tokens) for carrier in usable):
            return False
        return item.task.band is not Band.BATCH or self._is_spare(item, usable)

    def _is_usable(self, carrier: Carrier) -> bool:
        return carrier.project.alive and all(account.closed_until <= self.now for account in carrier.accounts)

    def _is_free(self, carrier: Carrier, tokens: int) -> bool:
        if not all(account.slow_start.over for account in carrier.accounts):
            return False
        return all(self._has(carrier.accounts[-1], measure, tokens) for measure in Measure)

    def _has(self, account: Account, measure: Measure, tokens: int) -> bool:
        limit, used = getattr(account.quota, measure), self._used(account, measure)
        if measure in DAILY and limit is not None and day_end(self.now, self.world.zone) - self.now < MARGIN:
            return False
        if measure in IN_TOKENS:
            return limit is None or not used or used + tokens <= limit
        return limit is None or used < limit

    def _used(self, account: Account, measure: Measure) -> int:
        sent = self.provider.sent.get((account.project, account.scope), [])
        if measure is Measure.CONCURRENCY:
            return sum(each.open for each in sent)
        if measure in DAILY:
            sent = [each for each in sent if self.provider.same_day(each.at, self.now)]
        else:
            sent = [each for each in sent if each.at + 60.0 + MARGIN > self.now]
        return sum(each.reserved_tokens if measure in IN_TOKENS else each.reserved for each in sent)

    def _left(self, measure: Measure, carriers: list[Carrier]) -> float:
        """Count what is left of a limit over all that may be used; infinite where there is none."""
        left = 0.0
        for account in (carrier.accounts[-1] for carrier in carriers):
            limit = getattr(account.quota, measure)
            left += NEVER if limit is None else max(0, limit - self._used(account, measure))
        return left

    def _is_spare(self, item: Item, usable: list[Carrier]) -> bool:
        """Tell whether a batch task leaves the most that may be kept for others."""
        if not self._seen(item.task.model):
            return True
        for measure in Measure:
            whole = self._whole(measure, item)
            left = self._left(measure, usable) - (item.tokens if measure in IN_TOKENS else 1)
            most = whole - 1.0 if measure is Measure.CONCURRENCY else NEVER
            if left < NEVER and left < min(most, max(1.0, self.world.share * whole)):
                return False
        return True

    def _whole(self, measure: Measure, item: Item) -> float:
        return sum(getattr(carrier.accounts[-1].quota, measure) or NEVER for carrier in self._carriers(item))

    def _carriers(self, item: Item) -> tuple[Carrier, ...]:
        return self.ledger.pool(item.task.model).carriers

    def _check_reserve(self, sent: Sent) -> None:
        """What batch work takes leaves at least one to others, if there were some lately. It is not yet counted."""
        if self._seen(within=SEEN - 1.0) and self.slots.total > 1:
            assert self.slots.total > self.slots.taken, "batch work took the last slot"
        if not self._seen(sent.item.task.model, within=SEEN - 1.0) or not self.world.told:
            return
        usable = [carrier for carrier in self._carriers(sent.item) if self._is_usable(carrier)]
        for measure in Measure:
            if measure is not Measure.CONCURRENCY or self._whole(measure, sent.item) > 1:
                left = self._left(measure, usable) - (sent.tokens if measure in IN_TOKENS else 1)
                assert left >= 1, f"batch work took the last of {measure}"

    @invariant()
    def what_waits_is_known(self) -> None:
        """In lanes are those that wait."""
        assert len(self.scheduler.lanes) == len(self.waiting)
        assert self.slots.taken == len(self.running)

    @invariant()
    def sums_are_those_of_their_parts(self) -> None:
        """What accounts add up as they go is what their charges add up to."""
        for account in self.ledger.accounts():
            assert account.requests == sum(charge.requests for charge in account.charges)
            assert account.tokens == sum(charge.tokens for charge in account.charges)
            assert account.requests >= 0
            assert account.day_requests >= 0
            assert account.running == sum(account in sent.permit.carrier.accounts for sent in self.running)

    @invariant()
    def nobody_runs_more_than_it_may(self) -> None:
        """Callers keep to their number."""
        for caller in CALLERS:
            running = sum(sent.item.task.caller is caller for sent in self.running)
            assert running <= (caller.max_concurrency or running)

    # --- the end

    def teardown(self) -> None:
        """Let everything be answered: all that waits is served, woken by nothing but what the scheduler asks for."""
        if not hasattr(self, "world"):
            return
        rounds = 0
        while self.waiting or self.running:
            self.dispatch([0.9, 0.0])
            for sent in self.running.copy():
                self._answer(sent, Usage())
            self.dispatch([0.0])
            if self.waiting and not self.running:
                self._wait_or_leave()
            rounds += 1
            assert rounds < 5000, "what waits is not served"
        self._check_all_is_settled()

    def _wait_or_leave(self) -> None:
        """Sleep; those for whom no key will ever do leave."""
        hopeless = [item for item in self.waiting if self._opens_at(item) == NEVER]
        for item in hopeless:
            self.waiting.remove(item)
            self.scheduler.remove(item)
        if self.waiting and not hopeless:
            assert self.scheduler.wakes_at() < ANSWER, "nobody will look again"
            self._go_to(self.scheduler.wakes_at())

    def _check_all_is_settled(self) -> None:
        scheduler = self.scheduler
        assert not any(scheduler._running.values())
        assert not any(scheduler._at_work.values())
        assert scheduler._demand.running == 0
        assert not scheduler._blocked
        assert all(account.running == 0 for account in self.ledger.accounts())
        for model in MODELS:
            assert all(demand.running == 0 for demand in self.ledger.pool(model)._demand.values())


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
