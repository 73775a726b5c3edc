"""Providers over real sockets: what is said of limits, what never arrived, and bodies of any size."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import warnings
from collections.abc import AsyncIterator

import aiohttp
import pytest
import trustme

from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure
from synapse.domain.request import Image, prompt_request
from synapse.providers.base import Signal
from synapse.providers.http import HttpProvider, open_session
from synapse.providers.wires import gemini, openai
from synapse.providers.wires.base import Wire
from synapse.testing.upstream import CUT, END, Call, Upstream, chunk, events, head, plain, refusing

ASKED = prompt_request("code", "Why?")
STREAMED = prompt_request("code", "Why?", stream=True)
ANSWER = json.dumps({"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}).encode()
LIMITS = {
    "X_RateLimit_Limit_Requests": "500",
    "X_RateLimit_Remaining_Requests": "499",
    "X_RateLimit_Reset_Requests": "120ms",
    "x_ratelimit_limit_tokens": "30000",
    "x_ratelimit_remaining_tokens": "29000",
    "x_ratelimit_reset_tokens": "2s",
}
HEADROOM = [Headroom(Measure.RPM, 500, 499, 0.12), Headroom(Measure.TPM, 30000, 29000, 2.0)]
WHOLE = [Delta("Hello"), Finish(FinishReason.STOP)]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open the session that providers share."""
    async with open_session(connect_timeout=5) as opened:
        yield opened


async def _ask(url: str, session: aiohttp.ClientSession, *, wire: Wire = openai.WIRE) -> list[list[Signal]]:
    """Return the batches of an answer."""
    return [list(signals) async for signals in HttpProvider(url, wire, session).generate(ASKED, "m", None)]


async def _failure(url: str, session: aiohttp.ClientSession, *, proxy: str | None = None) -> Failure:
    """Return the failure that is all there is of an answer."""
    provider = HttpProvider(url, openai.WIRE, session, proxy=proxy)
    ((failure,),) = [signals async for signals in provider.generate(ASKED, "m", None)]
    assert isinstance(failure, Failure)
    return failure


# --- limits beside an answer


async def test_what_is_left_of_limits_comes_before_a_plain_answer(session: aiohttp.ClientSession) -> None:
    """In a batch of its own; header names are in any case."""
    async with Upstream([plain(ANSWER, **LIMITS)]) as upstream:
        batches = await _ask(upstream.url, session)

    assert batches == [HEADROOM, WHOLE]


async def test_what_is_left_of_limits_is_known_before_the_first_event(session: aiohttp.ClientSession) -> None:
    """It comes with the status line, however long the model thinks."""
    thought = asyncio.Event()
    last = b'{"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}'
    async with Upstream([head(**LIMITS), thought, *events(last), END]) as upstream:
        answer = HttpProvider(upstream.url, openai.WIRE, session).generate(STREAMED, "m", None)

        first = list(await anext(answer))
        thought.set()
        rest = [signal async for signals in answer for signal in signals]

    assert first == HEADROOM
    assert rest == WHOLE


async def test_an_answer_without_such_headers_has_no_batch_of_limits(session: aiohttp.ClientSession) -> None:
    """Nor has one of a provider whose dialect has none."""
    said = {"candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}]}
    async with Upstream([plain(ANSWER)], [plain(json.dumps(said).encode(), **LIMITS)]) as upstream:
        assert await _ask(upstream.url, session) == [WHOLE]
        assert await _ask(upstream.url, session, wire=gemini.WIRE) == [WHOLE]


async def test_an_error_has_no_batch_of_limits(session: aiohttp.ClientSession) -> None:
    """What its headers teach stands in the failure."""
    async with Upstream([plain(b"", 503, **LIMITS)]) as upstream:
        batches = await _ask(upstream.url, session)

    assert batches == [[Failure(FailureClass.OVERLOADED, "HTTP 503 without a word of explanation", 503)]]


async def test_an_error_without_a_date_is_of_now(session: aiohttp.ClientSession) -> None:
    """So that an instant at which a limit reopens is some seconds away, whoever left the date out."""
    body = json.dumps({"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min."}}).encode()

    def refused(_: Call) -> list[bytes]:
        return [plain(body, 429, X_RateLimit_Reset=str(round((time.time() + 30) * 1000)))]

    async with Upstream(refused) as upstream:
        failure = await _failure(upstream.url, session)

    assert failure.retry_after == pytest.approx(30, abs=5)


