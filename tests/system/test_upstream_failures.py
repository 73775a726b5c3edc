"""Providers that die, stall, babble and refuse: what callers get, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
import trustme
from callers import sse, stream_over_grpc, stream_over_rest, streaming, whole_over_rest
from dialect import USAGE, answering, delta, finished, refusal, said, whole_body
from stack import openai

from synapse.testing.upstream import CLOSE, CUT, END, HANG, Pause, Upstream, chunk, events, head, plain, refusing

if TYPE_CHECKING:
    from callers import Ask
    from stack import Stack, Start

    from synapse.testing.upstream import Call, Script, Step

pytestmark = pytest.mark.asyncio(loop_scope="session")

IMPATIENT = {"first_event_timeout": 0.2, "stall_timeout": 0.2, "answer_timeout": 0.2}
ONCE = {"max_attempts": 1}
COMMENT = chunk(b": OPENROUTER PROCESSING\n\n")


async def serves(stack: Stack, ask: Ask) -> None:
    """Check that nothing is left of what was, and that the next task runs as if it had been the first."""
    await stack.at_rest()
    assert (await ask(stack)).text == "All is well."
    await stack.at_rest()


async def test_an_answer_reaches_its_caller_whole_with_reason_and_usage(start: Start, ask: Ask) -> None:
    """Text, finish reason and usage come out as the provider put them in, whichever way they are asked for."""
    stack = await start(answering("Grüße aus 北京, and a 👍."))

    outcome = await ask(stack)

    assert (outcome.text, outcome.finish_reason, outcome.usage) == ("Grüße aus 北京, and a 👍.", "stop", USAGE)


async def test_a_provider_that_dies_before_its_headers_is_asked_again(start: Start, ask: Ask) -> None:
    """A connection reset before any answer is a transient failure: the caller does not notice."""
    stack = await start([CUT], [CLOSE], answering("All is well."))

    outcome = await ask(stack)

    assert outcome.text == "All is well."
    assert len(stack.upstream.calls) == 3
    await serves(stack, ask)


async def test_a_provider_that_dies_each_time_is_given_up_after_four_attempts(start: Start, ask: Ask) -> None:
    """The error says what happened and how often it was tried."""
    stack = await start(*[[CUT]] * 4, answering("All is well."))

    failed = (await ask(stack)).failed

    assert failed.type == "provider_failed"
    assert "the last of 4 attempts" in failed.message
    assert len(stack.upstream.calls) == 4
    await serves(stack, ask)


@pytest.mark.parametrize(
    "beginning",
    [
        [head(length=4096, content_type="application/json"), whole_body("All is")[:60]],
        [head(content_type="application/json"), chunk(whole_body("All is")[:60])],
    ],
    ids=["of known length", "in chunks"],
)
@pytest.mark.parametrize("end", [CUT, CLOSE])
async def test_a_plain_answer_cut_in_its_middle_is_asked_for_again(
    start: Start, ask_whole: Ask, beginning: list[Step], end: Step
) -> None:
    """Half an answer is no answer, whether the connection was reset or closed."""
    stack = await start([*beginning, end], answering("All is well."))

    outcome = await ask_whole(stack)

    assert (outcome.text, outcome.finish_reason) == ("All is well.", "stop")
    assert len(stack.upstream.calls) == 2
    await serves(stack, ask_whole)


@pytest.mark.parametrize("end", [CUT, CLOSE, END], ids=["reset", "closed", "ended without a reason"])
async def test_a_stream_cut_before_its_first_word_is_asked_for_again(start: Start, ask_stream: Ask, end: Step) -> None:
    """As long as the caller has seen nothing, another attempt can take over."""
    stack = await start([head(), COMMENT, *events(delta("")), end], answering("All is well."))

    outcome = await ask_stream(stack)

    assert (outcome.text, outcome.finish_reason) == ("All is well.", "stop")
    assert len(stack.upstream.calls) == 2
    await serves(stack, ask_stream)


@pytest.mark.parametrize("end", [CUT, CLOSE, END], ids=["reset", "closed", "ended without a reason"])
async def test_a_stream_cut_after_its_first_word_ends_with_an_error(start: Start, ask_stream: Ask, end: Step) -> None:
    """Another attempt would say the same words again: the caller keeps what it has and hears that it is not all."""
    seen = asyncio.Event()
    stack = await start([head(), *events(delta("All")), seen, end], answering("All is well."))

    outcome = await ask_stream(stack, seen=seen)

    assert (outcome.text, outcome.failed.type) == ("All", "provider_failed")
    assert len(stack.upstream.calls) == 1
    await serves(stack, ask_stream)


async def test_a_shown_word_is_followed_by_the_error_event(start: Start) -> None:
    """Over REST the status is long sent when a stream breaks: the error comes as the last event."""
    seen = asyncio.Event()
    stack = await start([head(), *events(delta("All")), seen, CUT])

    async with streaming(stack) as response:
        stream = aiter(sse(response))
        first = await anext(stream)
        seen.set()
        rest = [event async for event in stream]

    assert (response.status, first.id, first.json) == (200, "1-1", {"text": "All"})
    assert [(event.id, event.event) for event in rest] == [("1-2", "error")]
    assert rest[0].json["error"]["type"] == "provider_failed"  # type: ignore[index]


async def test_a_shown_word_is_followed_by_the_status_of_the_call(start: Start) -> None:
    """Over gRPC a stream that breaks ends with its status, after the text there was."""
    seen = asyncio.Event()
    stack = await start([head(), *events(delta("All")), seen, CUT])

    async with aclosing(stack.client.generate_task(prompt="Say it.", model_code="m")) as results:
        first = await anext(results)
        seen.set()
        with pytest.raises(Exception, match="the connection was cut in the middle of the answer"):
            await anext(results)

    assert first.text == "All"


@pytest.mark.parametrize(
    "beginning", [[], [head()], [head(), *events(delta(""))]], ids=["no headers", "no event", "no word"]
)
async def test_a_provider_that_falls_silent_is_left_and_asked_again(
    start: Start, ask_stream: Ask, beginning: list[Step]
) -> None:
    """After `stall_timeout` without a data event the connection is closed and the next attempt begins."""
    stack = await start([*beginning, HANG], answering("All is well."), providers=IMPATIENT)

    outcome = await ask_stream(stack)

    assert outcome.text == "All is well."
    await stack.upstream.closed(1)
    assert len(stack.upstream.calls) == 2
    await serves(stack, ask_stream)


async def test_a_plain_answer_that_never_comes_is_asked_for_again(start: Start, ask_whole: Ask) -> None:
    """The same holds for an answer as a whole, before its headers and in its middle."""
    half: Script = [head(length=4096, content_type="application/json"), whole_body("All is")[:60], HANG]
    stack = await start([HANG], half, answering("All is well."), providers=IMPATIENT)

    outcome = await ask_whole(stack)

    assert outcome.text == "All is well."
    await stack.upstream.closed(2)
    await serves(stack, ask_whole)


async def test_a_stream_that_falls_silent_after_its_first_word_ends_with_an_error(
    start: Start, ask_stream: Ask
) -> None:
    """What was shown stays, the error says how long nothing came, and nobody asks again."""
    stack = await start([head(), *events(delta("All")), HANG], answering("All is well."), providers=IMPATIENT)

    outcome = await ask_stream(stack)

    assert outcome.text == "All"
    assert (outcome.failed.type, "no data for 0.2 s" in outcome.failed.message) == ("provider_failed", True)
    await stack.upstream.closed(1)
    assert len(stack.upstream.calls) == 1
    await serves(stack, ask_stream)


async def test_comments_are_no_progress(start: Start) -> None:
    """A provider that only says that it is still there has stalled all the same."""
    chatter: list[Step] = [COMMENT, Pause(0.02)] * 200
    stack = await start([head(), *chatter], providers=IMPATIENT, retry=ONCE)
    began = time.monotonic()

    outcome = await stream_over_rest(stack)

    assert "no data for 0.2 s" in outcome.failed.message
    assert 0.2 <= await stack.upstream.closed(1) - began < 1.0
    await stack.at_rest()


async def test_a_slow_provider_is_not_a_stalled_one(start: Start, ask_stream: Ask) -> None:
    """As long as something comes in time, the whole may take longer than `stall_timeout`."""
    words: list[Step] = [
        step for word in ("All ", "is ", "very ", "well.") for step in (Pause(0.1), *events(delta(word)))
    ]
    stack = await start([head(), *words, *finished()], providers=IMPATIENT)

    outcome = await ask_stream(stack)

    assert (outcome.text, outcome.finish_reason) == ("All is very well.", "stop")
    assert len(stack.upstream.calls) == 1


def _deep(levels: int) -> bytes:
    return b'{"choices":' + b"[" * levels + b"]" * levels + b"}"


MALFORMED: dict[str, Script] = {
    "no HTTP": [b"SSH-2.0-OpenSSH_9.9\r\n\r\n", CLOSE],
    "no status": [b"HTTP/1.1 abc\r\n\r\n", CLOSE],
    "headers without end": [b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n", CLOSE],
    "a chunk of no size": [head(), b"zz\r\n{}\r\n", CLOSE],
    "gzip that is none": [plain(b"no gzip", content_encoding="gzip")],
    "nothing": [plain(b"")],
    "HTML": [plain(b"<html><body>Welcome!</body></html>", content_type="text/html")],
    "JSON cut short": [plain(b'{"choices": [{"mess')],
    "JSON of other types": [plain(b'{"choices": "none"}')],
    "another JSON": [plain(b"[1, 2, 3]")],
    "JSON without end of nesting": [plain(_deep(100_000))],
    "no UTF-8": [plain(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}')],
    "an event of no JSON": [head(), *events(b"{broken"), END],
    "an event of no UTF-8": [head(), *events(b'{"choices": [{"delta": {"content": "\xff\xfe"}}]}'), END],
    "no event at all": [head(), END],
    "an answer of nothing but [DONE]": [head(), *events(b"[DONE]"), END],
}


@pytest.mark.parametrize("script", MALFORMED.values(), ids=MALFORMED)
async def test_what_no_provider_ought_to_send_is_asked_for_again(start: Start, script: Script) -> None:
    """Garbage of any kind is a transient failure, streamed or not; where nothing better comes the error says so."""
    stack = await start(script, answering("All is well."), *[script] * 4, answering("All is well."))

    assert (await stream_over_rest(stack)).text == "All is well."
    assert (await stream_over_grpc(stack)).failed.type == "provider_failed"

    assert len(stack.upstream.calls) == 6
    await serves(stack, whole_over_rest)


async def test_a_character_cut_in_two_arrives_whole(start: Start, ask_stream: Ask) -> None:
    """A piece of a stream may end within a character; the caller gets it whole, once the rest is there."""
    seen = asyncio.Event()
    event = b"data: %b\n\n" % delta("界")
    cut = event.index("界".encode()) + 1
    beginning = b"".join([head(), *events(delta("👍")), chunk(event[:cut])])
    stack = await start([beginning, seen, chunk(event[cut:]), *finished()])

    outcome = await ask_stream(stack, seen=seen)

    assert (outcome.text, outcome.finish_reason) == ("👍界", "stop")


async def test_every_byte_may_come_alone(start: Start, ask: Ask) -> None:
    """However an answer is cut into pieces, it is the same answer."""

    def in_bytes(call: Call) -> Script:
        everything = b"".join(answering("Grüße, 世界 👍")(call))
        return [[everything[index : index + 1] for index in range(len(everything))]]

    stack = await start(in_bytes)

    outcome = await ask(stack)

    assert (outcome.text, outcome.finish_reason, outcome.usage) == ("Grüße, 世界 👍", "stop", USAGE)


async def test_a_provider_that_refuses_connections_is_named(start: Start, ask: Ask) -> None:
    """The error says who could not be reached and why."""
    with refusing() as url:
        stack = await start(answering("All is well."), models=lambda up: {"no": openai(url, "n"), "up": openai(up)})

        failed = (await ask(stack, model="n")).failed

    assert failed.type == "provider_failed"
    assert "no, model n: cannot connect to 127.0.0.1" in failed.message
    assert "Connection refused" in failed.message
    await serves(stack, ask)


async def test_a_certificate_of_an_unknown_authority_is_refused(start: Start) -> None:
    """A provider that cannot prove who it is gets no request, no key and no prompt."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with Upstream(answering("Never."), ssl=context) as impostor:
        stack = await start(
            answering("All is well."), models=lambda up: {"tls": openai(impostor, "t"), "up": openai(up)}
        )

        failed = (await stream_over_rest(stack, model="t")).failed

        assert failed.type == "provider_failed"
        assert "certificate" in failed.message
        assert not impostor.calls
        await serves(stack, whole_over_rest)


