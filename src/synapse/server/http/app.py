"""The ASGI application: finds the route, and turns what goes wrong into an answer."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import structlog

from synapse.domain.errors import InternalError, MethodNotAllowed, NotFound, ShuttingDown, SynapseError
from synapse.server.callers import EVERYBODY, Callers
from synapse.server.http.admin import AdminApi
from synapse.server.http.anthropic import errors as anthropic_errors
from synapse.server.http.anthropic.messages import MessagesApi
from synapse.server.http.asgi import respond
from synapse.server.http.explain import error_headers, error_json
from synapse.server.http.intake import Intake, unchanged
from synapse.server.http.native import NativeApi
from synapse.server.http.openai import errors as openai_errors
from synapse.server.http.openai.chat import ChatApi
from synapse.server.http.openai.embeddings import EmbeddingsApi
from synapse.server.http.openai.models import ModelsApi
from synapse.server.http.openai.responses import ResponsesApi
from synapse.server.http.openapi.api import DescriptionApi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from synapse.server.http.asgi import Receive, Scope, Send
    from synapse.server.http.intake import Prepare
    from synapse.service import Service

    Route = Callable[[Scope, Receive, Send], Awaitable[None]]
    Fail = Callable[[SynapseError, Send], Awaitable[None]]

log = structlog.get_logger("synapse.http")


class HttpApp:
    """One callable for all routes, matched by their path: no framework between a request and its handler."""

    def __init__(
        self,
        service: Service,
        *,
        max_request_bytes: int,
        keepalive_seconds: float,
        callers: Callers = EVERYBODY,
        prepare: Prepare = unchanged,
    ) -> None:
        """Take the service, what the routes need to know of the configuration, and who may call.

        `prepare` makes of each request with messages, before it becomes a task, one that its provider can be sent.
        """
        native = NativeApi(service, callers, max_request_bytes=max_request_bytes, keepalive_seconds=keepalive_seconds)
        admin = AdminApi(service, callers)
        intake = Intake(service, callers, max_request_bytes=max_request_bytes, prepare=prepare)
        chat = ChatApi(intake, keepalive_seconds=keepalive_seconds)
        embeddings = EmbeddingsApi(intake)
        messages = MessagesApi(intake, keepalive_seconds=keepalive_seconds)
        models = ModelsApi(intake, created=int(time.time()))
        responses = ResponsesApi(intake, keepalive_seconds=keepalive_seconds)
        description = DescriptionApi(needs_key=callers.told_apart)
        self._service = service
        self._routes: dict[str, dict[str, Route]] = {
            "/generate": {"POST": native.generate},
            "/models": {"GET": native.models, "HEAD": native.models},
            "/admin/keys": {"GET": admin.keys, "HEAD": admin.keys},
            "/admin/callers": {"GET": admin.callers, "HEAD": admin.callers},
            "/healthz": {"GET": self._healthz, "HEAD": self._healthz},
            "/readyz": {"GET": self._readyz, "HEAD": self._readyz},
            "/v1/models": {"GET": models.all, "HEAD": models.all},
            "/v1/chat/completions": {"POST": chat.completions},
            "/v1/embeddings": {"POST": embeddings.create},
            "/v1/responses": {"POST": responses.create},
            "/v1/messages": {"POST": messages.create},
            "/v1/messages/count_tokens": {"POST": messages.count_tokens},
            "/openapi.json": {"GET": description.document, "HEAD": description.document},
            "/docs": {"GET": description.page, "HEAD": description.page},
        }
        self._below: dict[str, dict[str, Route]] = {
            "/v1/models/": {"GET": models.one, "HEAD": models.one},
        }
        """Routes whose path goes on with a name, by the path before it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            await self._route(scope)(scope, receive, send)
        except SynapseError as error:
            await _failing(scope["path"])(error, send)
        except Exception:
            log.exception("a route failed by a fault of Synapse", path=scope["path"])
            with contextlib.suppress(RuntimeError):  # what the server says where an answer has begun already
                fault = InternalError("Synapse failed at this request; its log has the reason")
                await _failing(scope["path"])(fault, send)
            raise

    def _route(self, scope: Scope) -> Route:
        path, method = scope["path"], scope["method"]
        methods = self._routes.get(path) or self._methods_below(path)
        if methods is None:
            raise NotFound(f"there is no {path}; the routes are {', '.join(self._routes)}")
        route = methods.get(method)
        if route is None:
            raise MethodNotAllowed(f"{path} takes {' and '.join(methods)}, not {method}")
        return route

    def _methods_below(self, path: str) -> dict[str, Route] | None:
        return next((methods for prefix, methods in self._below.items() if path.startswith(prefix)), None)

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


def _failing(path: str) -> Fail:
    """Choose how the callers of a path read what went wrong."""
    return next((fail for prefix, fail in _FAILING if path.startswith(prefix)), _fail)


async def _fail(error: SynapseError, send: Send) -> None:
    await respond(send, error.row.http, error_json(error), error_headers(error))


_FAILING: tuple[tuple[str, Fail], ...] = (("/v1/messages", anthropic_errors.fail), ("/v1/", openai_errors.fail))
"""How errors are written, by the beginning of the path; the first that fits. All others are the native API's."""
