"""Where a recorded stream is cut into pieces, now that nobody knows where it was."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

_PIECE = 48
"""How many bytes a piece has on average."""
_AWKWARD = 3
"""How many cuts there are at least of each awkward sort, in a stream that has room for them."""
_UTF8_TAIL = 0b10


def cut(body: bytes, random: Random) -> list[bytes]:
    """Cut a body at random places, some of them inside characters and some inside line ends."""
    inside = range(1, len(body))
    places = set(random.sample(inside, k=len(body) // _PIECE))
    characters = [place for place in inside if body[place] >> 6 == _UTF8_TAIL]
    line_ends = [place for place in inside if body[place - 1 : place + 1] == b"\r\n"]
    for awkward in (characters, line_ends):
        places.update(random.sample(awkward, k=min(_AWKWARD, len(awkward))))
    edges = [0, *sorted(places), len(body)]
    return [body[start:end] for start, end in pairwise(edges) if start < end]