async def test_a_tls_handshake_that_never_ends_is_given_up(start: Start) -> None:
    """A port that takes the connection and says nothing costs `connect_timeout`, and the error names it."""
    stack = await start(
        answering("All is well."),
        models=lambda up: {"tls": openai(up.url.replace("http://", "https://"), "t"), "up": openai(up)},
        providers={"connect_timeout": 0.1},
        retry=ONCE,
    )

    failed = (await stream_over_rest(stack, model="t")).failed

    assert failed.type == "provider_failed"
    assert "127.0.0.1" in failed.message
    assert not stack.upstream.calls
    await serves(stack, whole_over_rest)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
async def test_a_passing_error_is_tried_again(start: Start, status: int) -> None:
    """A status that tells of a bad moment costs an attempt, nothing more."""
    stack = await start(refusal(status, "a bad moment"), answering("All is well."))

    assert (await stream_over_rest(stack)).text == "All is well."
    assert len(stack.upstream.calls) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "invalid_request"), (404, "provider_failed"), (413, "invalid_request"), (422, "invalid_request")],
)
async def test_an_error_that_will_not_pass_is_not_tried_again(start: Start, ask: Ask, status: int, error: str) -> None:
    """What is wrong with a request would be wrong the next time; the provider's own words come through."""
    stack = await start(refusal(status, "too many llamas"), answering("All is well."))

    failed = (await ask(stack)).failed

    assert (failed.type, "too many llamas" in failed.message) == (error, True)
    assert len(stack.upstream.calls) == 1
    await serves(stack, ask)


