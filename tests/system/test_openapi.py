"""The description of the routes, in both its forms: it is true of the server that gives it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
from stack import configuration, synapse

from synapse.server.http.openapi.operations import OPERATIONS, Operation

if TYPE_CHECKING:
    from pathlib import Path

    from stack import Launch, Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIMULATOR = {"simulator": {"codes": ["sim/echo"], "tokens_per_second": 0}}
DESCRIPTIONS = {"/openapi.json", "/docs"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a Synapse that only the simulator answers for."""
    folder: Path = tmp_path_factory.mktemp("described")
    async with synapse(configuration(SIMULATOR), folder) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def document(server: Stack) -> dict[str, Any]:
    """Give the document."""
    async with server.caller.get(f"{server.http}/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        found: dict[str, Any] = await response.json()
        return found


async def test_every_route_is_described_and_no_other(server: Stack, document: dict[str, Any]) -> None:
    """The document has the paths that the server says it has, but for those of the description itself."""
    async with server.caller.get(f"{server.http}/nothing") as response:
        said = (await response.json())["error"]["message"]

    known = set(re.findall(r"/[\w/.]+", said.partition("the routes are")[2]))
    described = {path for path in document["paths"] if "{" not in path}
    assert known == described | DESCRIPTIONS
    assert "/v1/models/{id}" in document["paths"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.path)
async def test_what_is_described_can_be_asked(server: Stack, operation: Operation) -> None:
    """Each route takes its example with its method, and answers with what is described."""
    path = operation.path.replace("{id}", "sim%2Fecho")
    body = json.dumps(operation.example).encode() if operation.takes is not None else None

    async with server.caller.request(operation.method, f"{server.http}{path}", data=body) as response:
        data = await response.read()

    if "embedding" in operation.path:
        assert response.status == 404  # no model of this server makes any
    else:
        assert response.status == 200, data
        msgspec.json.decode(data, type=operation.gives)


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.streams], ids=lambda each: each.path)
async def test_what_is_described_as_a_stream_can_be_streamed(server: Stack, operation: Operation) -> None:
    """The example with `stream: true` is answered with server-sent events."""
    body = json.dumps({**operation.example, "stream": True}).encode()

    async with server.caller.post(f"{server.http}{operation.path}", data=body) as response:
        await response.read()

    assert (response.status, response.content_type) == (200, "text/event-stream")


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """What refers to a schema names one that there is, by a name that the format allows; each schema is used."""
    schemas = document["components"]["schemas"]

    references = set(_references(document))
    assert references == {f"#/components/schemas/{name}" for name in schemas}
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in schemas)


def _references(value: object) -> Iterator[str]:
    match value:
        case dict():
            for key, each in value.items():
                if key == "$ref":
                    yield each
                else:
                    yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)
        case _:
            pass


async def test_fields_say_what_the_code_says_of_them(document: dict[str, Any]) -> None:
    """The text behind a field in the code is its description, that of an inherited field too."""
    schemas = document["components"]["schemas"]

    assert schemas["UsageData"]["properties"]["cost"]["description"].startswith("US dollars")
    assert schemas["ChatBody"]["properties"]["max_wait"]["description"] == "Seconds."
    assert schemas["GenerateBody"]["additionalProperties"] is False


async def test_items_of_responses_are_described(document: dict[str, Any]) -> None:
    """What is read item by item has the types of items, each with its name."""
    schemas = document["components"]["schemas"]

    _, items = schemas["ResponsesBody"]["properties"]["input"]["anyOf"]
    kinds = [schemas[each["$ref"].rpartition("/")[2]] for each in items["items"]["anyOf"]]
    assert [kind["properties"]["type"]["const"] for kind in kinds] == [
        "message",
        "function_call",
        "function_call_output",
        "reasoning",
    ]
    assert ["type" in kind["required"] for kind in kinds] == [False, True, True, True]


async def test_errors_are_described_in_the_envelope_of_their_port(document: dict[str, Any]) -> None:
    """One status is another type of error for each port's clients."""
    described = {path: each.get("post", {}).get("responses", {}).get("504") for path, each in document["paths"].items()}

    assert "`timed_out`, `expired`" in described["/generate"]["description"]
    assert "`timed_out`, `expired`" in described["/v1/responses"]["description"]
    assert described["/v1/messages"]["description"] == "Gateway Timeout: `timeout_error`."
    envelopes = {
        path: each["content"]["application/json"]["schema"]["$ref"] for path, each in described.items() if each
    }
    assert len(set(envelopes.values())) == 3


async def test_keys_are_described_where_callers_have_them(
    server: Stack, document: dict[str, Any], launch: Launch
) -> None:
    """A server that tells callers apart says which keys a route takes; the description itself needs none."""
    callers = [{"name": "app", "key_env": "APP_KEY"}]
    process = await launch(SIMULATOR, environ={"APP_KEY": "key-of-app"}, server={"callers": callers})

    async with server.caller.get(f"{process.http}/openapi.json") as response:
        closed = await response.json()
    async with server.caller.post(f"{process.http}/v1/messages", data=b"{}") as response:
        refused = response.status

    assert refused == 401
    assert closed["paths"]["/v1/messages"]["post"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert "401" in closed["paths"]["/v1/messages"]["post"]["responses"]
    assert closed["paths"]["/healthz"]["get"]["security"] == []
    assert document["paths"]["/v1/messages"]["post"]["security"] == []


class Page(HTMLParser):
    """What tests look at in a page."""

    VOID = frozenset({"meta", "br", "hr", "link", "img"})

    def __init__(self, text: str) -> None:
        """Read a page. Raises AssertionError where its tags do not close as they open."""
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close a tag."""
        assert self._open.pop() == tag


async def test_the_page_shows_it_all_and_needs_nothing_else(server: Stack, document: dict[str, Any]) -> None:
    """Every route and every type stands in it, every link leads to a place in it, and nothing is fetched for it."""
    async with server.caller.get(f"{server.http}/docs") as response:
        text = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["content-security-policy"].startswith("default-src 'none'")

    page = Page(text)
    assert not page.tags & {"script", "link", "img", "iframe", "object"}
    assert not page.attributes & {"src", "style", "onclick"}
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if link.startswith("#")} <= {f"#{each}" for each in page.ids}
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert all(path in text for path in document["paths"])
    assert sum(each.startswith("type-") for each in page.ids) == len(document["components"]["schemas"])


async def test_the_descriptions_are_the_same_each_time(server: Stack) -> None:
    """They are made once; a HEAD request is answered without them."""
    found = []
    for _ in range(2):
        async with server.caller.get(f"{server.http}/openapi.json") as response:
            found.append(await response.read())
    async with server.caller.head(f"{server.http}/openapi.json") as response:
        length, data = response.headers["content-length"], await response.read()

    assert found[0] == found[1]
    assert (int(length), data) == (len(found[0]), b"")
