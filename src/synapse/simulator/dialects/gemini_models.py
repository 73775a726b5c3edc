"""The models that Gemini's API lists, page by page."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from synapse.simulator.dialects import gemini_errors as errors
from synapse.simulator.dialects.base import Form, Models, Reply, Request

_PAGE = 50
_MAX_PAGE = 1000
_NAMES = (
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.5-pro",
    "gemini-3-flash-preview",
    "gemini-3-pro-preview",
    "gemini-3.5-flash",
    "gemini-3.6-flash",
    "gemini-flash-latest",
    *(f"simulated-{number:02d}" for number in range(1, 53)),
)
"""More than fit on one page of the usual size, as in the API's own list."""


class _Page(msgspec.Struct):
    models: list[msgspec.Raw]


class _Name(msgspec.Struct):
    name: str


def list_models(request: Request, recorded: bytes | None) -> Reply:
    """Give a page of the models."""
    try:
        size = _read_size(request.parameter("pageSize"))
        start = _read_token(request.parameter("pageToken"))
    except ValueError:
        return errors.error(400, "Invalid page size or page token.")
    entries = list(_entries(recorded).values())
    page: dict[str, object] = {"models": entries[start : start + size]}
    if start + size < len(entries):
        page["nextPageToken"] = urlsafe_b64encode(f"from {start + size}".encode()).decode()
    return _reply(page)


def show_model(target: Models, recorded: bytes | None) -> Reply:
    """Give one model. Without recordings there is any model but `missing…`."""
    name = target.name or ""
    entry = _entries(recorded).get(f"models/{name}")
    if entry is None and (recorded is not None or name.startswith("missing")):
        message = f"models/{name} is not found for API version {target.version}. Call ModelService.ListModels."
        return errors.error(404, message, form=Form.PLAIN)
    return _reply(entry if entry is not None else _entry(name))


def _entries(recorded: bytes | None) -> dict[str, object]:
    if recorded is None:
        return {f"models/{name}": _entry(name) for name in _NAMES}
    page = msgspec.json.decode(recorded, type=_Page)
    return {msgspec.json.decode(entry, type=_Name).name: entry for entry in page.models}


def _entry(name: str) -> dict[str, object]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A model of the simulator",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent"],
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }


def _read_size(text: str | None) -> int:
    """Return how many models a page has. Raises `ValueError` for what is no such number."""
    size = int(text or 0)
    if size < 0:
        raise ValueError(text)
    return min(size or _PAGE, _MAX_PAGE)


def _read_token(token: str | None) -> int:
    """Return where a page begins. Raises `ValueError` for a token that is none."""
    if not token:
        return 0
    word, _, start = urlsafe_b64decode(token.encode()).decode().partition(" ")
    if word != "from":
        raise ValueError(token)
    return int(start)


def _reply(content: object) -> Reply:
    return Reply(200, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n", errors.JSON_HEADERS)
