"""How a task of this port is to be queued."""

from __future__ import annotations

import pytest

from synapse.domain.caller import ANONYMOUS, Band
from synapse.domain.errors import InvalidRequest
from synapse.server.http.openai.terms import Wishes, read_terms

NOTHING: dict[str, object] = {"headers": []}


@pytest.mark.parametrize(
    ("tier", "band"),
    [
        (None, None),
        ("auto", None),
        ("default", None),
        ("scale", None),
        ("flex", Band.BATCH),
        ("priority", Band.INTERACTIVE),
        ("fast", Band.INTERACTIVE),
    ],
)
def test_a_tier_of_service_is_a_band(tier: str | None, band: Band | None) -> None:
    """None is the caller's own."""
    assert read_terms(ANONYMOUS, Wishes(service_tier=tier), NOTHING).priority is band


def test_a_priority_is_stronger_than_a_tier() -> None:
    """It is Synapse's own word."""
    assert read_terms(ANONYMOUS, Wishes(service_tier="flex", priority="standard"), NOTHING).priority is Band.STANDARD


def test_a_tier_that_there_is_not_is_refused() -> None:
    """With those there are."""
    with pytest.raises(InvalidRequest) as caught:
        read_terms(ANONYMOUS, Wishes(service_tier="gold"), NOTHING)

    assert caught.value.message == (
        "service_tier: expected one of auto, default, flex, priority, scale, fast; got 'gold'"
    )
    assert caught.value.field == "service_tier"


def test_the_other_words_stay_what_they_are() -> None:
    """With a tier and without one."""
    wishes = Wishes(service_tier="flex", max_wait=3.0, timeout=5.0, fallbacks=["b"], drop_unsupported=True)

    terms = read_terms(ANONYMOUS, wishes, {"headers": [(b"x-synapse-timeout", b"7")]})

    assert (terms.max_wait, terms.timeout, terms.fallbacks, terms.drop) == (3.0, 7.0, ["b"], True)
