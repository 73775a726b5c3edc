"""Bodies of every kind on every route: no fault, no hang, and each refusal in the words of its port.

Bodies are made from the schemas of `/openapi.json`, then spoilt; others are never JSON at all.
"""

from __future__ import annotations

import asyncio
import json
import math
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from stack import configuration, synapse

from synapse.server.http.openapi.document import build

if TYPE_CHECKING:
    import aiohttp
    from hypothesis.strategies import DataObject, SearchStrategy
    from stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

Json = dict[str, Any]

DOCUMENT: Json = build(needs_key=False)
SCHEMAS: Mapping[str, Json] = DOCUMENT["components"]["schemas"]
ROUTES = {path: each["post"] for path, each in DOCUMENT["paths"].items() if "post" in each}
PROMPTLY = 5.0
"""Seconds that an answer may take, which the simulator has at once."""
FUZZ = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


class NativeProblem(msgspec.Struct, forbid_unknown_fields=True):
    """The value of `error` for callers of the native API."""

    type: str
    message: str
    field: str | None = None
    retry_after: float | None = None


class NativeEnvelope(msgspec.Struct, forbid_unknown_fields=True):
    """An error for them."""

    error: NativeProblem


class OpenAIProblem(msgspec.Struct, forbid_unknown_fields=True):
    """The value of `error` for OpenAI's clients: all four are there."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIEnvelope(msgspec.Struct, forbid_unknown_fields=True):
    """An error for them."""

    error: OpenAIProblem


class AnthropicProblem(msgspec.Struct, forbid_unknown_fields=True):
    """The value of `error` for Anthropic's clients."""

    type: str
    message: str


class AnthropicEnvelope(msgspec.Struct, forbid_unknown_fields=True):
    """An error for them."""

    type: Literal["error"]
    error: AnthropicProblem
    request_id: str


def problem(path: str, headers: Mapping[str, str], data: bytes) -> str:
    """Return the message of an error. Raises AssertionError or `ValidationError` where its form is not its port's."""
    if path.startswith("/v1/messages"):
        told = msgspec.json.decode(data, type=AnthropicEnvelope)
        assert told.request_id == headers["request-id"]
        return told.error.message
    if path.startswith("/v1/"):
        assert headers["x-request-id"]
        return msgspec.json.decode(data, type=OpenAIEnvelope).error.message
    return msgspec.json.decode(data, type=NativeEnvelope).error.message


# --- bodies as the schemas have them

_GIVEN: Mapping[str, SearchStrategy[object]] = {
    "model": st.sampled_from(["sim/echo", "sim/lorem", "sim/echo", "none such"]),
    "max_wait": st.sampled_from([None, 60, -1, 1e300]),
    "timeout": st.sampled_from([None, 60, -1, 1e300]),
    "fallbacks": st.sampled_from([None, [], ["sim/lorem"], ["none such"]]),
    "url": st.sampled_from(["data:image/png;base64,iVBORw0KGgo=", "http://127.0.0.1:1/a.png", "ftp://a", "data:,", ""]),
    "n": st.sampled_from([None, 0, 1, 2, 129]),
}
"""Values of fields that a schema says too little of: what nobody can answer in time, or what is far away."""
_GIVEN = {**_GIVEN, "model_code": _GIVEN["model"], "image_url": _GIVEN["url"]}
_WORDS = st.sampled_from(["", "user", "auto", "low", "a", "none", "standard", "call_1", "{}", '{"a": 1}', "é" * 50])
_TEXT = _WORDS | st.text(st.characters(codec="utf-8"), max_size=20)
_WHOLE = st.integers(0, 3) | st.just(1) | st.sampled_from([-1, 100, 2**31, 2**63, 2**64, 10**30])
_NUMBER = _WHOLE | st.floats(-3, 3) | st.sampled_from([1e308, -1e308, 5e-324])
_PLAIN: Mapping[str, SearchStrategy[Any]] = {
    "string": _TEXT,
    "integer": _WHOLE,
    "number": _NUMBER,
    "boolean": st.booleans(),
    "null": st.none(),
}
_MOSTLY_NONE = [st.none()] * 6
"""Before what may be null: where all fields say something, one of them is wrong for the others."""
_ANYTHING: SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def valid(schema: Json) -> SearchStrategy[Any]:
    """Make values that keep to a schema."""
    match schema:
        case {"$ref": str(reference)}:
            made = st.deferred(lambda: valid(SCHEMAS[reference.rpartition("/")[2]]))
        case {"anyOf": options}:
            made = st.one_of([*_MOSTLY_NONE * ({"type": "null"} in options), *map(valid, options)])
        case {"enum": values}:
            made = st.sampled_from(values)
        case {"const": value}:
            made = st.just(value)
        case {"type": "object", "properties": properties}:
            made = _object(properties, schema.get("required", []))
        case {"type": "object"}:
            made = st.dictionaries(_TEXT, valid(schema.get("additionalProperties") or {}), max_size=2)
        case {"type": "array"}:
            made = st.lists(valid(schema.get("items", {})), min_size=schema.get("minItems", 0), max_size=3)
        case {"contentEncoding": "base64"}:
            made = st.binary(max_size=12).map(lambda data: b64encode(data).decode())
        case {"type": str(kind)}:
            made = _plain(kind, schema)
        case _:
            made = _ANYTHING
    return made


