"""What each caller has used."""

from __future__ import annotations

from synapse.brokers.base import TaskEnd
from synapse.domain.caller import Caller
from synapse.domain.errors import ProviderFailed, SynapseError
from synapse.domain.request import prompt_request
from synapse.domain.task import Task, TaskState
from synapse.totals import CallerTotal, Totals


def _end(
    name: str, *, tokens: int | None = None, cost: float | None = None, error: SynapseError | None = None
) -> TaskEnd:
    task = Task("t", prompt_request("m", "p"), "p", "m", 0.0, 1.0, 1.0, caller=Caller(name))
    state = TaskState.SUCCEEDED if error is None else TaskState.FAILED
    return TaskEnd(task, state, 1, 0.0, None, 1.0, tokens, tokens, error, cost)


def test_callers_are_added_up_apart_and_told_by_name() -> None:
    """Failed tasks count too; what is not known adds nothing."""
    totals = Totals()

    totals.add(_end("b", tokens=5, cost=0.5))
    totals.add(_end("a", error=ProviderFailed("no")))
    totals.add(_end("b", tokens=7, cost=None))

    assert totals.all() == [
        CallerTotal("a", tasks=1),
        CallerTotal("b", tasks=2, succeeded=2, input_tokens=12, output_tokens=12, cost=0.5),
    ]
