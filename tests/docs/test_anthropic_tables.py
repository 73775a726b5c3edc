"""Tables of the page on Anthropic's API say what the code says, all of it and nothing else."""

from __future__ import annotations

from pages import names, table

from synapse.domain.errors import ERRORS
from synapse.server.http.anthropic.body import MessagesBody
from synapse.server.http.anthropic.errors import ROWS
from synapse.server.http.anthropic.unsaid import PARAMETERS

PAGE = "docs/anthropic.md"


def test_each_field_of_a_message_has_a_line() -> None:
    """Among those that are honoured, or among those that cannot be."""
    honoured = names(table(PAGE, "Fields that are honoured"))
    refused = [name for row in table(PAGE, "What cannot be honoured") for name in names([row])]

    assert refused == list(PARAMETERS)
    assert sorted(honoured + refused) == sorted(MessagesBody.__struct_fields__)


def test_each_error_has_a_line() -> None:
    """With what it is called here."""
    assert table(PAGE, "Errors", "error") == [
        [
            f"`{code}`",
            str(ERRORS[code].http),
            f"`{row.type}`",
            "" if row.retry is None else f"`{str(row.retry).lower()}`",
        ]
        for code, row in ROWS.items()
    ]
