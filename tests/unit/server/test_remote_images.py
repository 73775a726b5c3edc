"""Pictures given by address: fetched from the public's network, and from nowhere else."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from synapse.domain.errors import InvalidRequest
from synapse.domain.request import Image, ImageUrl, Message, Request, Role, Text, ToolResult
from synapse.server.addresses import Address, is_public, literal
from synapse.server.remote_images import FetchRules, RemoteImages, fetching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiohttp.abc import ResolveResult

PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"
"""Stand-ins: what is true of the world's addresses is tested by themselves."""


def public_here(address: Address) -> bool:
    """Take one address of this machine for a public one."""
    return str(address) == PUBLIC


class Names(AbstractResolver):
    """Resolves each name to a list of addresses, another one each time it is asked."""

    def __init__(self, names: dict[str, list[Sequence[str]]]) -> None:
        """Take the answers."""
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Answer."""
        del family
        answers = self._names[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            {"hostname": host, "host": each, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for each in addresses
        ]

    async def close(self) -> None:
        """Hold nothing."""


class Web:
    """A server on both addresses, and a fetcher."""

    def __init__(self, port: int, images: RemoteImages, hits: list[str]) -> None:
        """Take what runs."""
        self.port = port
        self.images = images
        self.hits = hits

    async def fetch(self, url: str) -> Image:
        """Fetch one picture."""
        request = Request("m", (Message(Role.USER, (ImageUrl(url.replace("PORT", str(self.port)), detail="low"),)),))
        (part,) = (await self.images.prepare(request)).messages[0].parts
        assert isinstance(part, Image)
        return part

    async def refusal(self, url: str) -> str:
        """Fetch one picture that is refused; return why."""
        with pytest.raises(InvalidRequest) as caught:
            await self.fetch(url)
        assert caught.value.field == "image_url"
        return caught.value.message


@asynccontextmanager
async def serving(names: dict[str, list[Sequence[str]]] | None = None, **rules: float) -> AsyncIterator[Web]:
    """Run the server and the fetcher."""
    hits: list[str] = []
    never = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        hits.append(f"{request.host}{request.path}")
        match request.path:
            case "/to-private":
                raise web.HTTPFound(f"http://{PRIVATE}:{request.url.port}/png")
            case "/to-file":
                raise web.HTTPFound("file:///etc/passwd")
            case "/round":
                raise web.HTTPFound("/round")
            case "/once":
                raise web.HTTPFound("/png")
            case "/text":
                return web.Response(text="<html>")
            case "/slow":
                await never.wait()
            case "/gone":
                raise web.HTTPNotFound
            case _:
                pass
        return web.Response(body=PNG, content_type="text/plain")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)  # noqa: S104 - both stand-ins are on it
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with fetching(FetchRules(**rules), resolver=Names(names or {}), public=public_here) as images:
            yield Web(port, images, hits)
    finally:
        never.set()
        await runner.cleanup()


async def test_a_picture_is_fetched_and_told_by_its_bytes() -> None:
    """What the server calls it does not matter; what the caller said of it is kept."""
    async with serving() as web_:
        assert await web_.fetch(f"http://{PUBLIC}:PORT/png") == Image("image/png", PNG, detail="low")


async def test_a_redirect_is_followed() -> None:
    """As pictures often are somewhere else."""
    async with serving() as web_:
        assert (await web_.fetch(f"http://{PUBLIC}:PORT/once")).data == PNG


async def test_pictures_in_results_of_tools_are_fetched_too() -> None:
    """Each address once, however often it stands there."""
    async with serving() as web_:
        url = ImageUrl(f"http://{PUBLIC}:{web_.port}/png")
        parts = (Text("see"), url, ToolResult("c", (Text("there"), url)))

        request = await web_.images.prepare(Request("m", (Message(Role.USER, parts),)))

        picture = Image("image/png", PNG)
        assert request.messages[0].parts == (Text("see"), picture, ToolResult("c", (Text("there"), picture)))
        assert len(web_.hits) == 1


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/to-private", "not public"),
        ("/to-file", "only http"),
        ("/round", "redirected more than 3 times"),
        ("/text", "no image of a known type"),
        ("/gone", "answers 404"),
    ],
)
async def test_what_is_wrong_on_the_way_is_said(path: str, why: str) -> None:
    """A redirect into a private network is not followed."""
    async with serving() as web_:
        assert why in await web_.refusal(f"http://{PUBLIC}:PORT{path}")
        assert not [hit for hit in web_.hits if PRIVATE in hit]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://{PRIVATE}:PORT/png", "not public"),
        ("ftp://example.com/a.png", "only http"),
        ("file:///etc/passwd", "only http"),
        (f"http://user:secret@{PUBLIC}:PORT/png", "password"),
        ("http:///png", "only http"),
    ],
)
async def test_what_must_not_be_fetched_is_not(url: str, why: str) -> None:
    """Nothing is asked of anybody."""
    async with serving() as web_:
        assert why in await web_.refusal(url)
        assert web_.hits == []


async def test_a_name_with_a_private_address_is_refused() -> None:
    """Even where it has a public one beside it."""
    async with serving({"mixed.test": [[PUBLIC, PRIVATE]]}) as web_:
        assert "not public" in await web_.refusal("http://mixed.test:PORT/png")
        assert web_.hits == []


async def test_a_name_that_changes_after_the_check_is_no_way_in() -> None:
    """It is asked once for each connection, and that goes to the address that was looked at."""
    async with serving({"rebound.test": [[PUBLIC], [PRIVATE]]}) as web_:
        assert (await web_.fetch("http://rebound.test:PORT/png")).data == PNG
        assert web_.hits == [f"rebound.test:{web_.port}/png"]


async def test_a_name_that_has_become_private_is_refused() -> None:
    """What it was before does not help it."""
    async with serving({"rebound.test": [[PRIVATE]]}) as web_:
        assert "not public" in await web_.refusal("http://rebound.test:PORT/png")
        assert web_.hits == []


async def test_a_picture_that_is_too_large_is_not_read_to_its_end() -> None:
    """The limit is of bytes that came, whatever was announced."""
    async with serving(max_bytes=len(PNG) - 1) as web_:
        assert "larger than" in await web_.refusal(f"http://{PUBLIC}:PORT/png")


async def test_a_picture_that_does_not_come_is_given_up() -> None:
    """The caller hears it in time."""
    async with serving(timeout=0.05) as web_:
        assert "within 0.05 s" in await web_.refusal(f"http://{PUBLIC}:PORT/slow")


async def test_fetching_can_be_turned_off() -> None:
    """The refusal says what does work."""
    async with serving(enabled=False) as web_:
        with pytest.raises(InvalidRequest, match="base64"):
            await web_.fetch(f"http://{PUBLIC}:PORT/png")


async def test_who_fetches_himself_is_given_the_address() -> None:
    """Some providers do."""
    request = Request("m", (Message(Role.USER, (ImageUrl("http://10.0.0.1/a.png"),)),))
    async with fetching(FetchRules(), wanted=lambda _: False) as images:
        assert await images.prepare(request) is request


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - it is to be refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ],
)
def test_what_is_not_the_publics(address: str) -> None:
    """Loopback, link-local, private, metadata, multicast, reserved, and IPv6 that stands for them."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_what_is_the_publics(address: str) -> None:
    """Anybody can reach it."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "fe80::1%eth0"])
def test_addresses_in_other_clothes_are_addresses(host: str) -> None:
    """A resolver would take them for one, and not ask ours."""
    address = literal(host)

    assert address is not None
    assert not is_public(address)


def test_a_name_is_no_address() -> None:
    """It is resolved, and then looked at."""
    assert literal("example.com") is None
