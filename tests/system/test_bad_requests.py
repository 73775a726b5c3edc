"""What callers ought not to send: the right status, an error that names the field, and a server that goes on."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc.aio
import msgspec
import pytest
import pytest_asyncio
from callers import Answer, Problem, encoded, post, stream_over_grpc, whole_over_rest
from dialect import answering
from process import MEGABYTE
from stack import configuration, openai, synapse

from synapse.protos import generate_pb2 as pb
from synapse.testing.upstream import Upstream

if TYPE_CHECKING:
    from pathlib import Path

    from stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

LIMIT = 100 * MEGABYTE
PNG = b64encode(b"\x89PNG\r\n\x1a\nrest").decode()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def one(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run a single Synapse for all that is wrong."""
    folder: Path = tmp_path_factory.mktemp("bad")
    async with (
        Upstream(answering("All is well.")) as upstream,
        synapse(configuration({"up": openai(upstream, "m", "mistral")}), folder) as stack,
    ):
        stack.upstreams.append(upstream)
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def server(one: Stack) -> AsyncIterator[Stack]:
    """Give that Synapse; it must still answer after each wrong request, which the provider must not have seen."""
    one.upstream.calls.clear()
    yield one
    await one.at_rest()
    assert not one.upstream.calls
    assert (await whole_over_rest(one)).text == "All is well."
    assert (await stream_over_grpc(one)).text == "All is well."


def deep(levels: int) -> bytes:
    """Return lists within lists."""
    return b"[" * levels + b"]" * levels


def body(**fields: object) -> bytes:
    """Return a body that is good but for these fields."""
    return encoded({"prompt": "Say it.", "model_code": "m", **fields})


def raw(field: str, value: bytes) -> bytes:
    """Return a body that is good but for one field's JSON."""
    return b'{"prompt":"Say it.","model_code":"m","%b":%b}' % (field.encode(), value)


WRONG_BODIES: dict[str, tuple[bytes, str | None, str]] = {
    "nothing": (b"", None, "the body is empty; expected a JSON object with prompt and model_code"),
    "no JSON": (b"prompt=Say it.", None, "not valid JSON"),
    "JSON cut short": (b'{"prompt": "Say', None, "not valid JSON"),
    "two objects": (body() + body(), None, "not valid JSON"),
    "a list": (b"[]", None, "expected object, got array"),
    "a string": (b'"Say it."', None, "expected object, got str"),
    "null": (b"null", None, "expected object, got null"),
    "no UTF-8": (b'{"prompt":"\xff\xfe","model_code":"m"}', None, "UTF-8"),
    "no UTF-8 anywhere": (b"\xff\xfe\x00", None, "not valid"),
    "half a surrogate pair": (b'{"prompt":"\\ud83d","model_code":"m"}', None, "not valid"),
    "lists without end": (deep(10_000), None, "expected object, got array"),
    "objects without end": (b'{"prompt":' * 10_000, "prompt", "expected str, got object"),
    "nested within an unknown field": (raw("extra", deep(10_000)), "extra", "there is no such field"),
    "nested within a known field": (raw("prompt", deep(10_000)), "prompt", "expected str, got array"),
    "no prompt": (b'{"model_code":"m"}', "prompt", "it is required"),
    "no model": (b'{"prompt":"Say it."}', "model_code", "it is required"),
    "an unknown field": (body(promt="x"), "promt", "there is no such field"),
    "an unknown field of the config": (body(config={"heat": 1}), "config.heat", "there is no such field"),
    "a prompt that is a number": (body(prompt=1), "prompt", "expected str, got int"),
    "a prompt that is null": (body(prompt=None), "prompt", "expected str, got null"),
    "an empty prompt": (body(prompt=""), "prompt", "it is empty"),
    "an empty model": (body(model_code=""), "model_code", "it is empty"),
    "a stream that is a word": (body(stream="yes"), "stream", "expected bool, got str"),
    "a config that is a list": (body(config=[]), "config", "expected object | null, got array"),
    "a temperature that is a word": (
        body(config={"temperature": "hot"}),
        "config.temperature",
        "expected float | null, got str",
    ),
    "a temperature below 0": (body(config={"temperature": -0.1}), "config.temperature", "got -0.1, expected a number"),
    "a temperature that is NaN": (raw("config", b'{"temperature":NaN}'), None, "not valid JSON"),
    "a temperature beyond all numbers": (
        raw("config", b'{"temperature":1e999}'),
        "config.temperature",
        "out of range",
    ),
    "a top_p above 1": (body(config={"top_p": 1.5}), "config.top_p", "got 1.5, expected a number from 0 to 1"),
    "a top_k of 0": (body(config={"top_k": 0}), "config.top_k", "got 0, expected a whole number, 1 or more"),
    "a top_k of a half": (body(config={"top_k": 2.5}), "config.top_k", "got 2.5, expected a whole number"),
    "an output_length below 0": (
        body(config={"output_length": -5}),
        "config.output_length",
        "got -5, expected a whole number of tokens, 1 or more",
    ),
    "an output_length of a half": (body(config={"output_length": 2.5}), "config.output_length", "expected int"),
    "an output_length beyond all": (body(config={"output_length": 10**30}), "config.output_length", "expected a whole"),
    "images that are a string": (body(images=PNG), "images", "expected array, got str"),
    "an image that is null": (body(images=[PNG, None]), "images[1]", "expected str, got null"),
    "an image that is no Base64": (body(images=[PNG, "n/t base64!"]), "images[1]", "not valid base64"),
    "an image that is no ASCII": (body(images=["Grüße"]), "images[0]", "not valid base64"),
    "an image of no known type": (
        body(images=[b64encode(b"BM of a bitmap").decode()]),
        "images[0]",
        "expected one of PNG, JPEG, WEBP, GIF, HEIC",
    ),
    "an empty image": (body(images=[""]), "images[0]", "its 0 bytes are no image"),
    "a max_wait below 0": (body(max_wait=-1), "max_wait", "got -1, expected seconds from 0"),
    "a max_wait that is a word": (body(max_wait="long"), "max_wait", "expected float | null, got str"),
    "a timeout below 0": (body(timeout=-0.5), "timeout", "got -0.5, expected seconds"),
    "a timeout of ages": (body(timeout=1e300), "timeout", "got 1e+300, expected seconds"),
}


