"""How probable Gemini found its words, as OpenAI writes it."""

from __future__ import annotations

import msgspec

from synapse.domain.events import Logprobs
from synapse.providers.wires.faults import UNREADABLE


class _Token(msgspec.Struct, gc=False, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Others(msgspec.Struct, gc=False):
    candidates: list[_Token] = []


class _Result(msgspec.Struct, gc=False, rename="camel"):
    """Step by step, what was chosen and what was most probable."""

    chosen_candidates: list[_Token] = []
    top_candidates: list[_Others] = []


class _Probable(msgspec.Struct, gc=False):
    token: str
    logprob: float
    bytes: list[int]


class _Chosen(_Probable, gc=False):
    top_logprobs: list[_Probable]


_decode = msgspec.json.Decoder(_Result).decode
_encode = msgspec.json.Encoder().encode


def logprobs(raw: msgspec.Raw) -> Logprobs | None:
    """Read a candidate's `logprobsResult`; None where nothing was chosen, or it cannot be read."""
    try:
        result = _decode(raw)
    except UNREADABLE:
        return None
    others = [each.candidates for each in result.top_candidates]
    others += [[]] * (len(result.chosen_candidates) - len(others))
    chosen = [
        _Chosen(token.token, token.log_probability, _bytes(token), [_probable(other) for other in beside])
        for token, beside in zip(result.chosen_candidates, others, strict=False)
    ]
    return Logprobs(msgspec.Raw(_encode(chosen))) if chosen else None


def _probable(token: _Token) -> _Probable:
    return _Probable(token.token, token.log_probability, _bytes(token))


def _bytes(token: _Token) -> list[int]:
    return list(token.token.encode())
