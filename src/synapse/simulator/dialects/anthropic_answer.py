"""Answers as Anthropic writes them, whole and as events."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.text import Answer, Call, Finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from synapse.simulator.dialects.base import Ask, Headers

STREAM_HEADERS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_STOPS = {Finish.STOP: b'"end_turn"', Finish.LENGTH: b'"max_tokens"', Finish.TOOL_CALLS: b'"tool_use"'}
_MESSAGE = (
    b'{"model":%b,"id":"msg_01%b","type":"message","role":"assistant","content":[%b],"stop_reason":%b,'
    b'"stop_sequence":%b,"stop_details":null,"usage":{%b,'
    b'"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":%d,%b'
    b'"service_tier":"standard","inference_geo":"not_available"}}'
)
_INPUT = b'"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":0'
_THOUGHTS = b'"output_tokens_details":{"thinking_tokens":%d},'
_BEGIN = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%b}\n\n'
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
_END = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_LAST = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":%b,"stop_sequence":%b,'
    b'"stop_details":null},"usage":{%b,"output_tokens":%d}}\n\n'
)
_TOOL = b'{"type":"tool_use","id":"toolu_01%b","name":%b,"input":%b,"caller":{"type":"direct"}}'


class _Block(msgspec.Struct, frozen=True):
    """A block of an answer: how it begins, and the delta of each of its tokens."""

    whole: bytes
    begin: bytes
    deltas: list[bytes]


def events(answer: Answer) -> Iterator[bytes]:
    """Yield the events piece by piece: with the first of a block comes its beginning, with the last its end."""
    ping = PING
    for index, block in enumerate(_blocks(answer)):
        before, last = _BEGIN % (index, block.begin) + ping, len(block.deltas) - 1
        for number, delta in enumerate(block.deltas):
            yield b"%b%b%b" % (before, _DELTA % (index, delta), _END % index if number == last else b"")
            before = b""
        ping = b""


def count(answer: Answer) -> int:
    """Tell how many pieces `events` has: one for each token, for the signature of thoughts, and to begin a call."""
    return answer.output_tokens + bool(answer.thoughts) + len(answer.candidates[0].calls)


def start(ask: Ask, answer: Answer) -> bytes:
    """Return the event that opens the stream."""
    message = _message(ask, answer, b"", stop=b"null", output=1, stopped=b"null", thoughts=b"")
    return b'event: message_start\ndata: {"type":"message_start","message":%b}\n\n' % message


def end(ask: Ask, answer: Answer) -> list[bytes]:
    """Return the events that tell how the answer ended; their usage stands for the whole answer."""
    stop, stopped = _reason(answer)
    return [_LAST % (stop, stopped, _INPUT % ask.input_tokens, answer.output_tokens), STOP]


def plain(ask: Ask, answer: Answer) -> bytes:
    """Give the whole answer."""
    stop, stopped = _reason(answer)
    content = b",".join([block.whole for block in _blocks(answer)])
    thoughts = _THOUGHTS % len(answer.thoughts) if answer.thoughts else b""
    return _message(ask, answer, content, stop=stop, output=answer.output_tokens, stopped=stopped, thoughts=thoughts)


def _message(
    ask: Ask, answer: Answer, content: bytes, *, stop: bytes, output: int, stopped: bytes, thoughts: bytes
) -> bytes:
    name = answer.id[:22].encode()
    usage = _INPUT % ask.input_tokens
    return _MESSAGE % (msgspec.json.encode(ask.model), name, content, stop, stopped, usage, output, thoughts)


def _reason(answer: Answer) -> tuple[bytes, bytes]:
    """Return why the answer ended, and which string stopped it."""
    candidate = answer.candidates[0]
    if candidate.stopped_by is not None:
        return b'"stop_sequence"', msgspec.json.encode(candidate.stopped_by)
    return _STOPS[candidate.finish], b"null"


def _blocks(answer: Answer) -> Iterable[_Block]:
    if answer.thoughts:
        yield _thinking(answer)
    candidate = answer.candidates[0]
    if candidate.pieces:
        deltas = [b'{"type":"text_delta","text":"%b"}' % piece for piece in candidate.pieces]
        whole = b'{"type":"text","text":"%b"}' % b"".join(candidate.pieces)
        yield _Block(whole, b'{"type":"text","text":""}', deltas)
    for call in candidate.calls:
        yield _tool(call)


def _thinking(answer: Answer) -> _Block:
    """Give the thoughts; their signature comes last, and is no token."""
    signature = b64encode(bytes.fromhex(answer.id)).rstrip(b"=")
    deltas = [b'{"type":"thinking_delta","thinking":"%b"}' % thought for thought in answer.thoughts]
    whole = b'{"type":"thinking","thinking":"%b","signature":"%b"}' % (b"".join(answer.thoughts), signature)
    signed = b'{"type":"signature_delta","signature":"%b"}' % signature
    return _Block(whole, b'{"type":"thinking","thinking":"","signature":""}', [*deltas, signed])


def _tool(call: Call) -> _Block:
    name, number = msgspec.json.encode(call.name), call.id[:22].encode()
    deltas = [b'{"type":"input_json_delta","partial_json":"%b"}' % fragment for fragment in (b"", *call.fragments)]
    return _Block(_TOOL % (number, name, call.arguments.encode()), _TOOL % (number, name, b"{}"), deltas)
