"""How keys stand, as a table of texts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from synapse.cli.standings import NOTHING, Standing, after, read_standings, short, tabulate
from synapse.domain.errors import SynapseError
from synapse.domain.quota import Measure

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def read(**fields: object) -> Standing:
    """Return the one standing of an answer."""
    (standing,) = read_standings(json.dumps({"keys": [{"provider": "gemini", **fields}]}).encode())
    return standing


def line(**fields: object) -> dict[str, str]:
    """Return a line of the table by its heads."""
    heads, (cells,) = tabulate([read(**fields)], NOW)
    return dict(zip(heads, cells, strict=True))


def use(measure: str, used: int, limit: int | None = None, reopens_in: float | None = None) -> dict[str, object]:
    """Return the use of a limit as a server tells it."""
    at = None if reopens_in is None else (NOW + timedelta(seconds=reopens_in)).isoformat().replace("+00:00", "Z")
    return {"measure": measure, "used": used, "limit": limit, "reopens_at": at}


def test_a_line_has_all_that_is_known() -> None:
    """Uses and limits by measure."""
    quotas = [use("rpm", 3, 10), use("tpm", 12_400, 250_000), use("rpd", 250, 250, 20_100.0), use("concurrency", 2)]

    assert line(credential="…cdef", project="p1", model="flash", quotas=quotas) == {
        "provider": "gemini",
        "credential": "…cdef",
        "project": "p1",
        "model": "flash",
        "rpm": "3/10",
        "tpm": "12,400/250k",
        "rpd": "250/250",
        "tpd": NOTHING,
        "concurrency": f"2/{NOTHING}",
        "reopens": "in 5 h 35 min",
        "benched": NOTHING,
    }


def test_what_is_not_known_is_a_dash() -> None:
    """A provider without keys, of which nothing was asked yet."""
    assert {text for head, text in line(credential=None).items() if head != "provider"} == {NOTHING}


def test_there_is_a_column_for_every_measure_there_is() -> None:
    """And for those that only the server knows, behind ours."""
    heads, _ = tabulate([read(quotas=[use("ipm", 1, 2)]), read(quotas=[use("rpm", 1)])], NOW)

    assert heads[4:-2] == [*Measure, "ipm"]


def test_the_last_of_used_up_quotas_to_reopen_counts() -> None:
    """None of the others helps before that."""
    quotas = [use("rpd", 9, 9, 7200.0), use("rpm", 9, 9, 12.0)]

    assert line(quotas=quotas)["reopens"] == "in 2 h"
    assert line(quotas=[*quotas, use("tpd", 0, 0) | {"reopens_at": "never"}])["reopens"] == "never"


def test_there_can_be_columns_for_limits_alone() -> None:
    """Where there is no room for more."""
    standings = [read(quotas=[use("rpm", 1), use("tpd", 5)]), read(quotas=[use("rpm", 1, 2), use("rpd", 0, 0)])]

    heads, lines = tabulate(standings, NOW, limited=True)

    assert heads[4:-2] == ["rpm", "rpd"]
    assert [cells[4:-2] for cells in lines] == [[f"1/{NOTHING}", NOTHING], ["1/2", "0/0"]]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5.0, "now"),
        (0.0, "now"),
        (0.2, "in 1 s"),
        (12.0, "in 12 s"),
        (59.1, "in 1 min"),
        (61.0, "in 1 min 1 s"),
        (3_600.0, "in 1 h"),
        (3_659.0, "in 1 h"),
        (18_180.0, "in 5 h 3 min"),
        (86_399.0, "in 23 h 59 min"),
        (90_000.0, "in 1 d 1 h"),
    ],
)
def test_a_time_to_come_is_told_in_two_units_at_most(seconds: float, said: str) -> None:
    """The way people say it."""
    assert after(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (1_500, "1,500"),
        (99_999, "99,999"),
        (100_000, "100k"),
        (249_999, "249.9k"),
        (1_250_000, "1,250k"),
        (100_000_000, "100M"),
        (12_345_678_901_234, "12,345.6G"),
    ],
)
def test_a_large_number_is_told_in_a_few_characters(number: int, said: str) -> None:
    """Never more than it is: what is nearly used up does not look used up."""
    assert short(number) == said


@pytest.mark.parametrize(
    ("until", "model", "said"),
    [
        ("never", None, ("all", "for good: API key not valid")),
        ("2026-11-24T08:00:00Z", None, ("all", "until 2026-11-24 08:00 UTC: API key not valid")),
        ("2026-11-24T00:00:00.5-08:00", "flash", ("flash", "until 2026-11-24 08:00 UTC: API key not valid")),
    ],
)
def test_a_bench_has_its_end_and_its_reason(until: str, model: str | None, said: tuple[str, str]) -> None:
    """That of a credential, without a model, is for all of them."""
    cells = line(model=model, benched_until=until, reason="API key not valid")

    assert (cells["model"], cells["benched"]) == said
    assert line(benched_until="never")["benched"] == "for good"


def test_a_reason_cannot_move_the_cursor() -> None:
    """A provider wrote it; it stays on its line and in its colour."""
    cells = line(benched_until="never", reason="bad\x1b[31m\r\nkey\t!\x00")

    assert cells["benched"] == "for good: bad [31m key !"


def test_lines_are_sorted_by_provider_project_and_model() -> None:
    """However the server has them."""
    keys = [
        {"provider": provider, "project": project, "model": model}
        for provider in ("openrouter", "gemini")
        for project in ("b", None, "a")
        for model in ("pro", "flash", None)
    ]

    lines = tabulate(read_standings(json.dumps({"keys": keys}).encode()), NOW)[1]

    assert [(cells[0], *cells[2:4]) for cells in lines] == [
        (provider, project, model)
        for provider in ("gemini", "openrouter")
        for project in (NOTHING, "a", "b")
        for model in (NOTHING, "flash", "pro")
    ]


@pytest.mark.parametrize(
    ("fields", "style"),
    [
        ({}, ""),
        ({"quotas": [use("rpm", 9, 10), use("tpm", 5)]}, ""),
        ({"quotas": [use("rpm", 9, 10), use("rpd", 5, 5)]}, "yellow"),
        ({"quotas": [use("rpd", 5, 5)], "benched_until": "never"}, "red"),
    ],
)
def test_what_cannot_be_used_stands_out(fields: dict[str, object], style: str) -> None:
    """What comes back by itself less than what is benched."""
    assert read(**fields).style == style


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"\xff",
        b"[]",
        b'{"models": []}',
        b'{"keys": [{"provider": 1}]}',
        b'{"keys": [{"provider": "a", "benched_until": "soon"}]}',
        b'{"keys": [{"provider": "a", "quotas": [{"measure": "rpm", "used": 1, "reopens_at": "2026-11-23T12:00"}]}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_such_answer_is_told(body: bytes) -> None:
    """Instead of a table of something else."""
    with pytest.raises(SynapseError, match="what answered is no Synapse, or one of another version: "):
        read_standings(body)
