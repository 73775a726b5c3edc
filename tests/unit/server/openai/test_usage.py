"""What an answer took, as OpenAI's clients read it."""

from __future__ import annotations

import msgspec
import pytest

from synapse.domain.usage import Usage
from synapse.server.http.openai.usage import completion_usage, sum_up


def test_output_includes_reasoning() -> None:
    """As in OpenAI's counts; the part is told beside it."""
    usage = completion_usage(Usage(10, 7, thinking_tokens=4, cached_tokens=3, total_tokens=17, cache_write_tokens=2))

    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (10, 7, 17)
    assert usage.completion_tokens_details.reasoning_tokens == 4
    assert usage.prompt_tokens_details.cached_tokens == 3
    assert usage.prompt_tokens_details.cache_write_tokens == 2


@pytest.mark.parametrize(("total", "expected"), [(0, 17), (109, 109)])
def test_a_providers_total_counts_where_there_is_one(total: int, expected: int) -> None:
    """It may be more than the sum: tools use tokens of their own."""
    assert completion_usage(Usage(10, 7, total_tokens=total)).total_tokens == expected


@pytest.mark.parametrize(("cost", "end"), [(None, b"}}"), (0.0, b'},"cost":0.0}'), (0.25, b'},"cost":0.25}')])
def test_the_cost_is_told_where_it_is_known(cost: float | None, end: bytes) -> None:
    """Nothing is no price."""
    assert msgspec.json.encode(completion_usage(Usage(cost=cost))).endswith(end)


def test_several_are_added_up() -> None:
    """Totals too, given or not; the cost only where all are known."""
    one, other = Usage(1, 2, 1, 1, 3, 1, 0.5), Usage(10, 20, 10, 10, 0, 10, 0.25)

    assert sum_up([one]) is one
    assert sum_up([one, other]) == Usage(11, 22, 11, 11, 33, 11, 0.75)
    assert sum_up([one, Usage(1)]).cost is None
