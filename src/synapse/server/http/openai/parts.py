"""Pieces of a message that plain answers and streams have in common, as clients read them."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from synapse.domain.request import Thinking


class GoogleSignature(msgspec.Struct, gc=False):
    """What Google's models want back with a call."""

    thought_signature: str


class Extra(msgspec.Struct, gc=False):
    """Additions to a call, by who made them."""

    google: GoogleSignature


class Called(msgspec.Struct, gc=False):
    """A function and its arguments, or in a stream the next piece of them."""

    arguments: str
    name: str | UnsetType = UNSET


class Call(msgspec.Struct, gc=False):
    """A tool call, or in a stream the next piece of one.

    The official client joins what it finds in several pieces: id, type and name are in the first one only.
    """

    function: Called
    index: int | UnsetType = UNSET
    """In streams."""
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    extra_content: Extra | UnsetType = UNSET


class Detail(msgspec.Struct, gc=False):
    """A block of thoughts that must be given back as it is, in OpenRouter's form."""

    type: str
    index: int
    text: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    data: str | UnsetType = UNSET


def detail(thinking: Thinking, index: int) -> Detail:
    """Write a block of thoughts."""
    if thinking.redacted is not None:
        return Detail("reasoning.encrypted", index, data=thinking.redacted)
    signature = UNSET if thinking.signature is None else thinking.signature
    return Detail("reasoning.text", index, thinking.text, signature)


def extra(signature: str | None) -> Extra | UnsetType:
    """Write the proof that goes with a call, where there is one."""
    return UNSET if signature is None else Extra(GoogleSignature(signature))


def completion_id(task_id: str) -> str:
    """Return an answer's id: that of its first task, as clients know the form."""
    return f"chatcmpl-{task_id.removeprefix('task_')}"


def call_id(task_id: str, position: int) -> str:
    """Make an id for a call of a provider that gives none; it is the same each time, and no other call has it."""
    return f"call_{task_id.removeprefix('task_')}_{position}"
