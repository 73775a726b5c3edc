"""How an address is read."""

from __future__ import annotations

import pytest

from synapse import InvalidRequest
from synapse.client.channel import channel_options
from synapse.client.target import Target, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("localhost:50051", Target("localhost:50051", tls=False)),
        (" localhost:50051 ", Target("localhost:50051", tls=False)),
        ("localhost", Target("localhost:50051", tls=False)),
        ("[::1]", Target("[::1]:50051", tls=False)),
        ("[::1]:443", Target("[::1]:443", tls=True)),
        ("synapse.example:443", Target("synapse.example:443", tls=True)),
        ("https://synapse.example", Target("synapse.example:443", tls=True)),
        ("HTTPS://synapse.example:8443/", Target("synapse.example:8443", tls=True)),
        ("grpcs://synapse.example", Target("synapse.example:443", tls=True)),
        ("http://synapse.example:443", Target("synapse.example:443", tls=False)),
        ("http://localhost", Target("localhost:50051", tls=False)),
        ("grpc://localhost:7", Target("localhost:7", tls=False)),
        ("unix:/run/synapse.sock", Target("unix:/run/synapse.sock", tls=False)),
        ("dns:///synapse.example:443", Target("dns:///synapse.example:443", tls=True)),
    ],
)
def test_an_address_says_where_and_how(text: str, target: Target) -> None:
    """Prefix and port decide between TLS and none; a missing port is filled in."""
    assert parse_target(text) == target


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("text", ["localhost:50051", "synapse.example:443", "http://synapse.example", "https://h:1"])
def test_tls_overrules_the_address(text: str, *, tls: bool) -> None:
    """What is said outright needs no guess."""
    assert parse_target(text, tls=tls).tls is tls


@pytest.mark.parametrize("text", ["", "  ", "https://", "http:///", "https://synapse.example/v1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The error shows an example of an address."""
    with pytest.raises(InvalidRequest, match="localhost:50051") as caught:
        parse_target(text)

    assert caught.value.field == "target"


@pytest.mark.parametrize(
    ("text", "proxied"),
    [("localhost", 0), ("127.0.0.1:1", 0), ("[::1]:1", 0), ("localhost.example:1", 1), ("synapse.example:443", 1)],
)
def test_a_proxy_is_never_asked_for_this_machine(text: str, proxied: int) -> None:
    """`http_proxy` in the environment does not cut off a local server."""
    assert dict(channel_options(parse_target(text)))["grpc.enable_http_proxy"] == proxied
