"""Chooses the recording that answers a request, and gives it the form that was asked for."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import msgspec

from synapse.simulator.dialects import gemini, openrouter
from synapse.simulator.dialects.base import Ask, Dialect, Form, Generate, Headers, Reply, Request, Stream
from synapse.simulator.replay import chat
from synapse.simulator.replay import gemini as gemini_forms
from synapse.simulator.replay.cuts import cut
from synapse.simulator.replay.likeness import Likeness, likeness
from synapse.simulator.replay.recordings import Recording, load

if TYPE_CHECKING:
    from pathlib import Path

_ERRORS = 400
_TYPES = {
    (True, Form.PLAIN): b"application/json; charset=UTF-8",
    (True, Form.ARRAY): b"application/json; charset=UTF-8",
    (True, Form.SSE): b"text/event-stream",
    (False, Form.PLAIN): b"application/json",
    (False, Form.SSE): b"text/event-stream; charset=utf-8",
    (False, Form.ARRAY): b"application/json",
}
"""The content type of each form, for Gemini and for all others."""


class Library:
    """Recordings, by what they can answer."""

    def __init__(self, recordings: list[Recording], seed: int) -> None:
        """Take recordings in the order of their names, and the seed of where streams are cut."""
        self._recordings = recordings
        self._seed = seed
        self._likeness = {
            recording.name: likeness(recording.dialect, recording.request, _asked_form(recording))
            for recording in recordings
            if recording.dialect is not None
        }

    @classmethod
    def load(cls, directory: Path, seed: int) -> Library:
        """Read a directory. Raises `ValueError` for a file that is no recording, and where there are none."""
        return cls(load(directory), seed)

    def answer(self, dialect: Dialect, target: Generate, ask: Ask, body: bytes) -> Reply | Stream:
        """Answer from the recording that the model names, or else from the one that fits best."""
        recording = self._named(dialect.NAME, ask.model) or self._fitting(dialect.NAME, ask, body)
        if recording is None:
            models = ", ".join(sorted(self._models(dialect.NAME)))
            message = (
                f"There is no recording of {ask.model} here; those for {dialect.NAME} are of: {models or 'nothing'}."
            )
            return dialect.not_found(target, ask.form, message)
        usage = ask.include_usage or dialect.NAME == openrouter.NAME
        return self._serve(recording, ask.form, usage=usage)

    def exact(self, request: Request, body: bytes) -> Reply | Stream | None:
        """Answer a request of any other kind from a recording of the same method and path, if there is one."""
        fitting = [
            recording
            for recording in self._recordings
            if recording.method == request.method and recording.path == request.path
        ]
        if not fitting:
            return None
        wanted = _decoded(body)
        query = request.query.decode("latin-1")
        best = max(fitting, key=lambda recording: (_decoded(recording.request) == wanted, recording.query == query))
        return self._serve(best, best.form, usage=True)

    def models(self, dialect: str) -> bytes | None:
        """Return a recorded list of the models."""
        return next((known.body for known in self._recordings if known.dialect == dialect and known.lists_models), None)

    def _named(self, dialect: str, name: str) -> Recording | None:
        """Find a recording by its name; the folder may be left out where it is one of this dialect."""
        gemini_asked = dialect == gemini.NAME
        for recording in self._recordings:
            if recording.name == name and (recording.dialect == gemini.NAME) is gemini_asked:
                return recording
            if recording.dialect == dialect and recording.name.rpartition("/")[2] == name:
                return recording
        return None

    def _fitting(self, dialect: str, ask: Ask, body: bytes) -> Recording | None:
        asked = likeness(dialect, body, ask.form)
        fitting = [known for known in self._recordings if known.dialect == dialect and known.model == ask.model]
        return max(fitting, key=lambda known: self._alike(known, asked), default=None)

    def _alike(self, recording: Recording, asked: Likeness) -> tuple[bool, ...]:
        return self._likeness[recording.name].compare(asked)

    def _models(self, dialect: str) -> set[str]:
        return {known.model for known in self._recordings if known.dialect == dialect and known.model is not None}

    def _serve(self, recording: Recording, form: Form, *, usage: bool) -> Reply | Stream:
        if recording.status >= _ERRORS:
            body = b"[%b]" % recording.body if form is Form.ARRAY else recording.body
            return Reply(recording.status, body, _typed(recording, recording.form))
        status, body = _converted(recording, form, usage=usage)
        headers = _typed(recording, form)
        if form is Form.PLAIN:
            return Reply(status, body, headers)
        pieces = cut(body, Random(f"{self._seed}/{recording.name}"))  # noqa: S311 - no secret is made of it
        return Stream(headers, iter(pieces), len(pieces))


def _asked_form(recording: Recording) -> Form:
    """Tell in which form a recording's request asked to be answered; an error tells nothing of it."""
    if recording.dialect == gemini.NAME and ":stream" in recording.path and recording.form is Form.PLAIN:
        return Form.SSE
    return recording.form


def _converted(recording: Recording, form: Form, *, usage: bool) -> tuple[int, bytes]:
    if recording.form is form:
        return recording.status, recording.body
    if recording.dialect == gemini.NAME:
        return recording.status, gemini_forms.convert(recording.body, recording.form, form)
    if form is Form.PLAIN:
        return chat.to_plain(recording.body)
    return recording.status, chat.to_stream(recording.body, usage=usage)


def _typed(recording: Recording, form: Form) -> Headers:
    """Return the recorded headers, with the content type of another form, or where none was recorded."""
    names = [name for name, _ in recording.headers]
    if form is recording.form and b"content-type" in names:
        return [*recording.headers]
    kind = _TYPES[recording.dialect == gemini.NAME, form]
    return [*((name, value) for name, value in recording.headers if name != b"content-type"), (b"content-type", kind)]


def _decoded(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except ValueError:
        return body
