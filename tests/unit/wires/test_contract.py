"""Both wires keep the published contract, and the contract notices wires that do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Headroom, Measure
from synapse.domain.usage import Usage
from synapse.providers.wires import gemini, openai
from synapse.providers.wires.base import Call, Wire
from synapse.testing.wire_contract import (
    Heard,
    check_classify,
    check_cut_short,
    check_cuts,
    check_encode,
    check_garbage,
    check_headroom,
    check_wire,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse.domain.credential import Credential
    from synapse.domain.request import Request
    from synapse.providers.base import Signal

TEXT = "Grüße, 世界 \U0001f600\u2028!"
WORDS = ("Grüße, ", "世界 ", "\U0001f600\u2028!")


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _gemini_answer(text: str, **more: object) -> dict[str, object]:
    return {
        "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0, **more}],
        "usageMetadata": {
            "promptTokenCount": 4,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 2,
            "totalTokenCount": 13,
        },
    }


def test_gemini_keeps_the_contract() -> None:
    """Gemini's wire understands its answers however they are cut, and never takes a part for the whole."""
    answers = [_gemini_answer(WORDS[0]), _gemini_answer(WORDS[1]), _gemini_answer(WORDS[2], finishReason="STOP")]

    check_wire(
        gemini.WIRE,
        streamed=b"".join(b"data: " + _dump(answer) + b"\r\n\r\n" for answer in answers),
        plain=_dump(_gemini_answer(TEXT, finishReason="STOP")),
        text=TEXT,
        usage=Usage(input_tokens=4, output_tokens=9, thinking_tokens=2, total_tokens=13),
    )


