"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from synapse.domain.caller import Caller
from synapse.server.callers import Callers

if TYPE_CHECKING:
    from conftest import Open

APP = Caller("app", models=frozenset({"a", "c"}))
CALLERS = Callers({hashlib.sha256(b"app").digest(): APP})


async def test_the_models_are_listed_in_one_page(open_ports: Open) -> None:
    """In the order of the configuration, each with its provider, and all of one age."""
    ports = await open_ports()

    response, body = await ports.fetch("/v1/models")
    again, _ = await ports.fetch("/v1/models", method="HEAD")

    listed = json.loads(body)
    assert (response.status, again.status, listed["object"]) == (200, 200, "list")
    assert [(model["id"], model["object"], model["owned_by"]) for model in listed["data"]] == [
        (code, "model", "up") for code in "abc"
    ]
    (created,) = {model["created"] for model in listed["data"]}
    assert isinstance(created, int)
    assert response.headers["x-request-id"]


async def test_a_caller_sees_the_models_it_may_use(open_ports: Open) -> None:
    """The others are not there for it."""
    ports = await open_ports(CALLERS)
    key = {"Authorization": "Bearer app"}

    _, body = await ports.fetch("/v1/models", headers=key)
    mine, _ = await ports.fetch("/v1/models/c", headers=key)
    others, reason = await ports.fetch("/v1/models/b", headers=key)
    nobodys, _ = await ports.fetch("/v1/models")

    assert [model["id"] for model in json.loads(body)["data"]] == ["a", "c"]
    assert (mine.status, others.status, nobodys.status) == (200, 404, 401)
    assert json.loads(reason)["error"]["message"] == "model: there is no model 'b'. The models are: a, c"


@pytest.mark.parametrize("path", ["a/b/c", "a%2Fb", "nix", "", "a%00"])
async def test_a_model_that_there_is_not_is_a_404(open_ports: Open, path: str) -> None:
    """Whatever it is called."""
    ports = await open_ports()

    response, body = await ports.fetch(f"/v1/models/{path}")

    error = json.loads(body)["error"]
    assert (response.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert error["message"].endswith("The models are: a, b, c")