def _plain(kind: str, schema: Json) -> SearchStrategy[Any]:
    match schema:
        case {"minimum": least, "maximum": most} if kind == "integer":
            return st.integers(math.ceil(least), math.floor(most))
        case {"minimum": least, "maximum": most}:
            return st.floats(least, most)
        case _:
            return _PLAIN[kind]


def _object(properties: Mapping[str, Json], required: list[str]) -> SearchStrategy[Json]:
    fields = {name: _GIVEN[name] if name in _GIVEN else valid(schema) for name, schema in properties.items()}
    return st.fixed_dictionaries(
        {name: fields[name] for name in required if name in fields},
        optional={name: each for name, each in fields.items() if name not in required},
    )


BODIES = {path: valid(route["requestBody"]["content"]["application/json"]["schema"]) for path, route in ROUTES.items()}


# --- bodies that are wrong

_WRONG: SearchStrategy[object] = st.sampled_from(
    [None, True, -1, 10**400, 1e308, math.nan, math.inf, "", "\ud800", "\x00", [], {}, [[]], [None], {"type": "none"}]
)


def spoil(data: DataObject, body: Json) -> bytes:
    """Make a body wrong in one of many ways."""
    ways: list[Callable[[DataObject, Json], bytes]] = [
        _without_a_field,
        _with_a_wrong_value,
        _with_another_field,
        _cut_short,
        _with_a_wrong_byte,
        _nested,
        _twice,
    ]
    return data.draw(st.sampled_from(ways))(data, body)


def encoded(body: object) -> bytes:
    """Return a body as it is sent."""
    return json.dumps(body).encode()


def _without_a_field(data: DataObject, body: Json) -> bytes:
    gone = data.draw(st.sampled_from(sorted(body)))
    return encoded({name: value for name, value in body.items() if name != gone})


def _with_a_wrong_value(data: DataObject, body: Json) -> bytes:
    """Put a wrong value somewhere in it, however deep."""
    place: Any = body
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            place[key] = data.draw(_WRONG)
            return encoded(body)
        place = inner


def _with_another_field(data: DataObject, body: Json) -> bytes:
    return encoded({**body, data.draw(_TEXT): data.draw(_ANYTHING)})


def _cut_short(data: DataObject, body: Json) -> bytes:
    whole = encoded(body)
    return whole[: data.draw(st.integers(0, len(whole) - 1))]


def _with_a_wrong_byte(data: DataObject, body: Json) -> bytes:
    whole = encoded(body)
    at = data.draw(st.integers(0, len(whole)))
    return whole[:at] + data.draw(st.sampled_from([b"\xff", b"\x00", b"\xc3", b"\xed\xa0\x80", b"\\u12"])) + whole[at:]


def _nested(data: DataObject, body: Json) -> bytes:
    name, levels = data.draw(st.sampled_from(sorted(body))), data.draw(st.sampled_from([64, 1_100, 100_000]))
    rest = encoded({each: value for each, value in body.items() if each != name})[1:]
    opening, closing = data.draw(st.sampled_from([("[", "]"), ('{"a":', "}")]))
    deep = opening * levels + "1" + closing * levels
    return b"{%b:%b%b" % (encoded(name), deep.encode(), rest if rest == b"}" else b"," + rest)


def _twice(data: DataObject, body: Json) -> bytes:
    name = data.draw(st.sampled_from(sorted(body)))
    return encoded(body)[:-1] + b",%b:%b}" % (encoded(name), encoded(data.draw(_WRONG)))


