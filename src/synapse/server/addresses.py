"""Which addresses on the network belong to the public."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.abc import ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFFFFFF


class PrivateAddressError(OSError):
    """An address that is not the public's: that of this machine, of a network at home, of a cloud's own services."""


def is_public(address: Address) -> bool:
    """Tell whether an address is reachable by everybody, looking into IPv6 addresses that stand for an IPv4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner(address)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & _LOW_32_BITS)
    return None


def literal(host: str) -> Address | None:
    """Return the address that a host is written as; None for a name.

    The ways of writing that only some systems know (`127.1`, `0x7f000001`, `2130706433`) count too: a resolver would
    take them for addresses.
    """
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only. The connection goes to the very address that was looked at."""

    def __init__(self, inner: AbstractResolver | None = None, *, public: Callable[[Address], bool] = is_public) -> None:
        """Take who resolves, the system where None, and who knows what is public."""
        self._inner = inner or ThreadedResolver()
        self._public = public

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a name. Raises `PrivateAddressError` when one of its addresses is not the public's."""
        found = await self._inner.resolve(host, port, family)
        for result in found:
            address = literal(result["host"])
            if address is None or not self._public(address):
                raise PrivateAddressError(f"{host} has an address that is not public")
        return found

    async def close(self) -> None:
        """Let go of the resolver."""
        await self._inner.close()
