"""What every wire keeps to. A wire's own tests call `check_wire` with an answer of its dialect in both forms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from random import Random

import msgspec

from synapse.domain.credential import Credential
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Logprobs, Thought
from synapse.domain.failure import Failure
from synapse.domain.quota import Headroom
from synapse.domain.request import Image, Message, Request, Role, Sampling, Text
from synapse.domain.usage import Usage
from synapse.providers.base import Signal
from synapse.providers.wires.base import Call, Wire
from synapse.providers.wires.sse import EventStream

_KEY = "sk-or-v1-0123456789abcdef0123456789abcdef"
_AUTH_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})
_RANDOM_CUTS = 50
_LONGEST_MESSAGE = 500
_GARBAGE = (
    b"<html><head><title>502 Bad Gateway</title></head></html>",
    b"upstream connect error or disconnect/reset before headers",
    b'{"truncated": "in the mid',
    b'{"text": "\xff\xfe"',
    b"[" * 100_000,
    b"null",
    b"\x00\x01\x02",
)
_ODD_BODIES = (
    *_GARBAGE,
    b"",
    b"{}",
    b"[]",
    b'{"error": null}',
    b'{"error": "in words"}',
    b'{"error": {"message": ["not", "text"], "code": {}, "type": 5, "status": [], "details": {"@type": 1}}}',
    b'[{"error": {"details": [{"@type": 7}, 8, null], "metadata": [], "code": true}}]',
    b'{"error": {"message": "the key ' + _KEY.encode() + b' is wrong"}}',
    b'{"detail": "Bearer ' + _KEY.encode() + b'"}',
)
_ODD_NUMBERS = (
    "",
    "soon",
    "-1",
    "0",
    "0.5",
    "nan",
    "inf",
    "1e400",
    "9" * 5000,
    "9" * 400 + "s",
    "٣",
    "1,000",
    "unlimited",
)


class Heard(msgspec.Struct, frozen=True):
    """What a decoder made of an answer."""

    text: str
    """Thoughts, tool calls and probabilities beside it are let pass."""
    end: Finish | Failure


def hear(wire: Wire, pieces: Iterable[bytes]) -> Heard:
    """Feed a streamed answer, cut as given, to a new decoder. Raises AssertionError for a forbidden signal."""
    stream, decoder = EventStream(), wire.decoder()
    text: list[str] = []
    for event in _events(stream, pieces):
        for signal in decoder.feed(event):
            if isinstance(signal, Failure):
                return Heard("".join(text), signal)
            text.append(_delta(signal))
    return Heard("".join(text), decoder.end())


def hear_plain(wire: Wire, body: bytes) -> Heard:
    """Feed a plain answer to a new decoder of the wire."""
    decoder = wire.decoder()
    text: list[str] = []
    for signal in decoder.feed(body):
        if isinstance(signal, Failure):
            return Heard("".join(text), signal)
        text.append(_delta(signal))
    return Heard("".join(text), decoder.end())


def check_wire(
    wire: Wire,
    *,
    streamed: bytes,
    plain: bytes,
    text: str,
    reason: FinishReason = FinishReason.STOP,
    usage: Usage,
    seed: int = 0,
) -> None:
    """Check all that a wire promises. Raises AssertionError that says which promise was broken.

    `streamed` and `plain` are the bytes of two complete answers that say `text` and end with `reason` and `usage`;
    `text` should be in several events. The stream is cut at every position: keep it under some ten kilobytes.
    """
    whole = Heard(text, Finish(reason, usage))
    check_plain(wire, plain, whole)
    check_cuts(wire, streamed, whole, seed)
    check_cut_short(wire, streamed, whole)
    check_garbage(wire)
    check_classify(wire)
    check_encode(wire)


def check_plain(wire: Wire, plain: bytes, whole: Heard) -> None:
    """Check that a plain answer fed at once is understood."""
    _same(hear_plain(wire, plain), whole, "the plain answer")


def check_cuts(wire: Wire, streamed: bytes, whole: Heard, seed: int = 0) -> None:
    """Check that the stream says the same however the network cuts it."""
    _same(hear(wire, [streamed]), whole, "the stream in one piece")
    _same(hear(wire, (streamed[i : i + 1] for i in range(len(streamed)))), whole, "the stream byte by byte")
    for cut in range(1, len(streamed)):
        _same(hear(wire, (streamed[:cut], streamed[cut:])), whole, f"the stream cut at byte {cut}")
    random = Random(seed)  # noqa: S311 - repeatable cuts, no secret
    for _ in range(_RANDOM_CUTS):
        cuts = sorted(random.sample(range(len(streamed) + 1), k=min(9, len(streamed))))
        pieces = [streamed[a:b] for a, b in zip([0, *cuts], [*cuts, len(streamed)], strict=True)]
        _same(hear(wire, pieces), whole, f"the stream cut at bytes {cuts} (seed {seed})")


def check_cut_short(wire: Wire, streamed: bytes, whole: Heard) -> None:
    """Check that none of the stream's beginnings passes for an answer with less text."""
    for cut in range(len(streamed)):
        heard = hear(wire, [streamed[:cut]])
        _expect(whole.text.startswith(heard.text), f"the stream's first {cut} bytes say what the whole does not say")
        complete = heard.text == whole.text
        _expect(complete or isinstance(heard.end, Failure), f"the stream's first {cut} bytes pass for an answer")
    beginning = hear(wire, [streamed[: len(streamed) // 3]])
    _expect(isinstance(beginning.end, Failure), f"a third of the stream passes for an answer: {beginning}")


def check_garbage(wire: Wire) -> None:
    """Check that what is no answer is a failure with a short message, never an exception."""
    for data in _GARBAGE:
        end = hear_plain(wire, data).end
        _expect(isinstance(end, Failure), f"{data[:40]!r} passes for an answer")
        if isinstance(end, Failure):
            _expect_fit(end, f"the message for {data[:40]!r}")


def check_classify(wire: Wire) -> None:
    """Check that every status with every body is some failure that tells the status and shows no key."""
    for status in (300, *range(400, 432), *range(500, 530)):
        for body in _ODD_BODIES:
            failure = wire.classify(status, {"retry-after": "soon", "date": "today"}, body)
            _expect(failure.status == status, f"the failure for status {status} says {failure.status}")
            _expect(failure.retry_after is None, f"'soon' was taken for {failure.retry_after} seconds")
            _expect_fit(failure, f"the message for status {status} and {body[:40]!r}")


def check_headroom(wire: Wire, headers: Mapping[str, str], headroom: tuple[Headroom, ...]) -> None:
    """Check what a wire reads in the headers of good answers: not a part of `check_wire`, for not every wire does.

    `headers` are those of an answer of its dialect, which say `headroom`; their names are in lower case.
    """
    read = wire.headroom
    if read is None:
        raise AssertionError(f"the wire {wire.name} reads no headers of good answers")
    _expect(read({}) == (), "headers that say nothing of limits were taken for some")
    _expect(read(headers) == headroom, f"{dict(headers)} was read as {read(headers)}, which ought to be {headroom}")
    for name in headers:
        _check_numbers(read({each: value for each, value in headers.items() if each != name}))
        for odd in _ODD_NUMBERS:
            _check_numbers(read({**headers, name: odd}))


def _check_numbers(headroom: tuple[Headroom, ...]) -> None:
    measures = [each.measure for each in headroom]
    _expect(len(measures) == len(set(measures)), f"a limit is told twice: {headroom}")
    for each in headroom:
        _expect(each.limit > 0, f"a limit of an answer that was given is nothing: {each}")
        _expect(each.remaining is None or each.remaining >= 0, f"less than nothing is left: {each}")
        _expect(each.resets_in is None or 0 <= each.resets_in < math.inf, f"it never resets: {each}")


def check_encode(wire: Wire) -> None:
    """Check that encoding depends on nothing but its arguments, and puts the key into one header only."""
    credential = Credential("project", _KEY)
    for request in _requests():
        call, again = wire.encode(request, "a-model", credential), wire.encode(request, "a-model", credential)
        _expect(call == again, "the same request was written in two ways")
        _expect(call.headers is not again.headers, "two calls share one dictionary of headers")
        _check_call(call, wire.encode(request, "a-model", None))
    stream, plain = (wire.encode(_request(stream=stream), "a-model", None) for stream in (True, False))
    _expect(stream != plain, "streaming or not makes no difference to what is sent")


def _check_call(call: Call, keyless: Call) -> None:
    headers = {name.lower(): value for name, value in call.headers.items()}
    holders = {name for name, value in headers.items() if _KEY in value}
    _expect(len(holders) == 1 and holders <= _AUTH_HEADERS, f"the key stands in the headers {sorted(holders)}")
    _expect(_KEY not in call.path and _KEY.encode() not in call.body, "the key stands in the path or the body")
    _expect(not _AUTH_HEADERS & {name.lower() for name in keyless.headers}, "a header for auth without a credential")
    _expect((call.path, call.body) == (keyless.path, keyless.body), "the credential changes more than a header")
    _expect(call.path.startswith("/"), f"the path {call.path!r} does not begin with a slash")
    _expect(headers.get("content-type") == "application/json", "the content-type is not application/json")
    msgspec.json.decode(call.body)


def _requests() -> Iterator[Request]:
    yield _request(stream=False)
    yield _request(stream=True)
    picture = Image("image/png", b"\x89PNG\r\n\x1a\n")
    yield Request(
        "a-code",
        (
            Message(Role.SYSTEM, (Text("Be terse."),)),
            Message(Role.USER, (picture, Text("What is it?"))),
            Message(Role.ASSISTANT, (Text("A picture."),)),
            Message(Role.USER, (Text("Of \u2028 what? \U0001f600"),)),
        ),
        Sampling(temperature=0.5, top_p=0.9, top_k=40, max_output_tokens=100),
    )


def _request(*, stream: bool) -> Request:
    return Request("a-code", (Message(Role.USER, (Text("Hello"),)),), stream=stream)


def _events(stream: EventStream, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from stream.feed(piece)
    yield from stream.end()


def _delta(signal: Signal) -> str:
    if isinstance(signal, Thought | CallDelta | Logprobs):
        return ""
    said = signal.text if isinstance(signal, Delta) else ""
    _expect(said != "", f"feed() returned {signal}: it has to be text, for only end() says how an answer ended well")
    return said


def _same(heard: Heard, whole: Heard, what: str) -> None:
    if heard != whole:
        raise AssertionError(f"{what} was heard as {heard}, which ought to be {whole}")


def _expect_fit(failure: Failure, what: str) -> None:
    _expect(failure.message.strip() != "", f"{what} is empty")
    _expect(len(failure.message) <= _LONGEST_MESSAGE, f"{what} is {len(failure.message)} characters long")
    _expect(_KEY not in failure.message, f"{what} shows the key")


def _expect(condition: object, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)
