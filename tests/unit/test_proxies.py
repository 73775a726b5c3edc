"""Which proxy the environment wants."""

from __future__ import annotations

import pytest

from synapse.providers.proxies import proxy_for

URL = "https://api.example.com/v1"
PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        (URL, {}, None),
        (URL, {"HTTPS_PROXY": PROXY}, PROXY),
        (URL, {"https_proxy": PROXY}, PROXY),
        (URL, {"https_proxy": "http://small:1", "HTTPS_PROXY": PROXY}, "http://small:1"),
        (URL, {"https_proxy": "", "HTTPS_PROXY": PROXY}, PROXY),
        (URL, {"HTTP_PROXY": PROXY}, None),
        (URL, {"ALL_PROXY": PROXY}, PROXY),
        (URL, {"all_proxy": PROXY, "HTTPS_PROXY": "http://other:1"}, "http://other:1"),
        ("http://api.example.com", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://api.example.com", {"HTTPS_PROXY": PROXY}, None),
        (URL, {"HTTPS_PROXY": "proxy:3128"}, PROXY),
        (URL, {"HTTPS_PROXY": " http://user:pw@proxy:3128 "}, "http://user:pw@proxy:3128"),
        ("", {"ALL_PROXY": PROXY}, None),
    ],
)
def test_the_proxy_is_that_of_the_scheme_or_that_of_all(url: str, environ: dict[str, str], proxy: str | None) -> None:
    """Small letters win over capitals; what is empty does not count."""
    assert proxy_for(url, environ) == proxy


@pytest.mark.parametrize(
    "no_proxy",
    [
        "*",
        "api.example.com",
        "example.com",
        ".example.com",
        "*.example.com",
        "API.Example.COM",
        "example.com.",
        "api.example.com:443",
        ".example.com:443",
        "other.org, example.com",
        "other.org example.com",
    ],
)
def test_no_proxy_names_hosts_that_are_reached_directly(no_proxy: str) -> None:
    """A host by itself, by its domain, with its port, or with all others."""
    assert proxy_for(URL, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) is None
    assert proxy_for(URL, {"HTTPS_PROXY": PROXY, "no_proxy": no_proxy, "NO_PROXY": "other.org"}) is None


@pytest.mark.parametrize(
    "no_proxy",
    [
        "",
        "ample.com",
        "api.example.co",
        "api.example.com:80",
        "example",
        "10.0.0.0/8",
        ",",
        ".",
        "x.api.example.com",
        "api.example.com/8",
    ],
)
def test_no_proxy_does_not_mean_hosts_that_only_look_alike(no_proxy: str) -> None:
    """Domains are compared label by label."""
    assert proxy_for(URL, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}) == PROXY


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("http://10.1.2.3:8000", "10.0.0.0/8", True),
        ("http://10.1.2.3:8000", "10.1.2.9/24", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.3:8000", "10.1.2.3", True),
        ("http://10.1.2.3:8000", "10.1.2.3:8000", True),
        ("http://10.1.2.3:8000", "10.1.2.3:8001", False),
        ("http://10.1.2.3", "2.3", False),
        ("http://10.1.2.3", "10.0.0.0/x", False),
        ("http://[::1]:8000", "::1", True),
        ("http://[::1]:8000", "[::1]", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://[::1]:8000", "[::1]:1", False),
        ("http://[fd00::1]", "fd00::/8", True),
        ("http://[fd00::1]", "10.0.0.0/8", False),
        ("http://localhost:11434", "localhost,127.0.0.1", True),
    ],
)
def test_no_proxy_knows_addresses_and_networks(url: str, no_proxy: str, direct: bool) -> None:  # noqa: FBT001
    """Addresses are compared as addresses, not as text."""
    assert (proxy_for(url, {"HTTP_PROXY": PROXY, "NO_PROXY": no_proxy}) is None) is direct


@pytest.mark.parametrize("proxy", ["socks5://user:pw@proxy:1080", "http://", "http://[::1", "http://proxy:99999"])
def test_what_is_no_http_proxy_is_refused(proxy: str) -> None:
    """The error names the variable, not its value: there may be a password in it."""
    with pytest.raises(ValueError, match="ALL_PROXY") as caught:
        proxy_for(URL, {"ALL_PROXY": proxy})

    assert str(caught.value) == "ALL_PROXY: not the address of an HTTP proxy, such as http://proxy.example.com:3128"
