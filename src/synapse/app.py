"""The one place that picks concrete parts and joins them: broker, worker, providers, ports."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import random
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from zoneinfo import ZoneInfo

import structlog

from synapse.brokers.bookkeeping import remembering
from synapse.brokers.memory import MemoryBroker
from synapse.config import cpu_cores, known_callers
from synapse.domain.clock import SystemClock
from synapse.domain.errors import ShuttingDown
from synapse.domain.task import Route
from synapse.providers.http import HttpProvider, open_session
from synapse.providers.pricing import PriceList
from synapse.providers.simulator import SimulatorProvider
from synapse.providers.wires import anthropic, gemini, openai
from synapse.scheduling.ledger import Ledger, Terms
from synapse.scheduling.policy import RetryRules
from synapse.server.callers import Callers
from synapse.server.grpc import listener as grpc_listener
from synapse.server.http import listener as http_listener
from synapse.server.http.app import HttpApp
from synapse.server.remote_images import FetchRules, fetching
from synapse.service import Limits, Service
from synapse.task_log import open_task_log
from synapse.totals import Totals
from synapse.worker.attempt import AttemptRules
from synapse.worker.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    import aiohttp

    from synapse.brokers.base import TaskEnd
    from synapse.config import Config
    from synapse.domain.clock import Clock
    from synapse.domain.request import Request
    from synapse.domain.standing import KeyStanding
    from synapse.providers.base import Provider
    from synapse.providers.catalog import ProviderPlan
    from synapse.server.grpc.listener import GrpcPort
    from synapse.server.remote_images import RemoteImages

log = structlog.get_logger("synapse")

WIRES = {wire.name: wire for wire in (gemini.WIRE, *openai.WIRES, anthropic.WIRE)}


class App:
    """A running Synapse."""

    def __init__(
        self, service: Service, broker: MemoryBroker, worker: Worker, *, http_port: int, grpc: GrpcPort
    ) -> None:
        """Take the running parts."""
        self.service = service
        self.broker = broker
        self.worker = worker
        self.http_port = http_port
        self.grpc_port = grpc.port
        self._grpc = grpc

    async def drain(self, grace: float) -> bool:
        """Take nothing new and let what is accepted end; after `grace` seconds end the rest.

        Returns whether all ended by itself. The ports go on answering: new work is refused in words, not with a
        closed door.
        """
        self.service.drain()
        await self._grpc.refuse()
        try:
            async with asyncio.timeout(grace):
                await self.broker.idle()
        except TimeoutError:
            self.broker.close(ShuttingDown("the server shut down before the task ended: submit it again"))
            return False
        return True


@contextlib.asynccontextmanager
async def running(
    config: Config,
    plans: Sequence[ProviderPlan],
    *,
    cores: int,
    environ: Mapping[str, str],
    clock: Clock | None = None,
    on_end: Callable[[TaskEnd], object] = lambda _: None,
) -> AsyncGenerator[App, None]:
    """Run a whole Synapse while the block lasts: one process, all parts. `on_end` is told of each task's end."""
    clock = clock or SystemClock()
    ledgers = {plan.name: _ledger(plan, config) for plan in plans}
    totals = Totals()

    def ended(end: TaskEnd) -> None:
        totals.add(end)
        on_end(end)

    async with contextlib.AsyncExitStack() as parts:
        path = Path(config.store.path) if config.store.path is not None else None
        broker = MemoryBroker(
            ledgers,
            clock=clock,
            max_size=config.queue.max_size,
            interactive_reserve=config.scheduling.interactive_reserve,
            on_end=ended,
            on_change=await parts.enter_async_context(remembering(ledgers, path, clock)),
        )
        service = _service(config, plans, broker, ledgers, totals, clock=clock)
        callers = Callers(known_callers(config.server.callers, environ))
        session = await parts.enter_async_context(open_session(config.providers.connect_timeout))
        providers = {plan.name: _provider(plan, session, environ) for plan in plans}
        slots = config.worker.slots(cores)
        worker = Worker(broker, providers, _rules(config, plans, clock), slots=slots)
        await parts.enter_async_context(_in_background(worker))
        tls = (config.server.tls.cert, config.server.tls.key) if config.server.tls is not None else None
        http_app = HttpApp(
            service,
            max_request_bytes=config.server.max_request_bytes,
            keepalive_seconds=config.server.keepalive_seconds,
            callers=callers,
            prepare=(await parts.enter_async_context(_remote_images(config, plans))).prepare,
        )
        http_port = await parts.enter_async_context(
            http_listener.listening(http_app, config.server.host, config.server.http_port, tls=tls)
        )
        grpc = await parts.enter_async_context(
            grpc_listener.listening(
                service,
                config.server.host,
                config.server.grpc_port,
                keepalive_seconds=config.server.keepalive_seconds,
                tls=tls,
                callers=callers,
            )
        )
        yield App(service, broker, worker, http_port=http_port, grpc=grpc)


@contextlib.asynccontextmanager
async def _in_background(worker: Worker) -> AsyncGenerator[None, None]:
    running_worker = asyncio.get_running_loop().create_task(worker.run())
    try:
        yield
    finally:
        running_worker.cancel()
        await asyncio.gather(running_worker, return_exceptions=True)


