"""Recordings: HTTP exchanges in JSON files, as a directory holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from synapse.simulator.dialects import anthropic, find
from synapse.simulator.dialects.base import Form, Generate, Headers, Models, Request

if TYPE_CHECKING:
    from pathlib import Path

    from synapse.simulator.dialects.base import Dialect, Target

_INDEX = "index.json"
_FORMS = {"sse": Form.SSE, "json-array-stream": Form.ARRAY}
_DROPPED = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to the recorded connection, or to bytes that were decoded since."""


class Recording(msgspec.Struct, frozen=True):
    """A recorded request and its answer."""

    name: str
    """The file's path in the directory, without its ending."""
    method: str
    path: str
    query: str
    dialect: str | None
    """The dialect of a request for text or for models; None for any other."""
    lists_models: bool
    model: str | None
    """The model that was asked."""
    request: bytes
    """The request's body."""
    status: int
    headers: Headers
    form: Form
    body: bytes
    """JSON without the spaces between its parts, or text as it was sent."""


class _Request(msgspec.Struct):
    method: str
    url: str
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Response(msgspec.Struct):
    status: int
    body_kind: str | None = None
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw(b"null")


class _File(msgspec.Struct):
    request: _Request
    response: _Response


class _Model(msgspec.Struct):
    model: str


def takes_forms(dialect: Dialect, target: Target) -> bool:
    """Tell whether recorded answers can be given another form; where not, they are played for just their route."""
    return dialect is not anthropic and not (isinstance(target, Generate) and target.vectors)


def load(directory: Path) -> list[Recording]:
    """Read all recordings of a directory and of those in it, by name.

    Raises `ValueError` for a file that is no recording, and where there are none at all.
    """
    files = [*directory.glob("*.json"), *directory.glob("*/*.json")]
    recordings = [_read(file, directory) for file in files if file.name != _INDEX]
    if not recordings:
        raise ValueError(f"{directory}: there are no recordings in it (*.json, or */*.json)")
    return sorted(recordings, key=lambda recording: recording.name)


def _read(file: Path, directory: Path) -> Recording:
    try:
        content = msgspec.json.decode(file.read_bytes(), type=_File)
    except ValueError as error:
        raise ValueError(f"{file}: not a recording: {error}") from None
    name = file.relative_to(directory).with_suffix("").as_posix()
    return _recording(name, content.request, content.response)


def _recording(name: str, request: _Request, response: _Response) -> Recording:
    url = urlsplit(request.url)
    found = find(Request(request.method, url.path, url.query.encode(), []))
    dialect, target = found if found is not None and takes_forms(*found) else (None, None)
    body = _body(request.body)
    return Recording(
        name=name,
        method=request.method,
        path=url.path,
        query=url.query,
        dialect=dialect.NAME if dialect is not None else None,
        lists_models=isinstance(target, Models) and target.name is None,
        model=target.model if isinstance(target, Generate) and target.model else _model(body),
        request=body,
        status=response.status,
        headers=[(key.lower().encode(), value.encode()) for key, value in response.headers.items() if _kept(key)],
        form=_FORMS.get(response.body_kind or "", Form.PLAIN),
        body=_body(response.body),
    )


def _body(raw: msgspec.Raw) -> bytes:
    """Return a text as it is, and anything else as JSON; nothing for null."""
    content = bytes(raw).strip()
    if content == b"null":
        return b""
    if content.startswith(b'"'):
        return msgspec.json.decode(content, type=str).encode()
    return msgspec.json.format(content, indent=-1)


def _model(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Model).model.removeprefix("models/")
    except ValueError:
        return None


def _kept(header: str) -> bool:
    return header.lower() not in _DROPPED