# --- what never arrived


async def test_a_request_that_finds_nobody_never_arrived(session: aiohttp.ClientSession) -> None:
    """It cost nothing, there or anywhere."""
    with refusing() as url:
        failure = await _failure(url, session)

    assert (failure.kind, failure.arrived) == (FailureClass.TRANSIENT, False)
    assert "Connection refused" in failure.message


async def test_a_request_to_a_name_that_is_none_never_arrived(session: aiohttp.ClientSession) -> None:
    """Names that end so belong to nobody."""
    failure = await _failure("http://nowhere.invalid", session)

    assert (failure.kind, failure.arrived) == (FailureClass.TRANSIENT, False)
    assert "nowhere.invalid" in failure.message


async def test_a_request_to_an_impostor_never_arrived(session: aiohttp.ClientSession) -> None:
    """A certificate that is not accepted ends the connection before anything is sent."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with Upstream([plain(ANSWER)], ssl=context) as impostor:
        failure = await _failure(impostor.url, session)

        assert not impostor.calls
    assert (failure.kind, failure.arrived) == (FailureClass.TRANSIENT, False)


async def test_a_request_whose_handshake_fails_never_arrived(session: aiohttp.ClientSession) -> None:
    """Whoever answers there does not speak TLS."""
    async with await asyncio.start_server(_speak_plainly, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        failure = await _failure(f"https://127.0.0.1:{port}", session)

    assert (failure.kind, failure.arrived) == (FailureClass.TRANSIENT, False)


async def test_a_request_that_waits_for_its_connection_too_long_never_arrived() -> None:
    """For that of TCP or that of TLS: until both are there, nothing is sent."""
    async with open_session(connect_timeout=0.05) as impatient, Upstream([plain(ANSWER)]) as upstream:
        failure = await _failure(upstream.url.replace("http:", "https:"), impatient)

        assert not upstream.calls
    assert (failure.kind, failure.arrived) == (FailureClass.TRANSIENT, False)


async def test_a_request_that_a_proxy_does_not_pass_on_never_arrived(session: aiohttp.ClientSession) -> None:
    """The proxy's status is told, and that it is the proxy's."""
    async with Upstream([plain(b"", 407)]) as proxy:
        failure = await _failure("https://provider.invalid", session, proxy=proxy.url)

        assert [call.method for call in proxy.calls] == ["CONNECT"]
    assert failure == Failure(
        FailureClass.TRANSIENT, "the proxy does not connect to the provider: HTTP 407 Scripted", arrived=False
    )


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200", head(length=9), head(length=9) + b"Hel", head() + chunk(b"Hel")]
)
async def test_a_request_that_was_cut_off_may_have_arrived(session: aiohttp.ClientSession, begun: bytes) -> None:
    """Whatever of its answer came back: the provider may have counted it."""
    async with Upstream([begun, CUT]) as upstream:
        failure = await _failure(upstream.url, session)

        assert upstream.calls
    assert (failure.kind, failure.arrived) == (FailureClass.TRANSIENT, True)


async def test_a_request_that_was_refused_has_arrived(session: aiohttp.ClientSession) -> None:
    """A status is an answer."""
    async with Upstream([plain(b"", 500)]) as upstream:
        assert (await _failure(upstream.url, session)).arrived


# --- bodies


@pytest.mark.parametrize("size", [1_000, 800_000, 2_000_000, 20_000_000])
async def test_a_body_of_any_size_goes_through_without_a_warning(session: aiohttp.ClientSession, size: int) -> None:
    """It arrives as it was written, and its length was told before."""
    picture = Image("image/png", bytes(range(250)) * (size // 250))
    request = prompt_request("code", "What is it?", images=(picture,))
    async with Upstream([plain(ANSWER)]) as upstream:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            provider = HttpProvider(upstream.url, openai.WIRE, session)
            answer = [list(signals) async for signals in provider.generate(request, "m", None)]

    expected = openai.WIRE.encode(request, "m", None)
    assert answer == [WHOLE]
    assert upstream.calls[0].body == expected.body
    assert upstream.calls[0].headers["content-length"] == str(len(expected.body))
    assert upstream.calls[0].headers["content-type"] == "application/json"
    assert "transfer-encoding" not in upstream.calls[0].headers


async def _speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer in words, whatever was said."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    writer.close()
