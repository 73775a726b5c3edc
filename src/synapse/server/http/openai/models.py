"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.errors import ModelNotFound
from synapse.server.http.asgi import respond
from synapse.server.http.intake import new_request_id
from synapse.server.http.openai.errors import id_header

if TYPE_CHECKING:
    from synapse.domain.task import Route
    from synapse.server.http.asgi import Receive, Scope, Send
    from synapse.server.http.intake import Intake

_PATH = "/v1/models/"


class Model(msgspec.Struct, kw_only=True):
    """A model as OpenAI describes one."""

    id: str
    """The model code."""
    object: str = "model"
    created: int
    owned_by: str
    """Its provider, by its name in the configuration."""


class ModelList(msgspec.Struct, kw_only=True):
    """All of them; there are no pages."""

    object: str = "list"
    data: list[Model]


_encode = msgspec.json.Encoder().encode


class ModelsApi:
    """The routes. A caller sees the models it may use, and no others."""

    def __init__(self, intake: Intake, *, created: int) -> None:
        """Take what knows the models, and the instant that is given as that of their making: nobody knows theirs."""
        self._intake = intake
        self._created = created

    async def all(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/models`, in the order of the configuration."""
        del receive
        await self._respond(send, ModelList(data=[self._model(route) for route in self._routes(scope)]))

    async def one(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`GET /v1/models/{id}`. Raises `ModelNotFound`.

        An id may have slashes: clients encode them as `%2F`, and the path comes decoded.
        """
        del receive
        code = scope["path"].removeprefix(_PATH)
        routes = self._routes(scope)
        for route in routes:
            if route.code == code:
                await self._respond(send, self._model(route))
                return
        known = ", ".join(route.code for route in routes)
        raise ModelNotFound(f"model: there is no model {code[:200]!r}. The models are: {known}", field="model")

    def _routes(self, scope: Scope) -> list[Route]:
        return self._intake.service.routes(self._intake.caller(scope))

    def _model(self, route: Route) -> Model:
        return Model(id=route.code, created=self._created, owned_by=route.provider)

    async def _respond(self, send: Send, body: Model | ModelList) -> None:
        await respond(send, 200, _encode(body), [id_header(new_request_id())])
