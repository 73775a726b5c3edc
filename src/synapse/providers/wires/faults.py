"""What the wires share to read a provider's errors: envelopes, delays, excerpts, and the hiding of keys."""

from __future__ import annotations

import math
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import msgspec

from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON, no UTF-8, of other types than expected, or nested without end."""

BY_STATUS: Final[Mapping[int, FailureClass]] = {
    400: FailureClass.CALLER_FAULT,
    401: FailureClass.CREDENTIAL_DEAD,
    402: FailureClass.CREDENTIAL_DEAD,
    404: FailureClass.MODEL_GONE,
    413: FailureClass.CALLER_FAULT,
    422: FailureClass.CALLER_FAULT,
    429: FailureClass.RATE_LIMITED,
    503: FailureClass.OVERLOADED,
    529: FailureClass.OVERLOADED,
}
"""What a status means where the body says nothing better. Those that are not here are transient."""

_NO_ERROR = frozenset({b"null", b"false", b"0", b'""', b"{}", b"[]"})
_MESSAGE_LIMIT = 500
_EXCERPT_LIMIT = 200
_HIDDEN = "[redacted]"
_KEYS = re.compile(
    r"""
    (?P<kept> \b Bearer \s+ | [?&] (?:api_?)? key= ) [^\s&"'<>]+   # where a key stands
  | \b (?: AIza | AQ\. | sk- | gsk_ | hf_ | xai- | nvapi- | csk- | tgp_v1_ ) [\w*-]{6,}   # how keys begin
  | \b (?= [a-z_]* \d ) (?= \d* [a-z_] ) \w{32,}   # what is too long and too mixed for a word or a number
    """,
    re.VERBOSE | re.IGNORECASE,
)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|h|m|s)")
_SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
}  # fmt: skip
_STATED_DELAY = re.compile(
    r"\b(?:try again|retry|wait) (?:in |after )?"
    r"(?:(?P<parts>(?:\d+(?:\.\d+)?(?:ms|h|m|s))+)|(?P<seconds>\d+(?:\.\d+)?) seconds?)\b",
    re.IGNORECASE,
)
_MOST_DIGITS = 18
"""Of a whole number: nobody counts further, and reading longer ones may fail."""


class Complaint(msgspec.Struct, frozen=True):
    """What a provider's error says, whatever envelope it came in."""

    fields: Mapping[str, object]
    """The error object itself; empty where there was none."""
    message: str
    """As the provider wrote it: not redacted, not trimmed."""


class Verdict(msgspec.Struct, frozen=True):
    """What an error teaches, apart from its words: the same fields as those of `Failure`."""

    kind: FailureClass
    retry_after: float | None = None
    violations: tuple[Violation, ...] = ()
    shared: bool = False


def read_complaint(body: bytes, status: int | None = None) -> Complaint:
    """Read the body of an error answer; where it says nothing in its own words the message is its beginning."""
    try:
        complaint = complaint_of(msgspec.json.decode(body))
    except UNREADABLE:
        complaint = Complaint({}, "")
    return Complaint(complaint.fields, complaint.message or excerpt(body) or _silence(status))


def _silence(status: int | None) -> str:
    return f"{'an error' if status is None else f'HTTP {status}'} without a word of explanation"


def read_inner_complaint(error: msgspec.Raw) -> Complaint | None:
    """Read what stands under `error` in an answer whose status was 200; None if it says that there is no error."""
    body = bytes(error)
    return None if body.translate(None, b" \t\r\n") in _NO_ERROR else read_complaint(body)


def complaint_of(value: object, depth: int = 4) -> Complaint:
    """Read a decoded error: a list around it, an envelope around it, or JSON inside its message are unwrapped."""
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    if isinstance(value, str):
        return _of_text(value, depth)
    fields = mapping(value)
    inner = fields.get("error")
    if inner and depth and isinstance(inner, dict | list | str):
        return complaint_of(inner, depth - 1)
    said = _of_text(text(fields.get("message")) or text(fields.get("detail")), depth)
    return Complaint({**fields, **said.fields}, said.message)


def _of_text(said: str, depth: int) -> Complaint:
    if depth and said.lstrip().startswith(("{", "[")):
        try:
            return complaint_of(msgspec.json.decode(said), depth - 1)
        except UNREADABLE:
            pass
    return Complaint({}, said.strip())


def mapping(value: object) -> Mapping[str, object]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[Mapping[str, object]]:
    """Return the objects among the value's items, if it is a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """Return the value if it is text, else nothing."""
    return value if isinstance(value, str) else ""


def failure(
    kind: FailureClass, message: str, *, status: int | None = None, retry_after: float | None = None
) -> Failure:
    """Build a failure whose message shows no key and is at most 500 characters long."""
    return judged(Verdict(kind, retry_after), message, status)


def judged(verdict: Verdict, message: str, status: int | None) -> Failure:
    """Build the failure that a verdict and the words it was made of are, with a message as `failure` makes it."""
    shown = trim(redact(message[: 20 * _MESSAGE_LIMIT]), _MESSAGE_LIMIT)
    return Failure(verdict.kind, shown, status, verdict.retry_after, verdict.violations, verdict.shared)


def unreadable(data: bytes, error: Exception) -> Failure:
    """Say that an answer was not what it ought to be.

    Only what stands before all JSON is shown: broken JSON may hold a piece of the model's answer.
    """
    shown = excerpt(data.partition(b"{")[0])
    if shown.startswith("[") or not shown:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        said = f"the provider sent {len(data)} bytes of JSON that cannot be read: {reason}"
    else:
        said = f"the provider sent what is no answer: {shown}"
    return failure(FailureClass.TRANSIENT, said)


def cut_short(seen: str) -> Failure:
    """Say that the connection ended before the answer did, and what had been seen of it."""
    return Failure(FailureClass.TRANSIENT, f"the answer was cut short: the stream ended with {seen}")


def redact(message: str) -> str:
    """Hide everything that looks like a key."""
    return _KEYS.sub(lambda found: (found["kept"] or "") + _HIDDEN, message)


def trim(message: str, limit: int) -> str:
    """Cut the text at `limit` characters, and show that it was cut."""
    return message if len(message) <= limit else message[: limit - 1] + "…"


def excerpt(data: bytes) -> str:
    """Return the beginning of a body as one line of at most 200 characters, without keys."""
    words = data[: 20 * _EXCERPT_LIMIT].decode("utf-8", "replace").split()
    return trim(redact(" ".join(words)), _EXCERPT_LIMIT)


def duration(value: str) -> float | None:
    """Return the seconds of a Go or protobuf duration (`6m0s`, `7.66s`, `6ms`, `48s`), or None if it is none."""
    seconds, end = 0.0, 0
    for part in _DURATION.finditer(value):
        if part.start() != end:
            return None
        seconds += float(part[1]) * _SECONDS[part[2]]
        end = part.end()
    return seconds if end and end == len(value) and math.isfinite(seconds) else None


def stated_delay(message: str) -> float | None:
    """Return the seconds of a "retry in 964.97ms", "try again in 7m12s" or "wait 9 seconds" in a message, or None."""
    found = _STATED_DELAY.search(message)
    if found is None:
        return None
    return duration(found["parts"].lower() if found["parts"] else f"{found['seconds']}s")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds after which the headers say to come back, or None.

    `retry-after-ms` is the finer one, but some send a 0 there beside a true `retry-after`: nothing below one
    millisecond counts. A date is compared with the answer's own date, which needs no clock that agrees with theirs.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        seconds = number(headers.get(name, "")) * unit
        if seconds > 0:
            return seconds
    then, now = instant(headers.get("retry-after", "")), instant(headers.get("date", ""))
    return then - now if then is not None and now is not None and then > now else None


def number(value: str) -> float:
    """Return the finite number that the text is, else 0."""
    try:
        parsed = float(value)
    except ValueError:
        return 0.0
    return parsed if math.isfinite(parsed) else 0.0


def whole(value: object) -> int | None:
    """Return the whole number, not below 0 and of at most 18 digits, that a number or a text is, else None."""
    if isinstance(value, str):
        digits = value.strip()
        return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= _MOST_DIGITS else None
    return value if type(value) is int and 0 <= value < 10**_MOST_DIGITS else None


def instant(value: str) -> float | None:
    """Return the UTC seconds of an HTTP date, or None if it is none."""
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
