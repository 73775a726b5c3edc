"""What only Gemini knows, and callers ask for by its names there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from synapse.providers.wires.faults import UNREADABLE
from synapse.providers.wires.gemini_body import encode_body

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Fields = dict[str, msgspec.Raw]

GOOGLE: Final = "google"
"""Under it an object of such fields may stand, as in the extras of Google's own port for OpenAI's clients."""
COUNT: Final = "candidateCount"
"""Never sent: one task is one answer."""
_GENERATION: Final = "generationConfig"
_PLAIN: Final = frozenset({
    "cachedContent", "cached_content", "generationConfig", "generation_config", "labels", "safetySettings",
    "safety_settings", "serviceTier", "toolConfig", "tool_config",
})  # fmt: skip
"""What may also stand among the extras themselves; all else there is for other wires. Names that mean something else
to them (`store`, `service_tier`, `tools`) are taken under `google` only."""
_OF_GENERATION: Final = frozenset({
    "audioTimestamp", COUNT, "enableEnhancedCivicAnswers", "imageConfig", "mediaResolution", "responseModalities",
    "responseSchema", "routingConfig", "speechConfig", "thinkingConfig",
})  # fmt: skip
"""Fields of the generation config that may stand beside it."""
_MERGED: Final = frozenset({_GENERATION, "toolConfig", "thinkingConfig", "functionCallingConfig"})
"""Objects of which one field may be the caller's and another ours."""
_TOOLS: Final = "tools"
_HUMP = re.compile(r"_([a-z])")

_decode = msgspec.json.Decoder(Fields).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Asked(msgspec.Struct, frozen=True):
    """What is asked of Gemini by its own names."""

    fields: Fields
    """By their names at the top of a request."""
    counts: bool = False
    """Whether a number of answers was among them."""


def for_google(extras: Mapping[str, msgspec.Raw] | None, plain: Collection[str]) -> Fields | None:
    """Return the extras of some names and those under `google`, spelled in one way; None where that is no object."""
    if not extras:
        return {}
    fields = {name: value for name, value in extras.items() if name in plain}
    try:
        if GOOGLE in extras and bytes(extras[GOOGLE]) != b"null":
            fields |= _decode(extras[GOOGLE])
    except UNREADABLE:
        return None
    return _camel(fields)


def asked(extras: Mapping[str, msgspec.Raw] | None) -> Asked | None:
    """Return what is asked for; None where objects were expected and something else stands."""
    fields = for_google(extras, _PLAIN)
    try:
        return None if fields is None else _placed(fields)
    except UNREADABLE:
        return None


def merged(body: bytes, extras: Mapping[str, msgspec.Raw] | None) -> bytes:
    """Put what is asked for into a request. It is stronger than what stands there; tools come beside the others."""
    found = asked(extras)
    return encode_body(_merge(_decode(body), found.fields)) if found is not None and found.fields else body


def _placed(fields: Fields) -> Asked:
    config = {name: value for name, value in fields.items() if name in _OF_GENERATION}
    placed = {name: value for name, value in fields.items() if name not in _OF_GENERATION}
    if _GENERATION in placed:
        config |= _camel(_decode(placed.pop(_GENERATION)))
    counts = config.pop(COUNT, None) is not None
    if config:
        placed[_GENERATION] = msgspec.Raw(encode_body(config))
    return Asked(placed, counts)


def _merge(ours: Fields, theirs: Fields) -> Fields:
    return ours | {name: _join(name, ours[name], value) if name in ours else value for name, value in theirs.items()}


def _join(name: str, ours: msgspec.Raw, theirs: msgspec.Raw) -> msgspec.Raw:
    try:
        if name == _TOOLS:
            return msgspec.Raw(encode_body(_decode_list(ours) + _decode_list(theirs)))
        if name in _MERGED:
            return msgspec.Raw(encode_body(_merge(_decode(ours), _camel(_decode(theirs)))))
    except UNREADABLE:
        pass  # of another type than ours: Gemini says best what is wrong with it
    return theirs


def _camel(fields: Fields) -> Fields:
    """Spell names in one of the two ways in which Gemini reads them: it refuses both at once."""
    return {_HUMP.sub(lambda found: found[1].upper(), name): value for name, value in fields.items()}