async def test_a_redirect_is_not_followed(start: Start) -> None:
    """Key and prompt go where the configuration says, and nowhere else."""
    async with Upstream(answering("Never.")) as elsewhere:
        away = plain(b"", 307, location=f"{elsewhere.url}/chat/completions")
        stack = await start([away])

        failed = (await whole_over_rest(stack)).failed

        assert failed.type == "provider_failed"
        assert not elsewhere.calls


async def test_a_broken_stream_leaves_its_connection_unused(start: Start) -> None:
    """A connection whose answer was not read to its end is closed, not given to the next task."""
    stack = await start([head(), *events(delta("All"), b"{broken"), HANG], answering("All is well."))

    assert (await stream_over_rest(stack)).failed.type == "provider_failed"
    assert (await stream_over_rest(stack)).text == "All is well."

    await stack.upstream.closed(1)
    assert [call.connection for call in stack.upstream.calls] == [1, 2]


async def test_a_good_connection_is_used_again(start: Start) -> None:
    """An answer that ended in good order leaves its connection to the next task, streamed or not."""
    stack = await start(answering("All is well."))

    for ask in (stream_over_rest, whole_over_rest, stream_over_rest):
        assert (await ask(stack)).text == "All is well."

    assert [call.connection for call in stack.upstream.calls] == [1, 1, 1]


async def test_a_connection_that_was_closed_while_it_rested_costs_the_caller_nothing(start: Start) -> None:
    """Providers close idle connections when they like; the next task then takes a new one."""
    stack = await start([*said("All is well."), CLOSE], answering("All is well."))

    assert (await stream_over_rest(stack)).text == "All is well."
    await stack.upstream.until(lambda: stack.upstream.open == 0)
    assert (await stream_over_rest(stack)).text == "All is well."

    assert len(stack.upstream.calls) == 2


async def test_an_error_within_a_stream_is_the_providers_word(start: Start, ask_stream: Ask) -> None:
    """An error event after the first word ends the stream with what the provider said."""
    error = json.dumps({"error": {"code": 502, "message": "the model broke"}}).encode()
    stack = await start([head(), *events(delta("All"), error, b"[DONE]"), END])

    outcome = await ask_stream(stack)

    assert (outcome.text, outcome.failed.type) == ("All", "provider_failed")
    assert "the model broke" in outcome.failed.message
    assert len(stack.upstream.calls) == 1
