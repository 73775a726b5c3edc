"""The dialects that the simulator speaks, one module each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.simulator.dialects import anthropic, gemini, openai, openrouter

if TYPE_CHECKING:
    from synapse.simulator.dialects.base import Dialect, Request, Target

DIALECTS: tuple[Dialect, ...] = (anthropic, gemini, openrouter, openai)
"""In the order they are asked: OpenAI's routes are everywhere, so it is asked last."""


def find(request: Request) -> tuple[Dialect, Target] | None:
    """Return what a request asks for and in which dialect, or None for a route of none."""
    for dialect in DIALECTS:
        target = dialect.route(request)
        if target is not None:
            return dialect, target
    return None
