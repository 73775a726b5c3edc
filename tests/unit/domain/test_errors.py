"""The table of errors."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from synapse.domain import errors
from synapse.domain.errors import ERRORS, Row, SynapseError


def tree(root: type[SynapseError]) -> Iterator[type[SynapseError]]:
    """Go through all classes below a class."""
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


KINDS = [kind for kind in tree(SynapseError) if kind.__module__ == errors.__name__]


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    """The table and the tree are of one size, and codes tell all errors apart."""
    codes = [kind.code for kind in KINDS]

    assert len(set(codes)) == len(codes)
    assert set(codes) == set(ERRORS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_an_error_says_of_itself_what_the_table_has(kind: type[SynapseError]) -> None:
    """Its own code, a status that is an error on each port, and all that it was made with."""
    error = kind("what was wrong", field="config.top_k", retry_after=2.5)

    assert "code" in vars(kind)
    assert error.row == ERRORS[kind.code]
    assert 400 <= error.row.http < 600
    assert grpc.StatusCode[error.row.grpc] is not grpc.StatusCode.OK
    assert (str(error), error.message, error.field, error.retry_after) == (
        "what was wrong",
        "what was wrong",
        "config.top_k",
        2.5,
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_the_tree_in_the_modules_docstring_has_every_error(kind: type[SynapseError]) -> None:
    """Whoever reads the module sees them all."""
    assert f"  {kind.__name__} " in f"{errors.__doc__}".replace("\n", " \n")


@pytest.mark.parametrize(
    ("code", "row"),
    [
        ("invalid_request", Row(400, "INVALID_ARGUMENT")),
        ("unauthenticated", Row(401, "UNAUTHENTICATED")),
        ("permission_denied", Row(403, "PERMISSION_DENIED")),
        ("model_not_found", Row(404, "NOT_FOUND")),
        ("payload_too_large", Row(413, "RESOURCE_EXHAUSTED")),
        ("queue_full", Row(429, "RESOURCE_EXHAUSTED")),
        ("wait_too_long", Row(429, "RESOURCE_EXHAUSTED")),
        ("cancelled", Row(499, "CANCELLED")),
        ("provider_failed", Row(502, "UNAVAILABLE")),
        ("no_credentials", Row(503, "FAILED_PRECONDITION")),
        ("timed_out", Row(504, "DEADLINE_EXCEEDED")),
        ("expired", Row(504, "DEADLINE_EXCEEDED")),
    ],
)
def test_published_statuses_do_not_change(code: str, row: Row) -> None:
    """Callers rely on these."""
    assert ERRORS[code] == row
