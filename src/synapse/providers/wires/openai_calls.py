"""Tool calls as servers that speak like OpenAI send them: whole or in fragments, numbered well or badly."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, UnsetType

from synapse.domain.events import CallDelta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class _Google(msgspec.Struct, gc=False):
    thought_signature: str | None = None


class Extra(msgspec.Struct, gc=False):
    """What Google adds."""

    google: _Google | None = None

    @property
    def signature(self) -> str | None:
        """The proof of the thoughts behind a call."""
        return self.google.thought_signature if self.google is not None else None


class Function(msgspec.Struct, gc=False):
    """What is called, and with what."""

    name: str | None = None
    arguments: Raw | UnsetType = UNSET
    """A JSON text in a string; some send the object itself."""


class CallPiece(msgspec.Struct, gc=False):
    """A call, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Extra | None = None


class MixedCallsError(Exception):
    """A fragment belongs to a call that another has followed already."""


_decode_text = msgspec.json.Decoder(str).decode
_NOTHING = Function()


def new_id() -> str:
    """Make an id for a call whose server gave it none."""
    return f"call_{token_hex(12)}"


class Calls:
    """Reads the tool calls of one answer, and tells them one after the other."""

    __slots__ = ("_argued", "_ids", "_named", "_nameless", "_new_id", "_places")

    def __init__(self, new_id: Callable[[], str]) -> None:
        """Begin with none; `new_id` names those that come without an id."""
        self._new_id = new_id
        self._ids: list[str] = []
        """As the server said them, in the order the calls began; empty where it said none."""
        self._places: dict[int, int] = {}
        """Which call the server's number means."""
        self._argued = True
        """Whether the last call has arguments yet."""
        self._named = True
        """Whether the last call has a name yet."""
        self._nameless = False
        """Whether one before it has none."""

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._ids)

    @property
    def nameless(self) -> bool:
        """Tell whether one of them has no name: nobody could answer it."""
        return self._nameless or not self._named

    def read(self, pieces: Sequence[CallPiece], signature: str | None, *, whole: bool) -> Iterator[CallDelta]:
        """Yield what the next pieces say; `whole` where each is a call of its own.

        A `signature` is that of the first call among them. Raises MixedCallsError.
        """
        for piece in pieces:
            function = piece.function or _NOTHING
            arguments = _text(function.arguments)
            signed = piece.extra_content.signature if piece.extra_content is not None else None
            place = None if whole else self._place(piece, function.name)
            if place is None:
                yield from self._begin(piece, function.name, arguments, signed or signature)
                signature = None
            elif place == len(self._ids) - 1:
                yield from self._go_on(function.name, arguments, signed)
            elif arguments:
                raise MixedCallsError

    def end(self) -> Iterator[CallDelta]:
        """Yield what the last call lacks: one without arguments has an empty object of them, which nobody sent."""
        if not self._argued:
            self._argued = True
            yield CallDelta(len(self._ids) - 1, arguments="{}")

    def _place(self, piece: CallPiece, name: str | None) -> int | None:
        """Return which call a piece goes on with; None where it begins one.

        A number that comes again with another id and a name means another call; another id alone does not, for some
        servers make up a new one for each fragment.
        """
        place = self._known(piece)
        if name:
            return None if place is None or (piece.id and piece.id != self._ids[place]) else place
        if place is None and piece.index is None and self._ids:
            return len(self._ids) - 1
        return place

    def _known(self, piece: CallPiece) -> int | None:
        if piece.index is not None:
            return self._places.get(piece.index)
        return self._ids.index(piece.id) if piece.id and piece.id in self._ids else None

    def _begin(self, piece: CallPiece, name: str | None, arguments: str, signature: str | None) -> Iterator[CallDelta]:
        yield from self.end()
        self._nameless = self.nameless
        place = len(self._ids)
        self._ids.append(piece.id or "")
        if piece.index is not None:
            self._places[piece.index] = place
        self._argued, self._named = bool(arguments), bool(name)
        yield CallDelta(place, piece.id or self._new_id(), name or None, arguments, signature)

    def _go_on(self, name: str | None, arguments: str, signature: str | None) -> Iterator[CallDelta]:
        late = name if name and not self._named else None
        if late or arguments or signature:
            self._argued, self._named = self._argued or bool(arguments), self._named or bool(late)
            yield CallDelta(len(self._ids) - 1, None, late, arguments, signature)


def _text(arguments: Raw | UnsetType) -> str:
    if arguments is UNSET:
        return ""
    data = bytes(arguments)
    if data.startswith(b'"'):
        return _decode_text(data)
    return "" if data in {b"null", b""} else data.decode()
