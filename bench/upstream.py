"""A provider that costs next to nothing: canned answers over raw sockets, in OpenAI's and in Gemini's shape.

    python bench/upstream.py [--events 200] [--rate 0]

Prints the port it listens on. Each event is a write of its own. With rate 0 a stream gets its next event in each turn
of the event loop; with another, `rate` events a second, on one timer for all streams, which are spread evenly over the
interval. A paced event's text is `@<when it was due, time.monotonic>;`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import TYPE_CHECKING, cast

import httptools
import uvloop

from answers import MARK, WORD, Form, gemini_form, openai_form
from ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 20
"""Into how many parts an interval is cut: paced streams do not all speak at once."""


class Pacer:
    """Decides when each stream gets its next event."""

    def __init__(self, rate: float) -> None:
        """Take the events a second for each stream; 0 is as fast as the loop turns."""
        self._slots: list[dict[Answer, None]] = [{} for _ in range(SLOTS if rate else 1)]
        self._turn = 0
        self._ticker = Ticker(1 / rate / SLOTS, self._tick) if rate else None
        self._turning = False

    def add(self, answer: Answer) -> None:
        """Let the answer have events until it is complete or discarded."""
        min(self._slots, key=len)[answer] = None
        if self._ticker is None and not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._spin)

    def discard(self, answer: Answer) -> None:
        """Forget an answer whose reader has gone."""
        for slot in self._slots:
            slot.pop(answer, None)

    def close(self) -> None:
        """Stop the clock."""
        if self._ticker is not None:
            self._ticker.close()

    def _spin(self) -> None:
        self._advance(self._slots[0], WORD)
        self._turning = bool(self._slots[0])
        if self._turning:
            asyncio.get_running_loop().call_soon(self._spin)

    def _tick(self, due: float) -> None:
        self._turn = (self._turn + 1) % SLOTS
        self._advance(self._slots[self._turn], f"{MARK}{due:.6f};")

    def _advance(self, slot: dict[Answer, None], text: str) -> None:
        for answer in list(slot):
            if not answer.advance(text):
                del slot[answer]


class Answer:
    """One stream on its way."""

    def __init__(self, form: Form, write: Callable[[bytes], None], events: int) -> None:
        """Begin it: the head goes out at once."""
        self._form = form
        self._write = write
        self._left = events
        write(form.head)

    def advance(self, text: str) -> bool:
        """Send the next event, or the end; say whether there is more."""
        if self._left:
            self._left -= 1
            self._write(self._form.event(text))
            return True
        self._write(self._form.end)
        return False


class Connection(asyncio.Protocol):
    """One client; requests come one after the other."""

    def __init__(self, forms: tuple[Form, Form], pacer: Pacer, events: int) -> None:
        """Take the OpenAI and Gemini forms, the pacer, and how many events a stream has."""
        self._openai, self._gemini = forms
        self._pacer = pacer
        self._events = events
        self._answer: Answer | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._body = self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Stop what was on its way."""
        if self._answer is not None:
            self._pacer.discard(self._answer)

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below follow from it."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Begin a request."""
        self._url, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        gemini = b"enerateContent" in self._url
        form = self._gemini if gemini else self._openai
        if b":streamGenerateContent" in self._url if gemini else _wants_stream(self._body):
            self._answer = Answer(form, self._transport.write, self._events)
            self._pacer.add(self._answer)
        else:
            self._transport.write(form.plain)


def _wants_stream(body: bytes) -> bool:
    return b'"stream":true' in body or b'"stream": true' in body


async def serve(events: int, rate: float) -> None:
    """Serve on a free port until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(rate)
    forms = (openai_form(), gemini_form())
    server = await loop.create_server(lambda: Connection(forms, pacer, events), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    pacer.close()
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="canned provider")
    parser.add_argument("--events", type=int, default=200, help="events of a streamed answer")
    parser.add_argument("--rate", type=float, default=0, help="events a second for each stream; 0: at once")
    options = parser.parse_args()
    uvloop.run(serve(options.events, options.rate))


if __name__ == "__main__":
    main()
