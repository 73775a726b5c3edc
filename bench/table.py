"""Shows the rows to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from results import Row, ratio

if TYPE_CHECKING:
    from collections.abc import Iterable

FINE = 100
"""Figures below this are shown with decimals."""


def show(rows: Iterable[Row], console: Console) -> None:
    """Print one table."""
    table = Table(
        title="Synapse and its floor, a bare proxy; one core for the server", caption=CAPTION, caption_justify="left"
    )
    table.add_column("measure")
    for column in ("unit", "synapse", "floor", "ratio", "synapse CPU µs", "floor CPU µs", "ratio", "errors"):
        table.add_column(column, justify="left" if column == "unit" else "right")
    table.add_column("notes")
    for row in rows:
        table.add_row(row.name, row.unit, *_pair(row.figures), *_pair(row.cpu), str(row.errors or ""), row.note)
    console.print(table)


CAPTION = (
    "Medians of all rounds. CPU µs: the server's processor time for each request or event; it does not depend on how "
    "fast the load is. Streams: the upstream writes each event by itself; what then waits in a socket is read together."
)


def _pair(figures: dict[str, float]) -> tuple[str, str, str]:
    share = ratio(figures)
    return _text(figures.get("synapse")), _text(figures.get("floor")), "" if share is None else f"{share:.2f}"


def _text(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.0f}" if abs(figure) >= FINE else f"{figure:.2f}"
