"""What the simulator says: lorem ipsum, an echo, what the request decides, or calls of tools."""

from __future__ import annotations

import random
import re
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from synapse.simulator.calls import ToolCall
    from synapse.simulator.dialects.base import Ask

THOUGHT_TOKENS = 8
"""How long the simulator thinks where thoughts are asked for."""
ECHO = "echo "
_WORDS = """
lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna
aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex ea commodo consequat duis aute
irure in reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur excepteur sint occaecat cupidatat non
proident sunt culpa qui officia deserunt mollit anim id est laborum
""".split()  # noqa: SIM905 - as a list of literals it is five times as long
_RING = 4096
_WORD = re.compile(r"\s*\S+(?:\s+\Z)?|\s+")


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


class Call(msgspec.Struct, frozen=True):
    """A call of a tool, in an answer."""

    id: str
    """24 hexadecimal digits."""
    name: str
    arguments: str
    fragments: list[bytes]
    """The arguments' tokens, each escaped for a JSON string."""


class Candidate(msgspec.Struct, frozen=True):
    """One of the answers to a request."""

    pieces: list[bytes]
    """Its tokens, each escaped for a JSON string; joined they are the text."""
    finish: Finish
    calls: tuple[Call, ...] = ()
    """In place of a text."""
    stopped_by: str | None = None
    """Which of the strings that are to stop it did."""

    @property
    def tokens(self) -> int:
        """How many tokens it is long."""
        return len(self.pieces) + sum([len(call.fragments) for call in self.calls])


class Answer(msgspec.Struct, frozen=True):
    """All that is said to one request."""

    id: str
    """32 hexadecimal digits."""
    created: int
    """Seconds since the epoch."""
    thoughts: list[bytes]
    """Tokens of the thoughts, like those of a candidate."""
    candidates: tuple[Candidate, ...]

    @property
    def length(self) -> int:
        """How many tokens it is long: those of the thoughts and of the longest candidate."""
        return len(self.thoughts) + max(candidate.tokens for candidate in self.candidates)

    @property
    def spoken_tokens(self) -> int:
        """The output tokens of all candidates, thoughts not counted."""
        return sum(candidate.tokens for candidate in self.candidates)

    @property
    def output_tokens(self) -> int:
        """The output tokens of all candidates, and of the thoughts."""
        return len(self.thoughts) + self.spoken_tokens


class Writer:
    """Writes answers. A word with the space before it is a token."""

    def __init__(self, seed: int, tokens: int) -> None:
        """Take the seed of all that is random, and the length of an answer in tokens."""
        self._random = random.Random(seed)  # noqa: S311 - no secret is made of it
        self._tokens = tokens
        words = self._random.choices(_WORDS, k=_RING + max(tokens, THOUGHT_TOKENS))
        self._ring = [b" " + word.encode() for word in words]

    def answer(self, ask: Ask, now: float) -> Answer:
        """Answer a request. Two answers to the same request differ, as those of a model do, unless it is an echo."""
        budget = ask.max_tokens
        thoughts = self._lorem(THOUGHT_TOKENS)[:budget] if ask.thoughts else []
        if budget is not None:
            budget -= len(thoughts)
        candidates = tuple(self._candidate(ask, budget) for _ in range(ask.count))
        return Answer(f"{self._random.getrandbits(128):032x}", int(now), thoughts, candidates)

    def _candidate(self, ask: Ask, budget: int | None) -> Candidate:
        if ask.calls:
            return Candidate([], Finish.TOOL_CALLS, tuple([self._call(call) for call in ask.calls]))
        pieces = self._pieces(ask)
        finish = Finish.STOP
        if budget is not None and len(pieces) > budget:
            pieces, finish = pieces[:budget], Finish.LENGTH
        return _stopped(Candidate(pieces, finish), ask.stop) if ask.stop else Candidate(pieces, finish)

    def _call(self, call: ToolCall) -> Call:
        return Call(f"{self._random.getrandbits(96):024x}", call.name, call.arguments, call.fragments)

    def _pieces(self, ask: Ask) -> list[bytes]:
        if ask.text is not None:
            return _escaped(ask.text)
        return _escaped(ask.prompt[len(ECHO) :]) if ask.prompt.startswith(ECHO) else self._lorem(self._tokens)

    def _lorem(self, tokens: int) -> list[bytes]:
        start = int(self._random.random() * _RING)
        pieces = self._ring[start : start + tokens]
        if pieces:
            pieces[0] = pieces[0][1:]
        return pieces


def split_words(text: str) -> list[str]:
    """Cut a text into its words, each with the space before it; joined they are the text again."""
    return _WORD.findall(text)


def _escaped(text: str) -> list[bytes]:
    return [msgspec.json.encode(word)[1:-1] for word in split_words(text)]


def _stopped(candidate: Candidate, stops: tuple[str, ...]) -> Candidate:
    """End the text before the first of the strings that are to stop it."""
    text = msgspec.json.decode(b'"%b"' % b"".join(candidate.pieces), type=str)
    places = [(place, stop) for stop in stops if (place := text.find(stop)) >= 0]
    if not places:
        return candidate
    place, stop = min(places)
    return Candidate(_escaped(text[:place]), Finish.STOP, stopped_by=stop)
