"""One attempt at a task: a straight line from the lease to its settlement."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from synapse.brokers.base import LeaseLost
from synapse.domain.errors import InternalError
from synapse.domain.events import Delta, Finish
from synapse.domain.failure import Failure, FailureClass
from synapse.scheduling.policy import RetryRules, Tried, after_failure, overdue
from synapse.scheduling.settlement import Fail, GiveUp, Release, Settlement, Succeed
from synapse.worker.watchdog import Bite, Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from zoneinfo import ZoneInfo

    from synapse.brokers.base import Broker, Lease
    from synapse.domain.clock import Clock
    from synapse.domain.credential import Credential
    from synapse.providers.base import Provider, Signal


class Answerer(msgspec.Struct, frozen=True):
    """A provider, and what the policy must know of it."""

    provider: Provider
    zone: ZoneInfo
    """Where its days end."""


class AttemptRules(msgspec.Struct, frozen=True):
    """What holds for every attempt of a worker."""

    retry: RetryRules
    stall_timeout: float
    """Seconds without a data event after which the provider has stalled."""
    clock: Clock
    random: Callable[[], float]


Ending = Finish | Failure | Fail
"""How a provider's answer ended: whole, failed, or past the task's own timeout."""


class Attempt:
    """One lease, carried through."""

    def __init__(self, lease: Lease, answerer: Answerer, broker: Broker, rules: AttemptRules) -> None:
        """Take the lease, who answers, where the answer goes, and the rules."""
        self.lease = lease
        self._answerer = answerer
        self._broker = broker
        self._rules = rules
        self._shown = False

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
        task = self.lease.task
        answer = self._answerer.provider.generate(task.request, task.model, self.lease.credential)
        with Watchdog(self._rules.clock, stall=self._rules.stall_timeout, limit=self.lease.remaining) as dog:
            async with aclosing(answer) as pieces:
                async for signals in pieces:
                    dog.rest()
                    ending = await self._pass_on(signals)
                    if ending is not None:
                        return ending
                    dog.progress()
            return Failure(FailureClass.TRANSIENT, "the answer ended without saying so")
        return self._bitten(dog)

    async def _pass_on(self, signals: Sequence[Signal]) -> Finish | Failure | None:
        """Publish what is visible of the signals; return the last one if it ends the answer."""
        if not signals:
            return None
        last = signals[-1]
        if isinstance(last, Delta):
            await self._publish(signals)  # type: ignore[arg-type]  # only the last signal may be no delta
            return None
        if len(signals) > 1:
            await self._publish(signals[:-1])  # type: ignore[arg-type]
        return last

    async def _publish(self, deltas: Sequence[Delta]) -> None:
        self._shown = self._shown or self.lease.task.request.stream
        await self._broker.publish(self.lease, deltas)

    def _bitten(self, dog: Watchdog) -> Ending:
        if dog.bite is Bite.OVERDUE:
            return overdue(self.lease.task.timeout)
        return Failure(FailureClass.TRANSIENT, f"no data for {self._rules.stall_timeout:g} s")

    def _judge(self, ending: Ending) -> Settlement:
        if isinstance(ending, Finish):
            return Succeed(ending)
        if isinstance(ending, Fail):
            return ending
        task = self.lease.task
        tried = Tried(
            _without_key(ending, self.lease.credential),
            attempt=self.lease.attempt,
            provider=task.provider,
            model=task.model,
            credential=self.lease.credential,
            shown=self._shown,
        )
        rules = self._rules
        return after_failure(tried, rules.retry, now=rules.clock.now(), zone=self._answerer.zone, random=rules.random)


def _without_key(failure: Failure, credential: Credential | None) -> Failure:
    """Providers repeat the key that they refuse, and not every key looks like one."""
    if credential is None or credential.key not in failure.message:
        return failure
    return msgspec.structs.replace(failure, message=failure.message.replace(credential.key, credential.label))
