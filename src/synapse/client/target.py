"""Where a server is, as people write it."""

from __future__ import annotations

import re

import msgspec

from synapse.domain.errors import InvalidRequest

DEFAULT_PORT = 50051
TLS_PORT = 443

_PREFIX = re.compile(r"(https?|grpcs?)://", re.IGNORECASE)
_HOST_ALONE = re.compile(r"\[[^\]]+\]|[^:/\[\]]+")
_LOOPBACK = re.compile(r"(localhost|127\.[\d.]+|\[::1\]):\d+", re.IGNORECASE)


class Target(msgspec.Struct, frozen=True):
    """A server's address in gRPC's spelling, and how it is spoken to."""

    address: str
    tls: bool

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, by its name."""
        return _LOOPBACK.fullmatch(self.address) is not None


def parse_target(text: str, *, tls: bool | None = None) -> Target:
    """Read `HOST:PORT`, with or without a prefix, or any other name that gRPC resolves (`unix:/run/synapse.sock`).

    `https://` and `grpcs://` mean TLS, `http://` and `grpc://` mean none; without a prefix port 443 means TLS. `tls`,
    where given, overrules all of that. A missing port is 443 after a TLS prefix and 50051 otherwise.
    Raises `InvalidRequest` where there is no host, or something after the port.
    """
    prefix = _PREFIX.match(text.strip())
    address = (text.strip()[prefix.end() :] if prefix else text.strip()).removesuffix("/")
    if not address or (prefix and "/" in address):
        raise InvalidRequest(
            f"{text!r} is no address of a server: give HOST:PORT, as in localhost:{DEFAULT_PORT}", field="target"
        )
    prefix_says_tls = prefix is not None and prefix[1].lower() in {"https", "grpcs"}
    if _HOST_ALONE.fullmatch(address):
        address = f"{address}:{TLS_PORT if prefix_says_tls else DEFAULT_PORT}"
    guess = prefix_says_tls if prefix else address.endswith(f":{TLS_PORT}")
    return Target(address, guess if tls is None else tls)
