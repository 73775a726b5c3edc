"""What a dialect is to the rest of the simulator."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote_plus

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from synapse.simulator.calls import ToolCall
    from synapse.simulator.faults import FaultKind
    from synapse.simulator.quota import Standing, Violation
    from synapse.simulator.text import Answer

Headers = list[tuple[bytes, bytes]]


class Form(Enum):
    """How an answer is framed."""

    PLAIN = "plain"
    SSE = "sse"
    ARRAY = "array"
    """A JSON array that grows by one element at a time."""


class Request(msgspec.Struct):
    """An HTTP request without its body."""

    method: str
    path: str
    query: bytes
    headers: Iterable[tuple[bytes, bytes]]
    """Names are lower case."""

    def header(self, name: bytes) -> str | None:
        """Return a header's value."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def parameter(self, name: str) -> str | None:
        """Return a parameter of the query."""
        for pair in self.query.decode("latin-1").split("&"):
            key, _, value = pair.partition("=")
            if key == name:
                return unquote_plus(value)
        return None


class Generate(msgspec.Struct, frozen=True):
    """A request for text, or for vectors of texts."""

    model: str = ""
    """Where the path names it."""
    form: Form = Form.PLAIN
    """Where the path chooses it."""
    version: str = ""
    """The version of the API, where error texts tell it."""
    vectors: bool = False
    """Whether it is vectors that are wanted, of texts."""


class Models(msgspec.Struct, frozen=True):
    """A request for the models there are, or for one of them."""

    name: str | None = None
    version: str = ""


class Count(msgspec.Struct, frozen=True):
    """A request to count the tokens of a request for text."""

    model: str = ""


Target = Generate | Models | Count


class Ask(msgspec.Struct, frozen=True):
    """What a request for text or for vectors asks, whatever the dialect."""

    model: str
    form: Form
    prompt: str
    """The text of the last message of the user."""
    input_tokens: int
    """Words of all texts."""
    max_tokens: int | None = None
    """The most output tokens, thoughts included."""
    stop: tuple[str, ...] = ()
    count: int = 1
    """How many answers."""
    thoughts: bool = False
    """Whether thoughts are to be shown."""
    include_usage: bool = False
    """Whether a stream is to tell its usage, in dialects where that is a choice."""
    version: str = ""
    text: str | None = None
    """What the answer is, where the request decides it: by a schema, or by the results of tools."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that the answer is to call."""
    inputs: tuple[str, ...] = ()
    """The texts of which vectors are wanted, of a request for these."""
    dimensions: int = 0
    """How long those are to be."""


class Reply(msgspec.Struct):
    """An answer in one piece."""

    status: int
    body: bytes
    headers: Headers
    """Without `content-length`."""


class Stream(msgspec.Struct):
    """An answer piece by piece. All of a piece is sent at once, and nothing else with it."""

    headers: Headers
    tokens: Iterator[bytes]
    """What comes at the pace of tokens."""
    count: int
    """How many of `tokens` there are."""
    opening: bytes = b""
    """What is sent before there is a first token; where empty, headers wait for the first token too."""
    lead: Sequence[bytes] = ()
    """What is sent just before the first token."""
    tail: Sequence[bytes] = ()
    """What is sent right after the last token."""
    heartbeat: bytes = b""
    """What is sent from time to time while there is no token."""


class Refusal(Exception):
    """The request is answered with an error; the reply is what the provider would say."""

    def __init__(self, reply: Reply) -> None:
        """Take the reply."""
        super().__init__(reply.status)
        self.reply = reply


class Dialect(Protocol):
    """One provider's way of speaking. A module is one: these are its constants and functions."""

    NAME: str
    """What recordings and people call it."""
    ZONE: str
    """The time zone whose midnight begins a day of quota."""
    MODELS_NEED_KEY: bool
    """Whether a request for the models is refused without a valid key."""

    def route(self, request: Request, /) -> Target | None:
        """Say what is asked for, or None where it is nothing of this dialect."""

    def key(self, request: Request, /) -> str | None:
        """Return the key that the request comes with."""

    def refuse(self, target: Target, key: str | None, /) -> Reply:
        """Give the error of a request without a key, or with one that nobody has."""

    def span(self, model: str, /) -> str:
        """Return what the limits of a model are for: the model, or a name for all that share them."""

    def read(self, request: Request, target: Generate, body: bytes, /) -> Ask:
        """Say what is asked. Raises `Refusal` for what the provider would not take."""

    def reply(self, ask: Ask, answer: Answer, /) -> Reply:
        """Give the answer in one piece."""

    def stream(self, ask: Ask, answer: Answer, /) -> Stream:
        """Give the answer piece by piece."""

    def embed(self, ask: Ask, /) -> Reply:
        """Give the vectors of texts; asked only where a route of this dialect is for them."""

    def broken(self, form: Form, /) -> bytes:
        """Return a piece of a stream with a mistake in it."""

    def fault(self, ask: Ask, kind: FaultKind, /) -> Reply:
        """Give an error status that has nothing to do with the request."""

    def over_quota(self, ask: Ask, violations: Sequence[Violation], standing: Standing, now: float, /) -> Reply:
        """Give the 429 of a quota that is used up."""

    def allowance(self, standing: Standing, now: float, /) -> Headers:
        """Return the headers that tell what is left, for answers that are no error."""

    def not_found(self, target: Target, form: Form, message: str, /) -> Reply:
        """Give the 404 of a model that is not there."""

    def models(self, request: Request, target: Models, recorded: bytes | None, /) -> Reply:
        """Tell what models there are; from a recorded answer, where there is one."""
