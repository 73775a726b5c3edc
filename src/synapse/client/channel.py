"""How both clients set up their channel to a server."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from synapse.client.target import Target
from synapse.domain.errors import InvalidRequest

MAX_MESSAGE_BYTES = 100 * 1024 * 1024

_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # gRPC's own values let a connection attempt hang for 20 s, and after failures refuse new calls for up to two
    # minutes without looking whether the server has come up.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A server whose machine is gone says nothing, and neither does an older one with a long queue: pings tell them
    # apart. A gRPC server that was idle for its callers breaks off those that ping more often than every 300 s.
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")

MetadataPairs = tuple[tuple[str, str], ...]


def channel_options(target: Target) -> list[tuple[str, int]]:
    """Return gRPC's options for a channel to the target."""
    # `http_proxy` is there for the outside world; a proxy elsewhere cannot reach this machine's loopback.
    return [*_OPTIONS, ("grpc.enable_http_proxy", 0 if target.is_loopback else 1)]


def read_metadata(metadata: Mapping[str, str] | Iterable[tuple[str, str]]) -> MetadataPairs:
    """Return what goes along with every call, in gRPC's spelling.

    Raises `InvalidRequest` for a key or value that cannot be sent; never shows the value, which may be a secret.
    """
    pairs = metadata.items() if isinstance(metadata, Mapping) else metadata
    return tuple(_checked(key.lower(), value) for key, value in pairs)


def _checked(key: str, value: str) -> tuple[str, str]:
    if not _KEY.fullmatch(key):
        raise InvalidRequest(f"metadata key {key!r} may only have a-z, 0-9, '_', '-' and '.'", field="metadata")
    if not _VALUE.fullmatch(value):
        raise InvalidRequest(f"the value of metadata {key!r} may only have printable ASCII", field="metadata")
    return key, value