# --- what becomes of them


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a single Synapse, with the simulator for its provider, for all that is sent."""
    models = {"simulator": {"codes": ["sim/echo", "sim/lorem"], "tokens_per_second": 0, "tokens": 3}}
    async with synapse(configuration(models), tmp_path_factory.mktemp("fuzz")) as stack:
        yield stack


async def send(server: Stack, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """Send a body; return status and answer. Raises AssertionError for an answer that nobody should get."""
    async with (
        asyncio.timeout(PROMPTLY),
        server.caller.post(server.http + path, data=body, headers=headers) as response,
    ):
        data = await response.read()
        _check(path, response, data)
        return response.status, data


def _check(path: str, response: aiohttp.ClientResponse, data: bytes) -> None:
    assert response.status < 500, data
    assert str(response.status) in ROUTES[path]["responses"], data
    if response.status >= 400:
        assert response.content_type == "application/json"
        assert problem(path, response.headers, data)
    elif response.content_type == "text/event-stream":
        assert data.endswith(b"\n\n")
    else:
        assert isinstance(json.loads(data), dict)


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def afterwards(server: Stack) -> AsyncIterator[None]:
    """See that nothing is left over of what was sent, and that all ports answer as before."""
    yield
    await server.at_rest()
    for path, route in ROUTES.items():
        if path != "/v1/embeddings":
            example = encoded(route["requestBody"]["content"]["application/json"]["example"])
            assert (await send(server, path, example))[0] == 200


@pytest.mark.parametrize("path", ROUTES)
@given(data=st.data())
@FUZZ
async def test_what_keeps_to_the_schema_is_answered(server: Stack, path: str, data: DataObject) -> None:
    """A body of the right form is answered, or refused with what is wrong with its values."""
    await send(server, path, encoded(data.draw(BODIES[path])))


@pytest.mark.parametrize("path", ROUTES)
@given(data=st.data())
@FUZZ
async def test_what_is_wrong_is_refused_in_words(server: Stack, path: str, data: DataObject) -> None:
    """A body that was spoilt is answered where it still makes sense, and else refused."""
    await send(server, path, spoil(data, data.draw(BODIES[path])))


@pytest.mark.parametrize("path", ROUTES)
@given(body=st.binary(max_size=60) | st.sampled_from([b"null", b"[]", b'"text"', b"1e999", b"{}", b"\xef\xbb\xbf{}"]))
@settings(FUZZ, max_examples=30)
async def test_what_is_no_body_at_all_is_refused_in_words(server: Stack, path: str, body: bytes) -> None:
    """Bytes that are no JSON object, and an object with nothing in it, are refused on every route."""
    status, _ = await send(server, path, body)

    assert status == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "\xff/\xff"])
@pytest.mark.parametrize("path", ROUTES)
async def test_the_content_type_does_not_matter(server: Stack, path: str, kind: str) -> None:
    """A body is read as JSON whatever it says it is."""
    example = encoded(ROUTES[path]["requestBody"]["content"]["application/json"]["example"])

    status, _ = await send(server, path, example, **{"content-type": kind})

    assert status == (404 if path == "/v1/embeddings" else 200)


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "1e999", "true, true", "\xff", "9" * 500])
@pytest.mark.parametrize("name", ["x-synapse-max-wait", "x-synapse-timeout", "x-synapse-drop-unsupported"])
@pytest.mark.parametrize("path", [path for path, route in ROUTES.items() if route["parameters"]])
async def test_a_wrong_header_is_refused_in_words(server: Stack, path: str, name: str, value: str) -> None:
    """Headers about a task are checked as fields are, on the routes that have them."""
    example = encoded(ROUTES[path]["requestBody"]["content"]["application/json"]["example"])

    status, data = await send(server, path, example, **{name: value})

    taken = name in {each["name"].lower() for each in ROUTES[path]["parameters"]}
    assert status == (400 if taken else 200), data


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    path=st.sampled_from([*DOCUMENT["paths"], "/", "/v1", "/v1/", "/v1/messages/batches", "/v1/models/"])
    | st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?%"), max_size=20).map(
        "/v1/{}".format
    ),
)
@settings(FUZZ, max_examples=120)
async def test_what_is_no_route_is_refused_in_words(server: Stack, method: str, path: str) -> None:
    """A path or a method that there is not is 404 or 405, in the envelope of the port that the path belongs to."""
    async with asyncio.timeout(PROMPTLY), server.caller.request(method, server.http + path) as response:
        data = await response.read()

    if response.status != 200:
        assert response.status in {400, 404, 405}, data
        assert problem(response.url.path, response.headers, data)
