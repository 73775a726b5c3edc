"""What goes along with every call: the caller's key, and whatever else is given."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from synapse.domain.errors import InvalidRequest

API_KEY_VARIABLE = "SYNAPSE_API_KEY"

_AUTHORIZATION = "authorization"
_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_API_KEY = re.compile(r"[!-~]+")

MetadataPairs = tuple[tuple[str, str], ...]


def read_metadata(metadata: Mapping[str, str] | Iterable[tuple[str, str]], api_key: str | None = None) -> MetadataPairs:
    """Return what goes along with every call, in gRPC's spelling.

    The key is that of the variable where it is None and `metadata` has no `authorization`; an empty one is none.
    Raises `InvalidRequest` for a name, a value or a key that cannot be sent, and for two keys; never shows a value or
    a key.
    """
    given = metadata.items() if isinstance(metadata, Mapping) else metadata
    pairs = tuple(_checked(name.lower(), value) for name, value in given)
    if all(name != _AUTHORIZATION for name, _ in pairs):
        key = _read_key(api_key)
        return (*pairs, (_AUTHORIZATION, f"Bearer {key}")) if key else pairs
    if api_key:
        raise InvalidRequest("there are two keys: api_key, and authorization in metadata; give one", field="api_key")
    return pairs


def _read_key(given: str | None) -> str:
    key = (os.environ.get(API_KEY_VARIABLE, "") if given is None else given).strip()
    if key and not _API_KEY.fullmatch(key):
        source, field = (API_KEY_VARIABLE, None) if given is None else ("api_key", "api_key")
        raise InvalidRequest(
            f"{source} is no key: it may only have printable ASCII and no spaces; copy it again", field=field
        )
    return key


def _checked(name: str, value: str) -> tuple[str, str]:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"metadata key {name!r} may only have a-z, 0-9, '_', '-' and '.'", field="metadata")
    if not _VALUE.fullmatch(value):
        raise InvalidRequest(f"the value of metadata {name!r} may only have printable ASCII", field="metadata")
    return name, value