def _chunk(content: str | None, reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": reason}], "usage": None}


def test_openai_keeps_the_contract() -> None:
    """OpenAI's wire understands its answers however they are cut, and never takes a part for the whole."""
    usage = {"prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 13}
    events = [_dump(_chunk(words)) for words in WORDS] + [
        _dump(_chunk(None, "length")),
        _dump({"choices": [], "usage": usage}),
        b"[DONE]",
    ]
    plain = {
        "choices": [{"message": {"role": "assistant", "content": TEXT}, "finish_reason": "length"}],
        "usage": usage,
    }

    check_wire(
        openai.WIRE,
        streamed=b": PROCESSING\n\n" + b"".join(b"data: " + event + b"\n\n" for event in events),
        plain=_dump(plain),
        text=TEXT,
        reason=FinishReason.LENGTH,
        usage=Usage(input_tokens=4, output_tokens=9, total_tokens=13),
    )


RATE_LIMITS = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-limit-tokens": "160000",
    "x-ratelimit-remaining-tokens": "159970",
    "x-ratelimit-reset-tokens": "11ms",
}
HEADROOM = (Headroom(Measure.RPM, 5000, 4999, 0.012), Headroom(Measure.TPM, 160000, 159970, 0.011))


def test_openai_reads_limits_as_the_contract_wants() -> None:
    """Whatever stands in one of the headers, it is no exception, and no limit that cannot be."""
    check_headroom(openai.WIRE, RATE_LIMITS, HEADROOM)


def test_the_contract_notices_a_wire_that_believes_every_header() -> None:
    """A limit of nothing, a limit told twice and a wire that reads nothing at all break the contract."""

    def believing(headers: Mapping[str, str]) -> tuple[Headroom, ...]:
        told = headers.get("x-ratelimit-limit-requests", "")
        return (Headroom(Measure.RPM, int(told)),) if told.isascii() and told.isdigit() and len(told) < 9 else ()

    def stuttering(headers: Mapping[str, str]) -> tuple[Headroom, ...]:
        return HEADROOM * len(headers)

    one = {"x-ratelimit-limit-requests": "5000"}
    with pytest.raises(AssertionError, match="is nothing"):
        check_headroom(msgspec.structs.replace(openai.WIRE, headroom=believing), one, (Headroom(Measure.RPM, 5000),))
    with pytest.raises(AssertionError, match="told twice"):
        check_headroom(
            msgspec.structs.replace(openai.WIRE, headroom=stuttering), {**one, "date": "today"}, HEADROOM * 2
        )
    with pytest.raises(AssertionError, match="ought to be"):
        check_headroom(openai.WIRE, RATE_LIMITS, ())
    with pytest.raises(AssertionError, match="reads no headers"):
        check_headroom(gemini.WIRE, RATE_LIMITS, ())


class _Trusting:
    """A decoder that takes every end for a good one."""

    def __init__(self) -> None:
        self._inner = gemini.WIRE.decoder()

    def feed(self, data: bytes) -> Sequence[Signal]:
        return [signal for signal in self._inner.feed(data) if isinstance(signal, Delta)]

    def end(self) -> Finish | Failure:
        return Finish(FinishReason.STOP)


class _Fragile:
    """A decoder that raises for what it does not understand."""

    def feed(self, data: bytes) -> Sequence[Signal]:
        return [Delta(str(msgspec.json.decode(data)))]

    def end(self) -> Finish | Failure:
        return Finish(FinishReason.STOP)


class _Stuttering(_Trusting):
    """A decoder that also says nothing, as text."""

    def feed(self, data: bytes) -> Sequence[Signal]:
        return [*super().feed(data), Delta("")]


class _Talkative(_Trusting):
    """A decoder that finds limits in an answer's text."""

    def feed(self, data: bytes) -> Sequence[Signal]:
        return [*super().feed(data), *HEADROOM]


STREAM = b"".join(b"data: " + _dump(_gemini_answer(word)) + b"\n\n" for word in WORDS)


def test_the_contract_notices_a_wire_that_trusts_every_end() -> None:
    """A decoder that finishes well after half a stream breaks the contract."""
    wire = msgspec.structs.replace(gemini.WIRE, decoder=_Trusting)

    with pytest.raises(AssertionError, match="pass for an answer"):
        check_cut_short(wire, STREAM, Heard(TEXT, Finish(FinishReason.STOP)))
    with pytest.raises(AssertionError, match="passes for an answer"):
        check_garbage(wire)


def test_the_contract_notices_a_wire_that_raises() -> None:
    """A decoder's exception is not swallowed by the contract."""
    with pytest.raises(msgspec.DecodeError):
        check_garbage(msgspec.structs.replace(gemini.WIRE, decoder=_Fragile))


def test_the_contract_notices_empty_text() -> None:
    """A decoder that returns an empty Delta breaks the contract."""
    with pytest.raises(AssertionError, match="has to be text"):
        check_cuts(
            msgspec.structs.replace(gemini.WIRE, decoder=_Stuttering), STREAM, Heard(TEXT, Finish(FinishReason.STOP))
        )


def test_the_contract_notices_limits_within_an_answer() -> None:
    """Only headers tell of limits: after the first text it is too late for a batch of them alone."""
    with pytest.raises(AssertionError, match="has to be text"):
        check_cuts(
            msgspec.structs.replace(gemini.WIRE, decoder=_Talkative), STREAM, Heard(TEXT, Finish(FinishReason.STOP))
        )


def _in_the_path(request: Request, model: str, credential: Credential | None) -> Call:
    call = gemini.WIRE.encode(request, model, credential)
    return Call(f"{call.path}&key={credential.key}" if credential else call.path, call.headers, call.body)


def test_the_contract_notices_a_key_outside_its_header() -> None:
    """A key in the address ends up in logs, so the contract refuses it."""
    with pytest.raises(AssertionError, match="the key stands in the path"):
        check_encode(msgspec.structs.replace(gemini.WIRE, encode=_in_the_path))


def _frank(status: int, _headers: Mapping[str, str], body: bytes) -> Failure:
    return Failure(FailureClass.TRANSIENT, body.decode("utf-8", "replace")[:400] or "nothing", status)


def test_the_contract_notices_a_key_in_a_message() -> None:
    """A failure that repeats what the provider said of a key breaks the contract."""
    wire = Wire("frank", gemini.WIRE.encode, gemini.WIRE.decoder, _frank)

    with pytest.raises(AssertionError, match="shows the key"):
        check_classify(wire)
