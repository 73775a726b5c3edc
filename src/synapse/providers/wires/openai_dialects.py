"""In what servers that speak like OpenAI differ from OpenAI, as far as a request has to know."""

from __future__ import annotations

from enum import Enum, auto

import msgspec


class Thoughts(Enum):
    """How a server wants to be given back what its model thought."""

    NONE = auto()
    """Not at all. Groq, Mistral and Cerebras refuse messages with a field that they do not know."""
    DETAILS = auto()
    """As `reasoning_details`, unchanged."""
    WITH_CALLS = auto()
    """As `reasoning_content` of each message that calls tools, even where it is empty: it is refused without."""


class Dialect(msgspec.Struct, frozen=True):
    """What a server makes of the common dialect."""

    name: str
    thoughts: Thoughts = Thoughts.NONE
    reasoning_object: bool = False
    """Whether `reasoning` says how much to think, in the place of `reasoning_effort`; it may hold a budget."""
    thinking_switch: bool = False
    """Whether `thinking` is what turns thinking off."""
    caches_parts: bool = False
    """Whether a part may say that all up to it is to be kept in a cache."""
    only_strings: bool = False
    """Whether a content of several texts is refused, unless it is one string."""
    usage_unasked: bool = False
    """Whether streams tell their usage by themselves, and `stream_options` is refused."""
    seed: str = "seed"
    short_ids: bool = False
    """Whether the id of a tool call has to be nine letters and digits."""
    takes_user: bool = True
    unknown: tuple[str, ...] = ()
    """The names of what it refuses, whatever the model."""


OPENAI = Dialect("openai")
OPENROUTER = Dialect("openrouter", thoughts=Thoughts.DETAILS, reasoning_object=True, caches_parts=True)
MISTRAL = Dialect(
    "mistral",
    usage_unasked=True,
    seed="random_seed",
    short_ids=True,
    takes_user=False,
    unknown=("top_k", "logprobs"),
)
DEEPSEEK = Dialect("deepseek", thoughts=Thoughts.WITH_CALLS, thinking_switch=True, only_strings=True)
DIALECTS = (OPENAI, OPENROUTER, MISTRAL, DEEPSEEK)
