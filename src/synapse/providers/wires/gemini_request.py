"""Writing requests to Gemini."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from synapse.providers.wires.base import Call
from synapse.providers.wires.gemini_body import Body, encode_body
from synapse.providers.wires.gemini_config import generation_config, tool_config, tools
from synapse.providers.wires.gemini_contents import conversation
from synapse.providers.wires.gemini_extras import merged
from synapse.providers.wires.gemini_models import traits

if TYPE_CHECKING:
    from synapse.domain.credential import Credential
    from synapse.domain.request import Request


def encode(request: Request, model: str, credential: Credential | None) -> Call:
    """Write the request for the model named `model` at Gemini, with or without the prefix `models/`."""
    action = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
    body = encode_body(_body(request, model))
    return call(model, action, merged(body, request.extras) if request.extras else body, credential)


def call(model: str, action: str, body: bytes, credential: Credential | None) -> Call:
    """Address a body to a model."""
    headers = {"content-type": "application/json"}
    if credential is not None:
        headers["x-goog-api-key"] = credential.key
    return Call(_path(model, action), headers, body)


def bare(model: str) -> str:
    """Return a model's name without the prefix `models/`."""
    return model.removeprefix("models/")


@lru_cache(maxsize=512)
def _path(model: str, action: str) -> str:
    return f"/v1beta/models/{quote(bare(model), safe='/')}:{action}"


def _body(request: Request, model: str) -> Body:
    known = traits(model)
    contents, instruction = conversation(request.messages, known)
    return Body(
        contents,
        instruction,
        tools(request),
        tool_config(request),
        generation_config(request, known),
    )
