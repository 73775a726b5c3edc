"""The ASGI application: finds the route, and turns what goes wrong into an answer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import structlog

from synapse.domain.errors import InternalError, MethodNotAllowed, NotFound, ShuttingDown, SynapseError
from synapse.server.callers import EVERYBODY, Callers
from synapse.server.http.admin import AdminApi
from synapse.server.http.asgi import respond
from synapse.server.http.explain import error_headers, error_json
from synapse.server.http.native import NativeApi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse.server.http.asgi import Receive, Scope, Send
    from synapse.service import Service

    Route = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger("synapse.http")


class HttpApp:
    """One callable for all routes, matched by their exact path: no framework between a request and its handler."""

    def __init__(
        self, service: Service, *, max_request_bytes: int, keepalive_seconds: float, callers: Callers = EVERYBODY
    ) -> None:
        """Take the service, what the routes need to know of the configuration, and who may call."""
        native = NativeApi(service, callers, max_request_bytes=max_request_bytes, keepalive_seconds=keepalive_seconds)
        admin = AdminApi(service, callers)
        self._service = service
        self._routes: dict[str, dict[str, Route]] = {
            "/generate": {"POST": native.generate},
            "/models": {"GET": native.models, "HEAD": native.models},
            "/admin/keys": {"GET": admin.keys, "HEAD": admin.keys},
            "/healthz": {"GET": self._healthz, "HEAD": self._healthz},
            "/readyz": {"GET": self._readyz, "HEAD": self._readyz},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope)(scope, receive, send)
        except SynapseError as error:
            await _fail(error, send)
        except Exception:
            log.exception("a route failed by a fault of Synapse", path=scope["path"])
            with contextlib.suppress(RuntimeError):  # what the server says where an answer has begun already
                await _fail(InternalError("Synapse failed at this request; its log has the reason"), send)
            raise

    def _route(self, scope: Scope) -> Route:
        path, method = scope["path"], scope["method"]
        methods = self._routes.get(path)
        if methods is None:
            raise NotFound(f"there is no {path}; the routes are {', '.join(self._routes)}")
        route = methods.get(method)
        if route is None:
            raise MethodNotAllowed(f"{path} takes {' and '.join(methods)}, not {method}")
        return route

    async def _healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that the process lives."""
        del scope, receive
        await respond(send, 200, b'{"status":"ok"}')

    async def _readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say whether new tasks are taken."""
        del scope, receive
        if self._service.draining:
            raise ShuttingDown("the server is shutting down and takes nothing new")
        await respond(send, 200, b'{"status":"ready"}')


async def _fail(error: SynapseError, send: Send) -> None:
    await respond(send, error.row.http, error_json(error), error_headers(error))
