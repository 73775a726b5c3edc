"""What a load is to do, and what it counts while it does it."""

from __future__ import annotations

import re
import time
from array import array
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from results import Sample

if TYPE_CHECKING:
    from machine import Meter

STAMP = re.compile(rb"@(\d+\.\d+);")
PROMPT = "Say in a few words what a queue is for."


class Plan(msgspec.Struct, frozen=True):
    """What to ask, how, and for how long."""

    url: str = ""
    pid: int = 0
    model: str = "bench"
    stream: bool = False
    connections: int = 32
    seconds: float = 3.0
    warmup: float = 0.5
    marks: int = 1
    """Texts in each complete answer; one with another number is an error. 0 where they are not known."""
    rate: float = 0.0
    """Requests a second; 0: as many as the connections carry."""
    requests: int = 0
    """End after so many answers instead of after `seconds`."""
    ramp: float = 0.0
    """Seconds over which the connections begin."""

    def message(self) -> bytes:
        """Return the request, head and body."""
        url = urlsplit(self.url)
        content = {"prompt": PROMPT, "model_code": self.model, "stream": self.stream}
        body = msgspec.json.encode(content)
        head = f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Tally:
    """Counts what arrived."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.requests = self.events = self.frames = self.reads = self.errors = 0
        self.seconds = array("d")

    def arrived(self, events: bytes) -> None:
        """Count server-sent events, and how late those are that say when they were due."""
        self.frames += events.count(b"\n\n")
        now = time.monotonic()
        self.seconds.extend(now - float(stamp) for stamp in STAMP.findall(events))

    def sample(self, meter: Meter) -> Sample:
        """Close the window: what was counted since the meter was made."""
        seconds, cpu, core = meter.read()
        counts = (self.requests, self.events or self.frames, self.frames, self.reads, self.errors)
        ordered = sorted(self.seconds)
        median, slow = percentile(ordered, 0.5), percentile(ordered, 0.99)
        return Sample(seconds, *counts, median, slow, cpu, core, meter.rss())


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that this share of the sorted values does not exceed; 0 where there are none."""
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0