def _ledger(plan: ProviderPlan, config: Config) -> Ledger:
    terms = Terms(
        plan.name,
        ZoneInfo(plan.day_zone),
        variables=plan.key_variables,
        quotas=plan.quotas,
        shared_models=plan.shared_models,
        careful=plan.simulation is None,
        interactive_reserve=config.scheduling.interactive_reserve,
    )
    return Ledger(terms, plan.credentials, random=random.random)


def _service(
    config: Config,
    plans: Sequence[ProviderPlan],
    broker: MemoryBroker,
    ledgers: Mapping[str, Ledger],
    totals: Totals,
    *,
    clock: Clock,
) -> Service:
    def keys() -> list[KeyStanding]:
        now = clock.now()
        return [standing for ledger in ledgers.values() for standing in ledger.standings(now)]

    return Service(
        broker,
        {code: Route(code, plan.name, name) for plan in plans for code, name in plan.models.items()},
        clock=clock,
        new_id=lambda: new_task_id(clock),
        limits=Limits(config.queue.max_wait, config.queue.timeout),
        fallbacks={code: others for plan in plans for code, others in plan.fallbacks.items()},
        fallback_after=config.scheduling.fallback_after,
        keys=keys,
        totals=totals.all,
        unsupported={plan.name: WIRES[plan.wire].unsupported for plan in plans if plan.wire in WIRES},
    )


def _remote_images(
    config: Config, plans: Sequence[ProviderPlan]
) -> contextlib.AbstractAsyncContextManager[RemoteImages]:
    """Fetch pictures for those models whose provider, or that of a fallback, does not fetch them itself."""
    fetches = {code: plan.image_urls for plan in plans for code in plan.models}
    fallbacks = {code: others for plan in plans for code, others in plan.fallbacks.items()}

    def wanted(request: Request) -> bool:
        codes = (request.model, *fallbacks.get(request.model, ()))
        return not all(fetches.get(code, True) for code in codes)

    wish = config.server.remote_images
    return fetching(FetchRules(wish.enabled, wish.max_bytes, wish.timeout), wanted=wanted)


def _provider(plan: ProviderPlan, session: aiohttp.ClientSession, environ: Mapping[str, str]) -> Provider:
    if plan.simulation is not None:
        return SimulatorProvider(tokens_per_second=plan.simulation.tokens_per_second, tokens=plan.simulation.tokens)
    return HttpProvider(plan.base_url, WIRES[plan.wire], session, headers=plan.headers, proxy=plan.proxy(environ))


def _rules(config: Config, plans: Sequence[ProviderPlan], clock: Clock) -> AttemptRules:
    retry = RetryRules(config.retry.max_attempts, config.retry.base_delay, config.retry.max_delay)
    providers = config.providers
    return AttemptRules(
        retry,
        first_event_timeout=providers.first_event_timeout,
        stall_timeout=providers.stall_timeout,
        answer_timeout=providers.answer_timeout,
        clock=clock,
        random=random.random,
        price=PriceList({plan.name: plan.type for plan in plans if plan.at_home}).price,
    )


def new_task_id(clock: Clock) -> str:
    """Make an id that sorts by the time of its making (milliseconds) and is never made twice."""
    return f"task_{int(clock.now() * 1000):011x}{random.getrandbits(64):016x}"


async def serve(
    config: Config, plans: Sequence[ProviderPlan], *, environ: Mapping[str, str], log_stream: TextIO
) -> None:
    """Run until SIGTERM or SIGINT, then drain. A second signal ends the process at once."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    _allow_many_connections()
    _let_the_loop_run()
    task_log = open_task_log(log_stream)
    async with running(config, plans, cores=cpu_cores(), environ=environ, on_end=task_log) as app:
        _collect_garbage_less()
        log_start(config, plans, app)
        await stop.wait()
        stats = app.broker.stats()
        log.info("shutting down", waiting=stats.waiting, running=stats.running)
        finished = await app.drain(config.server.shutdown_grace)
    task_log.flush()
    log.info("stopped", everything_finished=finished)


def _let_the_loop_run() -> None:
    """Keep gRPC's threads from interrupting the event loop each time they have something for it.

    They wake for every step of every call. On a core they share with the loop, an ordinary thread that wakes takes the
    core at once, and a third of the time went into changing places; one of the batch class waits until the loop rests.
    Threads inherit the class, so this comes before there are any. Linux only; elsewhere nothing changes.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _collect_garbage_less() -> None:
    """Leave out of the collector's rounds what lives as long as the process, and make the rounds fewer.

    Nearly nothing that a request leaves behind is in a cycle, so most rounds find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def _allow_many_connections() -> None:
    """Use as many file descriptors as this process may have: each caller takes one, and each attempt."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def log_start(config: Config, plans: Sequence[ProviderPlan], app: App) -> None:
    """Say what runs, what is missing, and what is open to whom."""
    host = config.server.host
    scheme = "https" if config.server.tls is not None else "http"
    for plan in plans:
        if plan.needs_key and not plan.credentials:
            variable = " or ".join(plan.key_variables)
            log.warning("no API key", provider=plan.name, models=list(plan.models), set=variable)
    if not _is_loopback(host) and not config.server.callers:
        log.warning("open to the network", host=host, exposed="every model and key, to anyone who reaches the ports")
    log.info(
        "ready",
        http=f"{scheme}://{host}:{app.http_port}",
        grpc=f"{host}:{app.grpc_port}",
        models=len(app.service.models()),
        slots=app.worker.slots.total,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