@pytest.mark.parametrize(("sent", "field", "message"), WRONG_BODIES.values(), ids=WRONG_BODIES)
async def test_a_wrong_body_is_answered_with_what_is_wrong(
    server: Stack, sent: bytes, field: str | None, message: str
) -> None:
    """The status is 400, and the error names the field and what was expected in its place."""
    answer = await post(server, sent)

    assert (answer.status, answer.error.type, answer.error.field) == (400, "invalid_request", field)
    assert message in answer.error.message
    if field is not None:
        assert answer.error.message.startswith(f"{field}: ")


async def test_an_unknown_model_is_answered_with_those_there_are(server: Stack) -> None:
    """The status is 404, and the error has the nearest model and all others."""
    answer = await post(server, body(model_code="mistrl"))

    assert (answer.status, answer.error.type, answer.error.field) == (404, "model_not_found", "model_code")
    assert answer.error.message == "there is no model 'mistrl', did you mean 'mistral'? The models are: m, mistral"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_wrong_request_for_a_stream_has_its_own_status(server: Stack, stream: bool) -> None:  # noqa: FBT001
    """Nothing is streamed before it is clear that there is something to stream."""
    answer = await post(server, body(stream=stream, model_code="none"))

    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")


WRONG_HEADERS = {
    "no number": ("soon", "header {0}: got 'soon', expected seconds"),
    "nothing": ("", "header {0}: got '', expected seconds"),
    "below 0": ("-3", "got -3, expected seconds from 0"),
    "NaN": ("nan", "got nan, expected seconds from 0"),
    "without end": ("inf", "got inf, expected seconds from 0"),
}


