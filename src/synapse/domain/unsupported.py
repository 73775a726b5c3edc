"""Parts of a request that a model's provider cannot honour, and a request without them.

Each has a name of its own here; ports translate it into the field that their callers know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.request import Request

if TYPE_CHECKING:
    from collections.abc import Collection

SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
)
"""The names that are fields of `Sampling`; `max_output_tokens` every provider knows."""
DROPPABLE = (*SAMPLING, "tool_choice", "parallel_tool_calls", "response_format", "reasoning")
"""The names of what may be left out where the caller agrees. Without anything else it would be another request:
`tools`, `images`, `image_urls`, `audio`, `documents`."""


class Unsupported(msgspec.Struct, frozen=True):
    """One part of a request that would change the answer, and that cannot be honoured."""

    parameter: str
    """One of the names here."""
    hint: str
    """What does work instead; the end of a sentence."""


def without(request: Request, parameters: Collection[str]) -> Request:
    """Return the request without some of its droppable parts."""
    changes: dict[str, object] = {name: None for name in ("response_format", "reasoning") if name in parameters}
    sampling = {name: () if name == "stop" else None for name in SAMPLING if name in parameters}
    if sampling:
        changes["sampling"] = msgspec.structs.replace(request.sampling, **sampling)
    if "tool_choice" in parameters:
        changes["tool_choice"] = None
    elif "parallel_tool_calls" in parameters and request.tool_choice is not None:
        changes["tool_choice"] = msgspec.structs.replace(request.tool_choice, parallel=None)
    return msgspec.structs.replace(request, **changes)
