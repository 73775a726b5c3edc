"""Tables of the page on OpenAI's API say what the code says, all of it and nothing else."""

from __future__ import annotations

from pages import names, table

from synapse.domain.errors import ERRORS
from synapse.server.http.openai.chat_request import ChatBody
from synapse.server.http.openai.embeddings import EmbeddingsBody
from synapse.server.http.openai.errors import ROWS
from synapse.server.http.openai.responses_request import ResponsesBody
from synapse.server.http.openai.unsaid import PARAMETERS

PAGE = "docs/openai.md"


def test_each_field_of_a_chat_completion_has_a_line() -> None:
    """Among those that are honoured, or among those that cannot be."""
    honoured = names(table(PAGE, "Fields that are honoured"))
    refused = names(table(PAGE, "What cannot be honoured"))

    assert refused == [each.name for each in PARAMETERS]
    assert sorted(honoured + refused) == sorted(ChatBody.__struct_fields__)


def test_each_field_of_a_response_has_a_line() -> None:
    """Or stands in one with its like."""
    told = [name for row in table(PAGE, "Responses") for name in [*names([row]), *names([row[1:]])]]

    assert set(ResponsesBody.__struct_fields__) <= set(told)
    assert set(names(table(PAGE, "Responses"))) <= set(ResponsesBody.__struct_fields__)


def test_each_field_of_embeddings_has_a_line() -> None:
    """Or stands in the last one."""
    rows = table(PAGE, "Embeddings")

    assert sorted([*names(rows), *names([[rows[-1][1]]])]) == sorted(EmbeddingsBody.__struct_fields__)


def test_each_error_has_a_line() -> None:
    """With what it is called here."""
    assert table(PAGE, "Errors", "error") == [
        [
            f"`{code}`",
            str(ERRORS[code].http),
            f"`{row.type}`",
            "null" if row.code is None else f"`{row.code}`",
            "" if row.retry is None else f"`{str(row.retry).lower()}`",
        ]
        for code, row in ROWS.items()
    ]