@pytest.mark.parametrize("name", ["x-synapse-timeout", "x-synapse-max-wait"])
@pytest.mark.parametrize(("value", "message"), WRONG_HEADERS.values(), ids=WRONG_HEADERS)
async def test_a_wrong_header_is_answered_with_what_is_wrong(
    server: Stack, name: str, value: str, message: str
) -> None:
    """A duration in a header is checked as one in the body is."""
    answer = await post(server, body(), {name: value})

    assert (answer.status, answer.error.type) == (400, "invalid_request")
    assert message.format(name) in answer.error.message


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/generate", 405, "/generate takes POST, not GET"),
        ("POST", "/models", 405, "/models takes GET and HEAD, not POST"),
        ("DELETE", "/healthz", 405, "/healthz takes GET and HEAD, not DELETE"),
        (
            "GET",
            "/",
            404,
            "there is no /; the routes are /generate, /models, /admin/keys, /admin/callers, /healthz, /readyz",
        ),
        ("GET", "/generate/", 404, "there is no /generate/"),
        ("POST", "/v1/nothing", 404, "there is no /v1/nothing"),
        ("GET", "/../etc/passwd", 404, "there is no"),
        ("GET", "/%00%ff", 404, "there is no"),
    ],
)
async def test_a_wrong_route_is_answered_with_the_right_ones(
    server: Stack, method: str, path: str, status: int, message: str
) -> None:
    """What there is not is a 404 that lists what there is; what is asked in the wrong way is a 405."""
    answer = await request(server, f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".encode())

    assert answer.status == status
    assert message in answer.error.message


async def request(server: Stack, *sent: bytes) -> Answer:
    """Send bytes to the REST port, one after the other, and read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.app.http_port)
    try:
        for piece in sent:
            writer.write(piece)
            await writer.drain()
        start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(start.split()[1]), headers, content)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"NO HTTP AT ALL\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["no HTTP", "TLS", "a length that is none", "a chunk of no size", "two lengths"],
)
async def test_what_is_no_http_is_answered_with_400(server: Stack, sent: bytes) -> None:
    """The connection is closed after the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.app.http_port)
    writer.write(sent)
    try:
        answer = await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()

    assert answer.startswith(b"HTTP/1.1 400 ")


FILL = b" " * MEGABYTE


async def test_a_body_of_101_mb_is_refused(server: Stack) -> None:
    """A length that is announced is told with the limit; the caller who sends it all still reads the answer."""
    length = 101 * MEGABYTE
    sent = [b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length, *[FILL] * 101]

    answer = await request(server, *sent)

    assert (answer.status, answer.error.type) == (413, "payload_too_large")
    assert answer.error.message == f"the body has {length} bytes; server.max_request_bytes allows {LIMIT}"


async def test_a_body_of_101_mb_in_chunks_is_refused(server: Stack) -> None:
    """A length that is not announced is found out."""
    chunk = b"%x\r\n%b\r\n" % (MEGABYTE, FILL)
    head = b"POST /generate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"

    answer = await request(server, head, *[chunk] * 101, b"0\r\n\r\n")

    assert (answer.status, answer.error.type) == (413, "payload_too_large")


async def test_a_body_of_exactly_the_limit_is_read(server: Stack) -> None:
    """100 MB are allowed, to the byte: what is wrong with them is not their size."""
    content = body(max_wait=-1)
    length = b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % LIMIT

    answer = await request(server, length + content, b" " * (LIMIT - len(content)))

    assert (answer.status, answer.error.field) == (400, "max_wait")


async def test_an_expected_100_continue_is_given(server: Stack) -> None:
    """A caller that asks before it sends its body is told to go on."""
    content = body(max_wait=-1)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.app.http_port)
    head = b"POST /generate HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % len(content))

    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(content)
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400 ")
    writer.close()


def message(**fields: object) -> bytes:
    """Return a gRPC message that is good but for these fields."""
    return pb.Request(**{"prompt": "Say it.", "model_code": "m", **fields}).SerializeToString()  # type: ignore[arg-type]


