"""Server-sent events, cut anywhere."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse.providers.wires.sse import EventStream

LINE_ENDS = ("\n", "\r\n", "\r")
FIELDS = frozenset({"", "event", "id", "retry", "data"})


def _read(stream: EventStream, pieces: list[bytes]) -> list[bytes]:
    return [event for piece in pieces for event in stream.feed(piece)] + stream.end()


def _cut(body: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in cuts), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


def expected(body: bytes) -> list[bytes]:
    """Read the whole text at once, line by line, as the standard words it; keep a last event that was not closed."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in [*re.split(rb"\r\n|\n|\r", body.removeprefix(b"\xef\xbb\xbf")), b""]:
        if not line and data:
            events.append(b"\n".join(data))
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line and line.split(b":")[0].decode("utf-8", "replace") not in FIELDS:
            data.append(line)
    return events


line = st.one_of(
    st.text(alphabet='ab:{}"é\u2028\u2029\x85\U0001f600 ', max_size=8).map("data: {}".format),
    st.sampled_from(
        [
            "",
            "",
            "data",
            "data:",
            "data:x",
            "\ufeffdata: 1",
            ": comment",
            ":",
            "event: error",
            "id: 1",
            "retry: 5",
            '{"bare": 1}',
            "idle",
        ]
    ),
)


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.tuples(line, st.sampled_from(LINE_ENDS)), max_size=12))
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return mark + "".join(words + end for words, end in lines).encode() + draw(st.sampled_from([b"", b"data: tail"]))


@given(_bodies(), st.lists(st.integers(0, 1000), max_size=12))
@settings(max_examples=500, deadline=None)
def test_cuts_make_no_difference(body: bytes, cuts: list[int]) -> None:
    """Any text, cut anywhere (in a line end, a mark, a character), gives the events of the uncut text."""
    assert _read(EventStream(), _cut(body, cuts)) == expected(body)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=300, deadline=None)
def test_bytes_of_any_kind_are_read_alike_however_cut(body: bytes, cuts: list[int]) -> None:
    """What is no event stream at all is still read without an exception, and the same however it is cut."""
    assert _read(EventStream(), _cut(body, cuts)) == _read(EventStream(), [body])


@pytest.mark.parametrize("end", LINE_ENDS)
def test_an_event_ends_at_its_blank_line(end: str) -> None:
    """An event comes out with the very byte that ends its blank line, whatever the line ends are."""
    stream = EventStream()

    assert stream.feed(f"data: 1{end}".encode()) == []
    assert stream.feed(end[:1].encode()) == [b"1"]


def test_a_line_end_cut_in_two_is_one_line_end() -> None:
    """CR at the end of a piece and LF at the start of the next do not make a blank line."""
    stream = EventStream()

    assert stream.feed(b"data: 1\r") == []
    assert stream.feed(b"") == []
    assert stream.feed(b"\ndata: 2\r\n") == []
    assert stream.feed(b"\r\n") == [b"1\n2"]


def test_line_separators_of_unicode_are_text() -> None:
    """U+2028, U+2029 and U+0085 stand unescaped in JSON and end no line."""
    data = json.dumps("a\u2028b\u2029c\x85d", ensure_ascii=False).encode()

    assert EventStream().feed(b"data: " + data + b"\n\n") == [data]


def test_keepalive_comments_are_no_events() -> None:
    """Comments before, between and after events leave nothing behind."""
    stream = EventStream()

    assert stream.feed(b": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n") == []
    assert stream.feed(b"data: 1\n\n:\n\ndata: 2\n\n: end\n\n") == [b"1", b"2"]
    assert stream.end() == []


def test_bare_json_between_events_is_an_event() -> None:
    """A pretty-printed error without `data:` comes out whole."""
    body = b'data: 1\r\n\r\n{\r\n  "error": {\r\n    "code": 503\r\n  }\r\n}\r\n\r\n'

    first, error = EventStream().feed(body)

    assert first == b"1"
    assert json.loads(error) == {"error": {"code": 503}}


def test_a_plain_text_line_that_begins_like_a_field_is_kept() -> None:
    """Only a whole field name makes a field: `identity check failed` is a message."""
    assert EventStream().feed(b"identity check failed\n\n") == [b"identity check failed"]


def test_the_last_event_may_lack_its_blank_line() -> None:
    """A stream that is closed right behind its last data has sent that data."""
    stream = EventStream()

    assert stream.feed(b"data: 1\n\ndata: 2") == [b"1"]
    assert stream.end() == [b"2"]
    assert stream.end() == []


def test_what_is_kept_can_be_asked_for() -> None:
    """Who reads a stream can end one that keeps growing without an event, in one line or in many."""
    stream = EventStream()

    assert stream.pending == 0
    stream.feed(b"data: 12345\ndata: 67")
    assert stream.pending > len("12345data: 67")
    stream.feed(b"\n\n")
    assert stream.pending == 0
    stream.feed(b"x\n" * 1000)
    assert stream.pending > 2000
    stream.end()
    assert stream.pending == 0


def test_time_is_linear_in_the_length_of_a_line() -> None:
    """A line of 20 MB in pieces of 1 KB costs no more a byte than one of 2 MB: nothing is copied again and again."""

    def seconds(megabytes: int) -> float:
        stream, piece = EventStream(), b"x" * 1024
        begin = time.perf_counter()
        stream.feed(b"data: ")
        for _ in range(megabytes * 1024):
            assert stream.feed(piece) == []
        (event,) = stream.feed(b"\n\n")
        assert len(event) == megabytes * 1024 * 1024
        return time.perf_counter() - begin

    short = min(seconds(2) for _ in range(3))

    # Ten times the bytes; quadratic time would be a hundred times, and the machine may be busy.
    assert seconds(20) < 40 * short + 0.2


def test_time_is_linear_in_the_number_of_events() -> None:
    """Twenty thousand small events in random pieces all come out, in order."""
    body = b"".join(b"data: %d\r\n\r\n" % number for number in range(20_000))
    random = Random(1)  # noqa: S311 - repeatable cuts, no secret
    cuts = [random.randrange(len(body)) for _ in range(5_000)]

    assert _read(EventStream(), _cut(body, cuts)) == [b"%d" % number for number in range(20_000)]
