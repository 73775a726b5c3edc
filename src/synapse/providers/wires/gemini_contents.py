"""What was said, turn by turn, as Gemini hears it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from synapse.domain.request import Message, Part, Role, Text, ToolCall, ToolResult
from synapse.providers.wires import gemini_body as body
from synapse.providers.wires.gemini_parts import response, written
from synapse.providers.wires.gemini_signatures import UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse.providers.wires.gemini_models import Traits

_USER: Final = "user"
_MODEL: Final = "model"
_SILENCE: Final = " "
"""Said by the user before a model that begins with a call: its call must follow something, and nothing is refused."""


def conversation(messages: Sequence[Message], model: Traits) -> tuple[list[body.Content], body.Content | None]:
    """Return the turns, and the instruction that stands above them."""
    talk = _Talk(model)
    for message in messages:
        talk.add(message)
    turns, instruction = talk.turns, talk.instruction
    if not turns and instruction:
        return [body.Content(instruction, _USER)], None  # there has to be a turn
    if turns and turns[0].role == _MODEL and _first_call(turns[0]) is not None:
        turns.insert(0, body.Content([body.Part(_SILENCE)], _USER))
    if model.demands_signatures:
        _sign_first_calls(turns)
    return turns, body.Content(instruction) if instruction else None


class _Talk:
    """Puts turns together. Two turns of one side become one, because Gemini wants the sides to take turns.

    All results of the calls of one turn follow it at once, in the order of the calls and with nothing between them;
    what else the user said comes after them, in a turn of its own.
    """

    def __init__(self, model: Traits) -> None:
        self._model = model
        self.turns: list[body.Content] = []
        self.instruction: list[body.Part] = []
        self._names: dict[str, str] = {}
        """The function of each call so far, by the call's id."""
        self._order: dict[str, int] = {}
        """Where each call stands in the model's last turn, by its id."""
        self._after_calls = 0
        """Where the turn after the model's last one stands."""
        self._results: body.Content | None = None
        """That turn, where it holds results."""

    def add(self, message: Message) -> None:
        if message.role is Role.USER:
            self._ask(message.parts)
        elif message.role is Role.ASSISTANT:
            self._answer(message.parts)
        else:
            self._instruct(message.parts)

    def _instruct(self, parts: Sequence[Part]) -> None:
        """An instruction is text; what else stands in it is shown by the user."""
        self.instruction += [body.Part(part.text) for part in parts if isinstance(part, Text) and part.text]
        self._ask([part for part in parts if not isinstance(part, Text)])

    def _ask(self, parts: Sequence[Part]) -> None:
        said: list[body.Part] = []
        for part in parts:
            said += self._give_back(part) if isinstance(part, ToolResult) else written((part,), self._model)
        self._say(_USER, said)

    def _answer(self, parts: Sequence[Part]) -> None:
        """Leave out empty text, which an earlier answer may have been and which Gemini may refuse to hear again."""
        said = written((part for part in parts if not isinstance(part, Text) or part.text), self._model)
        if not said:
            return
        if not self.turns or self.turns[-1].role != _MODEL:
            self._order = {}
            self._results = None
        self._say(_MODEL, _with_lone_signatures(said))
        self._after_calls = len(self.turns)
        for part in parts:
            if isinstance(part, ToolCall) and part.id:
                self._names[part.id] = part.name
                self._order.setdefault(part.id, len(self._order))

    def _say(self, role: str, parts: list[body.Part]) -> None:
        last = self.turns[-1] if self.turns else None
        if last is not None and last.role == role and last is not self._results:
            last.parts += parts
        elif parts:
            self.turns.append(body.Content(parts, role))

    def _give_back(self, result: ToolResult) -> list[body.Part]:
        """Put a result where it belongs, and return what of it cannot stand there."""
        if self._results is None:
            self._results = body.Content([], _USER)
            self.turns.insert(self._after_calls, self._results)
        part, beside = response(result, self._names.get(result.call_id, ""), self._model)
        self._results.parts.append(part)
        self._results.parts.sort(key=self._place)
        return beside

    def _place(self, part: body.Part) -> int:
        given = part.function_response
        last = len(self._order)
        return last if given is None else self._order.get(given.id or "", last)


def _with_lone_signatures(parts: list[body.Part]) -> list[body.Part]:
    """Join a signature that stands alone before an unsigned call to it: some clients have no place for one on calls."""
    joined: list[body.Part] = []
    for part in parts:
        if part.function_call is not None and part.thought_signature is None and joined and _lone(joined[-1]):
            part.thought_signature = joined.pop().thought_signature
        joined.append(part)
    return joined


def _lone(part: body.Part) -> bool:
    return part.text == "" and part.thought_signature is not None


def _first_call(turn: body.Content) -> body.Part | None:
    return next((part for part in turn.parts if part.function_call is not None), None)


def _sign_first_calls(turns: list[body.Content]) -> None:
    """Only the first call of a turn has to be signed."""
    for turn in turns:
        call = _first_call(turn) if turn.role == _MODEL else None
        if call is not None and call.thought_signature is None:
            call.thought_signature = UNSIGNED
