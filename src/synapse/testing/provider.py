"""A provider that does what a test wrote down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from enum import Enum

import msgspec

from synapse.domain.credential import Credential
from synapse.domain.events import Delta, Finish
from synapse.domain.failure import Failure
from synapse.domain.quota import Headroom
from synapse.domain.request import Request
from synapse.providers.base import Signal


class _Hang(Enum):
    HANG = "hang"


HANG = _Hang.HANG
"""The step of waiting for ever."""

Step = str | Finish | Failure | Headroom | tuple[Signal, ...] | asyncio.Event | Exception | _Hang
"""What an attempt does next.

A string is a delta; a tuple is signals that come at once, the empty one progress without content; an event is waited
for; an exception is raised, as by a bug. What is said of several limits at once is a tuple of nothing but `Headroom`.
"""


class Call(msgspec.Struct, frozen=True):
    """One attempt as the provider saw it."""

    request: Request
    model: str
    credential: Credential | None


class ScriptedProvider:
    """Implements `synapse.providers.base.Provider`: each attempt goes through the next script, in order of calls.

    provider = ScriptedProvider(["Hel", Failure(FailureClass.TRANSIENT, "cut")], ["Hello", Finish(FinishReason.STOP)])
    """

    def __init__(self, *attempts: Sequence[Step]) -> None:
        """Take the steps of each attempt."""
        self.calls: list[Call] = []
        """Attempts so far."""
        self.open = 0
        """Answers that are neither over nor closed."""
        self.closed_early = 0
        """Answers that were closed before they were over."""
        self._attempts = attempts

    async def generate(
        self, request: Request, model: str, credential: Credential | None
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Go through the next script. Raises AssertionError when there is none."""
        self.calls.append(Call(request, model, credential))
        number = len(self.calls)
        if number > len(self._attempts):
            raise AssertionError(f"attempt {number} at the scripted provider, which has scripts for {self._scripted()}")
        self.open += 1
        over = False
        try:
            for step in self._attempts[number - 1]:
                signals = await _take(step)
                if signals is not None:
                    over = bool(signals) and isinstance(signals[-1], Finish | Failure)
                    yield signals
            over = True
        finally:
            self.open -= 1
            self.closed_early += not over

    def _scripted(self) -> str:
        count = len(self._attempts)
        return f"{count} attempt" if count == 1 else f"{count} attempts"


async def _take(step: Step) -> Sequence[Signal] | None:
    """Do one step; return what comes of it, None for a step that is only a wait."""
    match step:
        case str():
            return (Delta(step),)
        case Finish() | Failure() | Headroom():
            return (step,)
        case tuple():
            return step
        case asyncio.Event():
            await step.wait()
        case _Hang.HANG:
            await asyncio.get_running_loop().create_future()
        case Exception():
            raise step
    return None
