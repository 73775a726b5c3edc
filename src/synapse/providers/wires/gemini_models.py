"""What Google's models differ in, told by their names."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

_NAME = re.compile(r"(?P<family>gemini|gemma)-(?:(?P<major>\d+)(?:[.p](?P<minor>\d+))?)?")
_MOST = 24576
"""Tokens of thinking that all models with a budget take."""


class Budget(msgspec.Struct, frozen=True):
    """Thinking that is measured in tokens."""

    least: int
    most: int
    stoppable: bool
    """Whether a budget of 0 is taken."""


class Levels(msgspec.Struct, frozen=True):
    """Thinking that is measured in words."""

    known: tuple[str, ...]
    """Those that the model knows, from little to much; another one is an error."""


class Traits(msgspec.Struct, frozen=True):
    """What has to be known of a model before it is written to. Of an unknown one the newest is believed."""

    thinking: Budget | Levels | None
    """How its thinking is steered; None where it does not think, and would refuse to hear of it."""
    signs: bool = True
    """Whether it signs its thoughts, and takes the signatures back."""
    demands_signatures: bool = True
    """Whether it refuses a call of its own that comes back without one."""
    hears_pictures_of_tools: bool = True
    """Whether what a tool gave back may hold pictures."""
    fetches: bool = True
    """Whether it fetches pictures from public addresses."""
    calls_and_writes_json: bool = True
    """Whether it may be given tools and be held to JSON at once."""
    tells_logprobs: bool = False


_LEVELS: Final = Levels(("LOW", "MEDIUM", "HIGH"))
"""What every Gemini from 3.1 on knows."""
_ALL_LEVELS: Final = Levels(("MINIMAL", *_LEVELS.known))
_ENDS: Final = Levels(("MINIMAL", "HIGH"))


@lru_cache(maxsize=256)
def traits(model: str) -> Traits:
    """Say what is known of the model of that name, with or without the prefix `models/`."""
    name = model.rpartition("/")[2].lower()
    found = _NAME.match(name)
    if found is None:
        return Traits(_LEVELS)
    version = (int(found["major"] or 99), int(found["minor"] or 0))
    if found["family"] == "gemma":
        return _gemma(version)
    if version < (3, 0):
        return _older(name, version)
    return Traits(_levels(name, version))


def _gemma(version: tuple[int, int]) -> Traits:
    return Traits(
        _ENDS if version >= (4, 0) else None,
        signs=False,
        demands_signatures=False,
        hears_pictures_of_tools=False,
        fetches=False,
        calls_and_writes_json=version >= (4, 0),
    )


def _older(name: str, version: tuple[int, int]) -> Traits:
    return Traits(
        _budget(name) if version >= (2, 5) else None,
        demands_signatures=False,
        hears_pictures_of_tools=False,
        fetches=version >= (2, 5),
        calls_and_writes_json=False,
        tells_logprobs=version == (2, 0),
    )


def _budget(name: str) -> Budget | None:
    if "-image" in name or "-tts" in name:
        return None
    if "-pro" in name:
        return Budget(128, 32768, stoppable=False)
    return Budget(512 if "-lite" in name else 1, _MOST, stoppable=True)


def _levels(name: str, version: tuple[int, int]) -> Levels:
    if "-image" in name:
        return _ENDS
    if "-pro" in name:
        return Levels(("LOW", "HIGH")) if version == (3, 0) else _LEVELS
    return _ALL_LEVELS if version <= (3, 6) and "-flash" in name else _LEVELS
