"""Turns the samples of all rounds into lines of the table."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from results import Row, Sample

FULL = 0.95
"""A server that took less of its core than this was not the limit."""
MICRO = 1e6
MILLI = 1e3
MEBI = 1 << 20
Figure = Callable[[Sample], float]
Samples = dict[str, list[Sample]]
"""By server name, one for each round."""
Rows = Callable[[str, Samples], list[Row]]
"""Takes the load's title and its samples."""


def request_rows(title: str, samples: Samples) -> list[Row]:
    """Say how many answers there were a second, and what each cost."""
    rates = _medians(samples, lambda sample: sample.requests / sample.seconds)
    note = "; ".join(_limits(samples))
    return [Row(title, "requests/s", rates, _costs(samples, _requests), _errors(samples), note)]


def event_rows(title: str, samples: Samples) -> list[Row]:
    """Say how many events there were a second, what each cost, and how many came in one piece."""
    rates = _medians(samples, lambda sample: sample.events / sample.seconds)
    together = _medians(samples, lambda sample: sample.events / max(sample.reads, 1))
    pieces = "events per read: " + _list(together, ".1f")
    note = "; ".join([pieces, *_limits(samples)])
    return [Row(title, "events/s", rates, _costs(samples, _events), _errors(samples), note)]


def latency_rows(title: str, samples: Samples) -> list[Row]:
    """Say how long an answer took from the instant it was due."""
    return _time_rows(title, samples, _requests)


def paced_rows(title: str, samples: Samples) -> list[Row]:
    """Say how late events were against the upstream's schedule, and what memory the streams took."""
    memory = _medians(samples, lambda sample: sample.rss / MEBI)
    return [*_time_rows(title, samples, _events), Row(f"{title}: RSS", "MiB", memory)]


def _time_rows(title: str, samples: Samples, count: Figure) -> list[Row]:
    middle = _medians(samples, lambda sample: sample.p50 * MILLI)
    slow = _medians(samples, lambda sample: sample.p99 * MILLI)
    cores = "share of core: " + _list(_medians(samples, _share), ".0%")
    notes = [note for note in (_added(middle), cores) if note]
    return [
        Row(f"{title}: p50", "ms", middle, _costs(samples, count), _errors(samples), "; ".join(notes)),
        Row(f"{title}: p99", "ms", slow, note=_added(slow)),
    ]


def _medians(samples: Samples, figure: Figure) -> dict[str, float]:
    return {name: median(figure(sample) for sample in rounds) for name, rounds in samples.items()}


def _costs(samples: Samples, count: Figure) -> dict[str, float]:
    return _medians(samples, lambda sample: sample.cpu_seconds / max(count(sample), 1) * MICRO)


def _errors(samples: Samples) -> int:
    return sum(sample.errors for rounds in samples.values() for sample in rounds)


def _requests(sample: Sample) -> float:
    return sample.requests


def _events(sample: Sample) -> float:
    return sample.events


def _share(sample: Sample) -> float:
    return sample.server_busy


def _list(figures: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {figure:{form}}" for name, figure in figures.items())


def _added(times: dict[str, float]) -> str:
    return f"adds {times['synapse'] - times['floor']:.2f} ms" if times.keys() >= {"synapse", "floor"} else ""


def _limits(samples: Samples) -> list[str]:
    """Say which figures are not the server's own limit, and why."""
    cores = _medians(samples, lambda sample: sample.core_busy)
    return [
        f"{name} had {share:.0%} of its core, {'others used it' if cores[name] >= FULL else 'the load was the limit'}"
        for name, share in _medians(samples, _share).items()
        if share < FULL
    ]
