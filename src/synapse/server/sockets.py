"""Listening sockets."""

from __future__ import annotations

import socket


def bind(host: str, port: int, purpose: str) -> socket.socket:
    """Take a port, a free one where 0 is asked for. Raises `OSError` that says which, for what, and why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"cannot listen on {host}:{port} for {purpose}: {exc.strerror}") from exc
    listener.settimeout(0)
    return listener
