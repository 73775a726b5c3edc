"""How both clients set up their channel to a server."""

from __future__ import annotations

from synapse.client.target import Target

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


def channel_options(target: Target) -> list[tuple[str, int]]:
    """Return gRPC's options for a channel to the target."""
    # `http_proxy` is there for the outside world; a proxy elsewhere cannot reach this machine's loopback.
    return [*_OPTIONS, ("grpc.enable_http_proxy", 0 if target.is_loopback else 1)]
