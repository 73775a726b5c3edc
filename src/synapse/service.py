"""The one door of all protocols: what a port can ask for is here."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.errors import ModelNotFound, ShuttingDown
from synapse.domain.events import Delta, Error, Finish, Restart
from synapse.domain.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from synapse.brokers.base import Broker, Subscription
    from synapse.domain.clock import Clock
    from synapse.domain.events import Entry
    from synapse.domain.request import Request

_LONGEST_CODE = 200
"""Characters of an unknown model code that are looked at, and sent back: a caller may send megabytes."""


class Model(msgspec.Struct, frozen=True):
    """What a model code stands for."""

    provider: str
    name: str
    """The provider's name for the model."""


class Limits(msgspec.Struct, frozen=True):
    """How long a task may take where its caller says nothing. Seconds."""

    max_wait: float = 600.0
    timeout: float = 3600.0


class Answer(msgspec.Struct, frozen=True):
    """A whole answer."""

    text: str
    finish: Finish


class Service:
    """Takes requests in, gives out tasks and the logs of tasks."""

    def __init__(
        self,
        broker: Broker,
        models: Mapping[str, Model],
        *,
        clock: Clock,
        new_id: Callable[[], str],
        limits: Limits,
    ) -> None:
        """Take the broker, the models by code, where ids come from, and the limits that hold by default."""
        self._broker = broker
        self._models = models
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether nothing new is taken any more."""
        return self._draining

    def models(self) -> list[str]:
        """List the model codes, in the order of the configuration."""
        return list(self._models)

    async def submit(
        self,
        request: Request,
        *,
        max_wait: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the task's, not that of this call
    ) -> Task:
        """Accept a request as an attached task; its caller then follows it.

        `max_wait` and `timeout` are seconds, the configured ones where None. Raises `ModelNotFound`, `ShuttingDown`,
        and what `Broker.enqueue` raises.
        """
        if self._draining:
            raise ShuttingDown("the server is shutting down and takes nothing new: try again shortly", retry_after=1.0)
        model = self._models.get(request.model)
        if model is None:
            raise self._no_such_model(request.model)
        task = Task(
            id=self._new_id(),
            request=request,
            provider=model.provider,
            model=model.name,
            caller="anonymous",
            created_at=self._clock.now(),
            max_wait=self._limits.max_wait if max_wait is None else max_wait,
            timeout=self._limits.timeout if timeout is None else timeout,
        )
        await self._broker.enqueue(task)
        return task

    def follow(self, task: Task) -> Subscription:
        """Read a task's log. Ceasing to, before the end, cancels the task."""
        return self._broker.subscribe(task.id)

    async def cancel(self, task_id: str) -> None:
        """End a task, waiting or running. Harmless when it is over."""
        await self._broker.cancel(task_id)

    def drain(self) -> None:
        """Take nothing new from now on; what is accepted goes on."""
        self._draining = True

    def _no_such_model(self, code: str) -> ModelNotFound:
        code = code if len(code) <= _LONGEST_CODE else f"{code[:_LONGEST_CODE]}…"
        near = difflib.get_close_matches(code, self._models, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "."
        return ModelNotFound(
            f"there is no model {code!r}{hint} The models are: {', '.join(self._models)}", field="model_code"
        )


class Collector:
    """Puts a whole answer together from the entries of a log: the same events that a stream shows, kept."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        """Begin with nothing."""
        self._texts: list[str] = []

    def add_all(self, entries: Sequence[Entry]) -> Answer | None:
        """Take the next entries; return the answer when it is whole. Raises the error that the log ends with."""
        answer = None
        for _, event in entries:
            answer = self.add(event)
        return answer

    def add(self, event: Delta | Restart | Finish | Error) -> Answer | None:
        """Take the next event; return the answer when it is whole. Raises the error that the log ends with."""
        if type(event) is Delta:
            self._texts.append(event.text)
        elif type(event) is Finish:
            return Answer("".join(self._texts), event)
        elif type(event) is Error:
            raise event.error
        else:
            self._texts.clear()
        return None
