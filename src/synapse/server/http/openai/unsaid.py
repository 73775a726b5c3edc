"""Parameters of this port that mean something, and that Synapse has no words for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw

from synapse.domain.errors import UnsupportedParameter
from synapse.server.http.openai.raw import is_given

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.server.http.openai.chat_request import ChatBody


def _null(value: object) -> bool:
    return isinstance(value, Raw) and not is_given(value)


class Unsaid(msgspec.Struct, frozen=True):
    """One such parameter."""

    name: str
    hint: str
    """What does work instead; the end of a sentence."""
    droppable: bool = True
    """Whether a caller may agree to go without."""
    harmless: Callable[[object], bool] = _null
    """Whether a value changes nothing."""


def _only_text(value: object) -> bool:
    return value in (["text"], [])


def _empty(value: object) -> bool:
    return not value


PARAMETERS: Final = (
    Unsaid("logit_bias", "say in the messages which words you want or not", harmless=_empty),
    Unsaid("modalities", "answers are text; send modalities: ['text'] or none", harmless=_only_text),
    Unsaid("audio", "answers are text; make speech of them elsewhere"),
    Unsaid("prediction", "leave it out: the answer is the same, only later"),
    Unsaid("functions", "send them as tools", droppable=False, harmless=_empty),
    Unsaid("function_call", "send tool_choice", droppable=False),
    Unsaid("web_search_options", "search by a tool of your own"),
    Unsaid("moderation", "leave it out, and moderate beside it"),
    Unsaid("verbosity", "say in the messages how long the answer is to be", harmless=lambda value: value == "medium"),
)


def leave_out(body: ChatBody, *, drop: bool) -> tuple[str, ...]:
    """Return the names of what is left out. Raises `UnsupportedParameter` where the caller has not agreed to that."""
    left_out = []
    for each in PARAMETERS:
        value = getattr(body, each.name)
        if value is None or value is UNSET or each.harmless(value):
            continue
        if not (drop and each.droppable):
            message = f"{each.name}: Synapse does not pass it on; {each.hint}"
            raise UnsupportedParameter(message, field=each.name)
        left_out.append(each.name)
    return tuple(left_out)
