"""One attempt at a task: a straight line from the lease to its settlement."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import msgspec

from synapse.brokers.base import LeaseLost
from synapse.domain.errors import InternalError
from synapse.domain.events import Content, Finish
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom
from synapse.scheduling.policy import RetryRules, Tried, after_failure, overdue
from synapse.scheduling.settlement import Fail, GiveUp, Release, Settlement, Succeed
from synapse.worker.watchdog import Bite, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synapse.brokers.base import Broker, Lease
    from synapse.domain.clock import Clock
    from synapse.domain.credential import Credential
    from synapse.domain.usage import Usage
    from synapse.providers.base import Provider, Signal


def unpriced(provider: str, model: str, usage: Usage) -> float | None:
    """Know no price but what the provider has said."""
    del provider, model
    return usage.cost


class AttemptRules(msgspec.Struct, frozen=True):
    """What holds for every attempt of a worker."""

    retry: RetryRules
    first_event_timeout: float
    """Seconds until the first data event of a streamed answer, after which its provider has stalled."""
    stall_timeout: float
    """Seconds without a further data event after which it has, too."""
    answer_timeout: float
    """Seconds after which the provider of a plain answer has: nothing is heard of one before it is whole."""
    clock: Clock
    random: Callable[[], float]
    price: Callable[[str, str, Usage], float | None] = unpriced
    """`price(provider, model, usage)`: what an answer costs in US dollars; None where that is not known."""


Ending = Finish | Failure | Fail
"""How a provider's answer ended: whole, failed, or past the task's own timeout."""


class Attempt:
    """One lease, carried through."""

    def __init__(self, lease: Lease, provider: Provider, broker: Broker, rules: AttemptRules) -> None:
        """Take the lease, who answers, where the answer goes, and the rules."""
        self.lease = lease
        self._provider = provider
        self._broker = broker
        self._rules = rules
        self._shown = False
        self._begun = False

    async def run(self) -> None:
        """Attempt the task and settle the lease, also when cancelled; cancellation is passed on."""
        try:
            settlement = self._judge(await self._generate())
        except LeaseLost:
            settlement = GiveUp()
        except asyncio.CancelledError:
            await self._broker.settle(self.lease, GiveUp() if self.lease.revoked else Release())
            raise
        except Exception:
            error = InternalError(f"Synapse failed at task {self.lease.task.id}; its log has the reason")
            await self._broker.settle(self.lease, Fail(error))
            raise
        await self._broker.settle(self.lease, settlement)

    async def _generate(self) -> Ending:
        """Pass the provider's answer on to the log, and say how it ended."""
        lease, publish = self.lease, self._broker.publish
        task = lease.task
        answer = self._provider.generate(task.request, task.model, lease.credential)
        with Watchdog(self._rules.clock, stall=self._patience, limit=lease.remaining) as dog:
            async with aclosing(answer) as pieces:
                async for signals in pieces:
                    if signals and type(signals[-1]) is Headroom:
                        self._broker.hear(lease, cast("Sequence[Headroom]", signals))
                        continue
                    dog.rest()
                    deltas, ending = _part(signals)
                    if deltas:
                        self._shown = task.request.stream
                        await publish(lease, deltas)
                    if ending is not None:
                        return ending
                    dog.progress()
                    if not self._begun:
                        self._begin(dog)
            return Failure(FailureClass.TRANSIENT, "the answer ended without saying so")
        return self._bitten(dog)

    def _begin(self, dog: Watchdog) -> None:
        """Note that the answer has begun: the rest of it must keep coming, and the request was not refused."""
        self._begun = True
        if dog.stall != self._rules.stall_timeout:
            dog.expect(self._rules.stall_timeout)
        if self.lease.permit.careful:
            self._broker.hear(self.lease, ())

    @property
    def _patience(self) -> float:
        """Seconds that the provider has for the first that is heard of an answer."""
        return self._rules.first_event_timeout if self.lease.task.request.stream else self._rules.answer_timeout

    def _bitten(self, dog: Watchdog) -> Ending:
        if dog.bite is Bite.OVERDUE:
            return overdue(self.lease.task.timeout)
        return Failure(FailureClass.TRANSIENT, f"no data for {dog.stall:g} s")

    def _priced(self, finish: Finish) -> Finish:
        """Say what the answer costs, where that is known."""
        task = self.lease.task
        cost = self._rules.price(task.provider, task.model, finish.usage)
        if cost == finish.usage.cost:
            return finish
        return msgspec.structs.replace(finish, usage=msgspec.structs.replace(finish.usage, cost=cost))

    def _judge(self, ending: Ending) -> Settlement:
        if isinstance(ending, Finish):
            return Succeed(self._priced(ending))
        if isinstance(ending, Fail):
            return ending
        task = self.lease.task
        tried = Tried(
            _without_key(ending, self.lease.credential),
            attempt=self.lease.attempt,
            provider=task.provider,
            model=task.model,
            shown=self._shown,
            keyless=self.lease.credential is None,
            fallbacks=bool(task.fallbacks),
        )
        return after_failure(tried, self._rules.retry, random=self._rules.random)


def _part(signals: Sequence[Signal]) -> tuple[Sequence[Content], Finish | Failure | None]:
    """Part what is visible from the end of the answer: only the last signal can be that."""
    if not signals:
        return (), None
    last = signals[-1]
    if type(last) is not Finish and type(last) is not Failure:
        return cast("Sequence[Content]", signals), None
    return cast("Sequence[Content]", signals[:-1]), last


def _without_key(failure: Failure, credential: Credential | None) -> Failure:
    """Providers repeat the key that they refuse, and not every key looks like one."""
    if credential is None or credential.key not in failure.message:
        return failure
    return msgspec.structs.replace(failure, message=failure.message.replace(credential.key, credential.label))
