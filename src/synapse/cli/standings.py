"""How a server's keys stand, as people read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from synapse.domain.errors import SynapseError
from synapse.domain.quota import Measure

NOTHING = "\N{EN DASH}"
"""What a table says of what is not known."""
NEVER = "never"
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
"""With its zone, so that it can be compared."""
_SIZES = (("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000))
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


class Use(msgspec.Struct):
    """How much of one limit is used."""

    measure: str
    used: int
    limit: int | None = None
    reopens_at: str | None = None
    """An instant, or `never`; None while something is left."""


class Standing(msgspec.Struct):
    """How one credential stands for one model; the fields are those of `GET /admin/keys`."""

    provider: str
    credential: str | None = None
    project: str | None = None
    model: str | None = None
    quotas: list[Use] = []
    running: int = 0
    benched_until: str | None = None
    """An instant, or `never`."""
    reason: str | None = None

    @property
    def style(self) -> str:
        """Its colour where there are colours."""
        if self.benched_until is not None:
            return "red"
        return "yellow" if any(use.limit is not None and use.used >= use.limit for use in self.quotas) else ""


class _Answer(msgspec.Struct):
    keys: list[Standing]


def read_standings(body: bytes) -> list[Standing]:
    """Return what `GET /admin/keys` answered, by provider, project and model. Raises SynapseError for anything else."""
    try:
        standings = msgspec.json.decode(body, type=_Answer).keys
        for each in standings:
            for text in (each.benched_until, *(use.reopens_at for use in each.quotas)):
                _instant(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SynapseError(f"what answered is no Synapse, or one of another version: {error}") from error
    return sorted(standings, key=lambda each: (each.provider, each.project or "", each.model or ""))


def tabulate(
    standings: Sequence[Standing], now: datetime, *, limited: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return the heads of a table and its lines, one for each standing.

    There is a column for every measure, or only for `limited` ones: those of which a limit is known.
    """
    uses = [use for standing in standings for use in standing.quotas]
    measures = list(dict.fromkeys([*Measure, *(use.measure for use in uses)]))  # a newer server may know more
    if limited:
        known = {use.measure for use in uses if use.limit is not None}
        measures = [measure for measure in measures if measure in known]
    heads = ["provider", "credential", "project", "model", *measures, "reopens", "benched"]
    return heads, [_cells(standing, measures, now) for standing in standings]


def _cells(standing: Standing, measures: Iterable[str], now: datetime) -> list[str]:
    uses = {use.measure: use for use in standing.quotas}
    # Without a model it is that of no model yet, unless the credential is benched for whichever there will be.
    everything = "all" if standing.benched_until is not None else None
    texts = (
        *(standing.provider, standing.credential, standing.project, standing.model or everything),
        *(_used(uses.get(measure)) for measure in measures),
        *(_reopens(standing.quotas, now), _bench(standing)),
    )
    return [_one_line(text) if text else NOTHING for text in texts]


def _used(use: Use | None) -> str | None:
    if use is None:
        return None
    return f"{short(use.used)}/{NOTHING if use.limit is None else short(use.limit)}"


def short(number: int) -> str:
    """Write a number in a few characters; a large one is rounded down, so that nothing looks used up before it is."""
    for unit, size in _SIZES:
        if number >= 100 * size:
            return f"{number * 10 // size / 10:,g}{unit}"
    return f"{number:,}"


def _reopens(uses: Iterable[Use], now: datetime) -> str | None:
    """Tell when the last of the closed quotas has something left again: before that, none of them helps."""
    told = [use.reopens_at for use in uses if use.reopens_at is not None]
    instants = [instant for instant in map(_instant, told) if instant is not None]
    if len(instants) < len(told):
        return NEVER
    return after((max(instants) - now).total_seconds()) if instants else None


def after(seconds: float) -> str:
    """Say how long that is, in its two largest units, never too short by a second."""
    left = math.ceil(seconds)
    if left <= 0:
        return "now"
    parts: list[tuple[int, str]] = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        parts += [(count, unit)] if count or parts else []
    return "in " + " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def _bench(standing: Standing) -> str | None:
    """Tell until when it is benched, and why."""
    if standing.benched_until is None:
        return None
    instant = _instant(standing.benched_until)
    until = "for good" if instant is None else f"until {instant:%Y-%m-%d %H:%M} UTC"
    return f"{until}: {standing.reason}" if standing.reason else until


def _instant(text: str | None) -> datetime | None:
    if text is None or text == NEVER:
        return None
    return msgspec.convert(text, Instant).astimezone(UTC)


def _one_line(text: str) -> str:
    """Return a text without what would move the cursor or colour the terminal: a provider wrote some of it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
