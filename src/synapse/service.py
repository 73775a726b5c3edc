"""The one door of all protocols: what a port can ask for is here."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.caller import ANONYMOUS
from synapse.domain.errors import InvalidRequest, ModelNotFound, PermissionDenied, ShuttingDown, UnsupportedParameter
from synapse.domain.task import Task
from synapse.domain.unsupported import DROPPABLE, without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from synapse.brokers.base import Broker, Place, Subscription
    from synapse.domain.caller import Band, Caller
    from synapse.domain.clock import Clock
    from synapse.domain.request import Request
    from synapse.domain.standing import KeyStanding
    from synapse.domain.task import Route
    from synapse.domain.unsupported import Unsupported
    from synapse.totals import CallerTotal

    Check = Callable[[Request, str], tuple[Unsupported, ...]]

_LONGEST_CODE = 200
"""Characters of an unknown model code that are looked at, and sent back: a caller may send megabytes."""


class Limits(msgspec.Struct, frozen=True):
    """How long a task may take where its caller says nothing. Seconds."""

    max_wait: float = 600.0
    timeout: float = 3600.0


class Service:
    """Takes requests in, gives out tasks and the logs of tasks."""

    def __init__(
        self,
        broker: Broker,
        models: Mapping[str, Route],
        *,
        clock: Clock,
        new_id: Callable[[], str],
        limits: Limits,
        fallbacks: Mapping[str, Sequence[str]] | None = None,
        fallback_after: float = 30.0,
        keys: Callable[[], list[KeyStanding]] = list,
        unsupported: Mapping[str, Check] | None = None,
        totals: Callable[[], list[CallerTotal]] = list,
    ) -> None:
        """Take the broker, where each model code leads, where ids come from, and the limits that hold by default.

        `fallbacks` has the codes that answer in the place of one, by that one; `fallback_after` is in seconds; `keys`
        tells how the keys of the providers stand; `unsupported` has, by provider, what names those parts of a request
        that it cannot honour; `totals` tells what each caller has used.
        """
        self._broker = broker
        self._models = models
        self._clock = clock
        self._new_id = new_id
        self._limits = limits
        self._fallbacks = {code: tuple(models[other] for other in others) for code, others in (fallbacks or {}).items()}
        self._fallback_after = fallback_after
        self._keys = keys
        self._unsupported = unsupported or {}
        self._totals = totals
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether nothing new is taken any more."""
        return self._draining

    def models(self, caller: Caller = ANONYMOUS) -> list[str]:
        """List the model codes that a caller may use, in the order of the configuration."""
        return [code for code in self._models if _may_use(caller, code)]

    def routes(self, caller: Caller = ANONYMOUS) -> list[Route]:
        """Say where those codes lead, in the same order."""
        return [route for code, route in self._models.items() if _may_use(caller, code)]

    def keys(self, caller: Caller) -> list[KeyStanding]:
        """Say how the keys of the providers stand. Raises `PermissionDenied` for a caller who may not see that."""
        self._check_admin(caller)
        return self._keys()

    def totals(self, caller: Caller) -> list[CallerTotal]:
        """Say what each caller has used. Raises `PermissionDenied` for a caller who may not see that."""
        self._check_admin(caller)
        return self._totals()

    @staticmethod
    def _check_admin(caller: Caller) -> None:
        if not caller.admin:
            raise PermissionDenied(
                f"the caller {caller.name!r} may not see the keys: `admin: true` in server.callers would let it"
            )

    async def submit(
        self,
        request: Request,
        *,
        caller: Caller = ANONYMOUS,
        priority: Band | None = None,
        max_wait: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the task's, not that of this call
        fallbacks: Sequence[str] | None = None,
        drop_unsupported: bool = False,
    ) -> Task:
        """Accept a request as an attached task; its caller then follows it.

        `priority` is the caller's own band where None, and never a more urgent one. `max_wait` and `timeout` are
        seconds, the configured ones where None. `fallbacks` are model codes, those of the request's model where None.
        `drop_unsupported` leaves out what the model's provider cannot honour, where it may; the task says what. Raises
        `ModelNotFound`, `PermissionDenied`, `InvalidRequest`, `ShuttingDown`, and what `Broker.enqueue` raises.
        """
        if self._draining:
            raise ShuttingDown("the server is shutting down and takes nothing new: try again shortly", retry_after=1.0)
        route = self._route(request.model, caller)
        request, dropped = self._honourable(request, route, drop=drop_unsupported)
        task = Task(
            id=self._new_id(),
            request=request,
            provider=route.provider,
            model=route.model,
            created_at=self._clock.now(),
            max_wait=self._limits.max_wait if max_wait is None else max_wait,
            timeout=self._limits.timeout if timeout is None else timeout,
            caller=caller,
            band=caller.band if priority is None else _less_urgent(caller.band, priority),
            fallbacks=self._fallbacks_of(route.code, caller, fallbacks),
            fallback_after=self._fallback_after,
            dropped=dropped,
        )
        await self._broker.enqueue(task)
        return task

    def place(self, task_id: str) -> Place | None:
        """Say where a task stands in its lane; None when it does not wait."""
        return self._broker.place(task_id)

    def follow(self, task: Task) -> Subscription:
        """Read a task's log. Ceasing to, before the end, cancels the task."""
        return self._broker.subscribe(task.id)

    async def cancel(self, task_id: str) -> None:
        """End a task, waiting or running. Harmless when it is over."""
        await self._broker.cancel(task_id)

    def drain(self) -> None:
        """Take nothing new from now on; what is accepted goes on."""
        self._draining = True

    def _route(self, code: str, caller: Caller) -> Route:
        route = self._models.get(code)
        if route is None:
            raise self._no_such_model(code, caller)
        if not _may_use(caller, code):
            raise self._not_allowed("model_code", code, caller)
        return route

    def _honourable(self, request: Request, route: Route, *, drop: bool) -> tuple[Request, tuple[str, ...]]:
        """Return the request as the model's provider can honour it, and what was dropped to make it so."""
        check = self._unsupported.get(route.provider)
        found = check(request, route.model) if check is not None else ()
        if not found:
            return request, ()
        for each in found:
            if not drop or each.parameter not in DROPPABLE:
                raise UnsupportedParameter.of(each.parameter, route.code, each.hint)
        dropped = tuple([each.parameter for each in found])
        return without(request, dropped), dropped

    def _fallbacks_of(self, code: str, caller: Caller, asked: Sequence[str] | None) -> tuple[Route, ...]:
        if asked is not None:
            return tuple(self._asked_fallbacks(code, caller, asked))
        configured = self._fallbacks.get(code, ())
        if caller.models is None:
            return configured
        return tuple(route for route in configured if _may_use(caller, route.code))

    def _asked_fallbacks(self, code: str, caller: Caller, asked: Sequence[str]) -> Iterable[Route]:
        seen = {code}
        for index, other in enumerate(asked):
            field = f"fallbacks[{index}]"
            route = self._models.get(other)
            if route is None:
                message = f"{field}: there is no model {_shown(other)}{self._those_there_are(other, caller)}"
                raise InvalidRequest(message, field=field)
            if not _may_use(caller, other):
                raise self._not_allowed(field, other, caller)
            if other in seen:
                raise InvalidRequest(f"{field}: {other!r} is asked for already; name each model once", field=field)
            seen.add(other)
            yield route

    def _no_such_model(self, code: str, caller: Caller) -> ModelNotFound:
        return ModelNotFound(
            f"there is no model {_shown(code)}{self._those_there_are(code, caller)}", field="model_code"
        )

    def _not_allowed(self, field: str, code: str, caller: Caller) -> PermissionDenied:
        may = ", ".join(self.models(caller))
        return PermissionDenied(
            f"{field}: the caller {caller.name!r} may not use the model {code!r}; it may use {may}", field=field
        )

    def _those_there_are(self, code: str, caller: Caller) -> str:
        models = self.models(caller)
        near = difflib.get_close_matches(code[:_LONGEST_CODE], models, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "."
        return f"{hint} The models are: {', '.join(models)}"


def _may_use(caller: Caller, code: str) -> bool:
    return caller.models is None or code in caller.models


def _less_urgent(one: Band, other: Band) -> Band:
    return max(one, other, key=lambda band: band.rank)


def _shown(code: str) -> str:
    return repr(code if len(code) <= _LONGEST_CODE else f"{code[:_LONGEST_CODE]}…")
