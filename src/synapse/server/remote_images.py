"""Pictures that callers give by address, fetched with care: the server can reach what callers must not."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
import msgspec
from yarl import URL

from synapse.domain.errors import InvalidRequest
from synapse.domain.images import SNIFFED_TYPES, sniff_image
from synapse.domain.request import Image, ImageUrl, Message, Request, ToolResult
from synapse.server.addresses import Address, PrivateAddressError, PublicResolver, is_public, literal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from aiohttp.abc import AbstractResolver

    from synapse.domain.request import Part

_REDIRECTS = 3
_MOST_IMAGES = 64
_OK = 200
_MOVED = frozenset({301, 302, 303, 307, 308})
_SCHEMES = frozenset({"http", "https"})
_HEADERS = {"user-agent": "synapse", "accept": "image/*"}


class FetchRules(msgspec.Struct, frozen=True):
    """What is fetched."""

    enabled: bool = True
    max_bytes: int = 20 * 1024 * 1024
    """Of one picture."""
    timeout: float = 10.0
    """Seconds for one picture, redirects included."""


class RemoteImages:
    """Puts pictures in the place of their addresses, where the provider does not fetch them itself."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        rules: FetchRules,
        *,
        wanted: Callable[[Request], bool],
        public: Callable[[Address], bool],
    ) -> None:
        """Take a session that connects to public addresses only, the rules, who needs pictures, and what is public."""
        self._session = session
        self._rules = rules
        self._wanted = wanted
        self._public = public

    async def prepare(self, request: Request) -> Request:
        """Return the request with its pictures in it. Raises `InvalidRequest`, which names the address."""
        urls = list(dict.fromkeys(_urls(request)))
        if not urls or not self._wanted(request):
            return request
        if not self._rules.enabled:
            raise InvalidRequest(
                "images by address are turned off on this server: send them as base64, in a data: URL",
                field="image_url",
            )
        if len(urls) > _MOST_IMAGES:
            raise InvalidRequest(
                f"{len(urls)} images by address: at most {_MOST_IMAGES} are fetched", field="image_url"
            )
        async with asyncio.TaskGroup() as group:
            fetching = {url: group.create_task(self._fetch_or_error(url)) for url in urls}
        return _with_images(request, {url: self._result(task.result()) for url, task in fetching.items()})

    @staticmethod
    def _result(found: Image | InvalidRequest) -> Image:
        if isinstance(found, InvalidRequest):
            raise found
        return found

    async def _fetch_or_error(self, url: str) -> Image | InvalidRequest:
        try:
            async with asyncio.timeout(self._rules.timeout):
                return await self._fetch(url)
        except TimeoutError:
            return _refused(url, f"it did not come within {self._rules.timeout:g} s")
        except PrivateAddressError:
            return _refused(url, "its address is not public")
        except InvalidRequest as error:
            return error
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            private = isinstance(exc.__cause__, PrivateAddressError) or isinstance(
                getattr(exc, "os_error", None), PrivateAddressError
            )
            return _refused(url, "its address is not public" if private else f"it cannot be had ({type(exc).__name__})")

    async def _fetch(self, url: str) -> Image:
        place = URL(url)
        for _ in range(_REDIRECTS + 1):
            self._check(place, url)
            async with self._session.get(place, headers=_HEADERS, allow_redirects=False) as response:
                if response.status in _MOVED and "location" in response.headers:
                    place = place.join(URL(response.headers["location"]))
                    continue
                if response.status != _OK:
                    raise _refused(url, f"its server answers {response.status}")
                return self._image(url, await self._read(url, response))
        raise _refused(url, f"it is redirected more than {_REDIRECTS} times")

    def _check(self, place: URL, url: str) -> None:
        if place.scheme not in _SCHEMES or not place.host:
            raise _refused(url, "only http and https addresses are fetched")
        if place.user or place.password:
            raise _refused(url, "an address with a password is not fetched")
        address = literal(place.host)
        if address is not None and not self._public(address):
            raise _refused(url, "its address is not public")

    async def _read(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        most = self._rules.max_bytes
        pieces: list[bytes] = []
        size = 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > most:
                raise _refused(url, f"it is larger than {most} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    @staticmethod
    def _image(url: str, data: bytes) -> Image:
        media_type = sniff_image(data)
        if media_type is None:
            known = ", ".join(kind.removeprefix("image/").upper() for kind in SNIFFED_TYPES)
            raise _refused(url, f"it is no image of a known type; expected one of {known}")
        return Image(media_type, data)


@contextlib.asynccontextmanager
async def fetching(
    rules: FetchRules,
    *,
    wanted: Callable[[Request], bool] = lambda _: True,
    resolver: AbstractResolver | None = None,
    public: Callable[[Address], bool] = is_public,
) -> AsyncGenerator[RemoteImages, None]:
    """Fetch pictures while the block runs. No proxy is used: it would resolve names where nobody looks."""
    connector = aiohttp.TCPConnector(resolver=PublicResolver(resolver, public=public), use_dns_cache=False, limit=32)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=True
    ) as session:
        yield RemoteImages(session, rules, wanted=wanted, public=public)


def _refused(url: str, why: str) -> InvalidRequest:
    shown = url if len(url) <= 200 else f"{url[:200]}…"  # noqa: PLR2004 - as much as anybody reads
    return InvalidRequest(f"image_url {shown!r}: {why}", field="image_url")


def _urls(request: Request) -> list[str]:
    return [part.url for message in request.messages for part in _flat(message) if isinstance(part, ImageUrl)]


def _flat(message: Message) -> list[Part]:
    inner = [part.content for part in message.parts if isinstance(part, ToolResult)]
    return [*message.parts, *(part for content in inner for part in content)]


def _with_images(request: Request, images: dict[str, Image]) -> Request:
    def put(part: Part) -> Part:
        if isinstance(part, ImageUrl):
            return msgspec.structs.replace(images[part.url], detail=part.detail, cache=part.cache)
        if isinstance(part, ToolResult):
            return msgspec.structs.replace(part, content=tuple(put(inner) for inner in part.content))
        return part

    messages = tuple(
        msgspec.structs.replace(message, parts=tuple(put(part) for part in message.parts))
        for message in request.messages
    )
    return msgspec.structs.replace(request, messages=messages)
