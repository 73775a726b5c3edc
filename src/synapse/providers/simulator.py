"""A provider that needs no key and no network: to try Synapse, to test, to measure."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import TYPE_CHECKING

from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Role, Text
from synapse.domain.usage import Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Request
    from synapse.providers.base import Signal

MODELS = ("sim/echo", "sim/lorem")
"""`sim/echo` says what it was told; `sim/lorem` says the beginning of what printers have always said."""

_LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore "
    "magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo "
    "consequat. Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla "
    "pariatur. Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id "
    "est laborum. "
)
_TOKEN = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")
"""A word with the space before it; the last one with the space after it too. Together they are the whole text."""


class SimulatorProvider:
    """Answers at a stated pace, the same each time. A token is a word."""

    def __init__(
        self,
        *,
        tokens_per_second: float,
        tokens: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Take the pace (0: at once), the length of `sim/lorem`'s answers in tokens, and how to wait."""
        self._pause = 1.0 / tokens_per_second if tokens_per_second > 0 else 0.0
        self._tokens = tokens
        self._sleep = sleep

    async def generate(
        self, request: Request, model: str, credential: Credential | None
    ) -> AsyncGenerator[Sequence[Signal], None]:
        """Answer the last user message word by word, or whole after the time that takes."""
        del credential
        if model not in MODELS:
            yield (Failure(FailureClass.MODEL_GONE, f"the simulator has {' and '.join(MODELS)}, not {model}"),)
            return
        said = _last_user_text(request)
        words = _TOKEN.findall(said) if model == "sim/echo" else _lorem(self._tokens)
        limit = request.sampling.max_output_tokens
        answer = words if limit is None else words[:limit]
        if request.stream and self._pause:
            for word in answer:
                await self._sleep(self._pause)
                yield (Delta(word),)
        else:
            await self._sleep(self._pause * len(answer))
            if answer:
                yield (Delta("".join(answer)),)
        reason = FinishReason.STOP if len(answer) == len(words) else FinishReason.LENGTH
        count = len(_TOKEN.findall(said))
        yield (Finish(reason, Usage(count, len(answer), total_tokens=count + len(answer))),)


def _last_user_text(request: Request) -> str:
    messages = [message for message in request.messages if message.role is Role.USER]
    parts = messages[-1].parts if messages else ()
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def _lorem(count: int) -> list[str]:
    return list(itertools.islice(itertools.cycle(_TOKEN.findall(_LOREM.strip() + " ")), count))