WRONG_MESSAGES: dict[str, tuple[bytes, grpc.StatusCode, str | None, str]] = {
    "no protobuf": (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, None, "not valid protobuf"),
    "a message cut short": (message()[:-1], grpc.StatusCode.INVALID_ARGUMENT, None, "not valid protobuf"),
    "a prompt that is no UTF-8": (b"\x0a\x02\xff\xfe", grpc.StatusCode.INVALID_ARGUMENT, None, "UTF-8"),
    "groups nested without end": (b"\xa3\x06" * 10_000, grpc.StatusCode.INVALID_ARGUMENT, None, "not valid protobuf"),
    "nothing": (b"", grpc.StatusCode.INVALID_ARGUMENT, "model_code", "model_code: it is empty"),
    "an empty prompt": (message(prompt=""), grpc.StatusCode.INVALID_ARGUMENT, "prompt", "prompt: it is empty"),
    "an unknown model": (
        message(model_code="mistrl"),
        grpc.StatusCode.NOT_FOUND,
        "model_code",
        "there is no model 'mistrl', did you mean 'mistral'?",
    ),
    "a temperature below 0": (
        message(config=pb.GenerationConfig(temperature=-0.1)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "config.temperature",
        "config.temperature: got -0.1, expected a number, 0 or more",
    ),
    "a temperature that is NaN": (
        message(config=pb.GenerationConfig(temperature=float("nan"))),
        grpc.StatusCode.INVALID_ARGUMENT,
        "config.temperature",
        "config.temperature: got nan",
    ),
    "a top_p without end": (
        message(config=pb.GenerationConfig(top_p=float("inf"))),
        grpc.StatusCode.INVALID_ARGUMENT,
        "config.top_p",
        "config.top_p: got inf",
    ),
    "an output_length below 0": (
        message(config=pb.GenerationConfig(output_length=-5)),
        grpc.StatusCode.INVALID_ARGUMENT,
        "config.output_length",
        "config.output_length: got -5",
    ),
    "an image of no known type": (
        message(images=[b"\x89PNG\r\n\x1a\nrest", b"BM of a bitmap"]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "images[1]",
        "images[1]: its 14 bytes are no image of a known type",
    ),
    "a max_wait below 0": (
        message(max_wait=-1.0),
        grpc.StatusCode.INVALID_ARGUMENT,
        "max_wait",
        "max_wait: got -1, expected seconds",
    ),
    "a timeout that is NaN": (
        message(timeout=float("nan")),
        grpc.StatusCode.INVALID_ARGUMENT,
        "timeout",
        "timeout: got nan, expected seconds",
    ),
}


@pytest.mark.parametrize(("sent", "code", "field", "said"), WRONG_MESSAGES.values(), ids=WRONG_MESSAGES)
async def test_a_wrong_message_is_answered_with_what_is_wrong(
    server: Stack, sent: bytes, code: grpc.StatusCode, field: str | None, said: str
) -> None:
    """Over gRPC the status says what sort of error it is, the details name the field, the trailers too."""
    error = await refused(server, sent)

    trailing = dict(error.trailing_metadata() or ())
    assert (error.code(), trailing.get("synapse-field")) == (code, field)
    assert said in (error.details() or "")
    assert trailing["synapse-error"] == ("model_not_found" if code is grpc.StatusCode.NOT_FOUND else "invalid_request")


async def refused(server: Stack, sent: bytes, method: str = "GenerateTask") -> grpc.aio.AioRpcError:
    """Send the bytes of a message; return the error that comes of it."""
    call = server.channel.unary_stream(f"/synapse.Generate/{method}")(sent)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    return raised.value


async def test_a_message_of_102_mb_is_refused(server: Stack) -> None:
    """GRPC's own limit answers before the message is read."""
    error = await refused(server, message(prompt="x" * 102 * MEGABYTE))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_unknown_method_is_unimplemented(server: Stack) -> None:
    """A call of a method there is not is answered as gRPC does."""
    assert (await refused(server, b"", "GenerateNothing")).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_fields_of_a_later_proto_are_ignored(one: Stack) -> None:
    """A newer client may send what this server does not know yet."""
    call = one.channel.unary_stream("/synapse.Generate/GenerateTask")(message() + b"\xca\x3e\x03new")

    assert pb.Response.FromString(await call.read()).chunk == "All is well."
    await one.at_rest()


async def test_many_wrong_requests_at_once_harm_nobody(server: Stack) -> None:
    """A crowd of bad callers is refused, one by one."""
    answers = await asyncio.gather(*(post(server, sent) for sent, _, _ in list(WRONG_BODIES.values()) * 5))

    assert {answer.status for answer in answers} == {400}
    assert all(isinstance(msgspec.convert(json.loads(answer.body)["error"], Problem), Problem) for answer in answers)
