"""Parameters of this port that mean something, and that Synapse has no words for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from synapse.domain.errors import UnsupportedParameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.server.http.anthropic.body import CountBody

PARAMETERS: Final[Mapping[str, str]] = {
    "container": "run code by a tool of your own",
    "mcp_servers": "offer what they do as tools of your own",
    "context_management": "shorten the messages before you send them",
    "inference_geo": "choose a model whose provider is where you want it",
}
"""What does work instead of each; the end of a sentence."""
_NOTHING = (b"null", b"[]", b"{}", b'""', b'"global"')


def leave_out(body: CountBody, *, drop: bool) -> tuple[str, ...]:
    """Return the names of what is left out. Raises `UnsupportedParameter` where the caller has not agreed to that."""
    left_out = []
    for name, hint in PARAMETERS.items():
        value = getattr(body, name)
        if value is UNSET or bytes(value) in _NOTHING:
            continue
        if not drop:
            raise UnsupportedParameter(f"{name}: Synapse does not pass it on; {hint}", field=name)
        left_out.append(name)
    return tuple(left_out)
