"""Which proxy the environment wants between us and a provider: HTTPS_PROXY and its relatives."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS = {"http": 80, "https": 443}
_LIST = re.compile(r"[,\s]+")


def proxy_for(base_url: str, environ: Mapping[str, str]) -> str | None:
    """Give the URL of the proxy for a base URL, or None for a direct connection.

    Small letters win over capitals, HTTP_PROXY and HTTPS_PROXY over ALL_PROXY; NO_PROXY has hosts (which include their
    subdomains), `.suffix`, `host:port`, networks (`10.0.0.0/8`) and `*`. Raises ValueError, with the variable's name,
    for a proxy that is no HTTP proxy.
    """
    url = urlsplit(base_url)
    variable, proxy = _first(environ, f"{url.scheme}_proxy", "all_proxy")
    _, exceptions = _first(environ, "no_proxy")
    if not proxy or not url.hostname or any(_matches(entry, url) for entry in _LIST.split(exceptions) if entry):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not _is_http(proxy):
        raise ValueError(f"{variable}: not the address of an HTTP proxy, such as http://proxy.example.com:3128")
    return proxy


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    for name in names:
        for variable in (name, name.upper()):
            value = environ.get(variable, "").strip()
            if value:
                return variable, value
    return "", ""


def _is_http(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _matches(entry: str, url: SplitResult) -> bool:
    """Tell whether an entry of NO_PROXY means the URL's host."""
    if entry == "*":
        return True
    host = (url.hostname or "").rstrip(".")
    address = _address(host)
    if "/" in entry:
        return address is not None and _in_network(address, entry)
    name, port = _split_port(entry.lower())
    if port not in {None, url.port or _PORTS.get(url.scheme)}:
        return False
    if address is not None:
        return _address(name) == address
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    if _address(entry) is None:  # an IPv6 address without brackets is all colons, none of them before a port
        name, colon, port = entry.rpartition(":")
        if colon and port.isdecimal():
            return name.strip("[]"), int(port)
    return entry.strip("[]"), None


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _in_network(address: _Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
