"""What Anthropic's models differ in, told by their names."""

from __future__ import annotations

import re
from functools import lru_cache

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2})(?!\d))?(?:-[a-z]+)?")
_ADAPTIVE = (4, 6)
"""From this version on models decide themselves how much to think, and are told an effort, not a budget."""
_PICKS_ONE_WAY = (4, 1)
"""From this version on models refuse a temperature and a top_p together."""
_PICKS_ITS_WORDS = (4, 7)
"""From this version on models refuse to be told how to pick their words."""


@lru_cache(maxsize=256)
def version(model: str) -> tuple[int, int]:
    """Return the version in a model's name, (4, 5) of `claude-haiku-4-5-20251001`; (0, 0) where there is none."""
    found = _VERSION.search(model)
    return (int(found["major"]), int(found["minor"] or 0)) if found else (0, 0)


def adaptive(model: str) -> bool:
    """Tell whether the model takes an effort in place of a budget for its thoughts."""
    return version(model) >= _ADAPTIVE


def refuses_sampling(model: str) -> bool:
    """Tell whether the model refuses temperature, top_p and top_k."""
    found = version(model)
    return found >= _PICKS_ITS_WORDS and "haiku-4" not in model


def picks_one_way(model: str) -> bool:
    """Tell whether the model takes a temperature or a top_p, and refuses both."""
    return version(model) >= _PICKS_ONE_WAY
