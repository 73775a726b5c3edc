"""What OpenAI's own models differ in, told by their names."""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

import msgspec

_NAME = re.compile(
    r"(?:openai/)?(?:ft:)?"
    r"(?:gpt-(?:(?P<major>35|\d)(?:\.(?P<minor>\d{1,2}))?(?!\d)|audio|realtime)|(?P<series>o\d)(?!\d)|chatgpt-)"
    r"(?P<rest>.*)",
    re.DOTALL,
)
"""`openai/` is how OpenRouter names them. `gpt-oss` is served by everybody, and none of these."""
_FIRST_TO_THINK = 5


class Thinks(Enum):
    """Whether a model thinks before it answers."""

    ALWAYS = auto()
    IF_ASKED = auto()
    """With an effort of `none` it does not."""
    NEVER = auto()
    UNKNOWN = auto()


class Model(msgspec.Struct, frozen=True):
    """What a name tells."""

    own: bool
    """Whether it is a model that only OpenAI serves, or others in its name."""
    thinks: Thinks = Thinks.UNKNOWN
    series: str = ""
    """`o3` and its like, or `gpt`; empty where the name tells neither."""
    counts_thoughts: bool = False
    """Whether it wants `max_completion_tokens`, which bounds its thoughts too, in the place of `max_tokens`."""


@lru_cache(maxsize=256)
def told_by(name: str) -> Model:
    """Say what a model's name tells of it."""
    found = _NAME.match(name)
    if found is None:
        return Model(own=False)
    if found["series"]:
        return Model(own=True, thinks=Thinks.ALWAYS, series=found["series"], counts_thoughts=True)
    major = 3 if found["major"] == "35" else int(found["major"] or 0)
    if major < _FIRST_TO_THINK:
        return Model(own=True, thinks=Thinks.NEVER, series="gpt")
    return Model(own=True, thinks=_thinks(found["minor"], found["rest"]), series="gpt", counts_thoughts=True)


def _thinks(minor: str | None, rest: str) -> Thinks:
    chats = rest.startswith("-chat")
    if minor is None or minor == "0":
        return Thinks.NEVER if chats else Thinks.ALWAYS
    return Thinks.UNKNOWN if chats else Thinks.IF_ASKED
