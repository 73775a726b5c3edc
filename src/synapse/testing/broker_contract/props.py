"""What scenarios are played with: tasks, keys, pieces of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from synapse.domain.caller import ANONYMOUS, Band, Caller
from synapse.domain.credential import Credential
from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.quota import Quota
from synapse.domain.request import prompt_request
from synapse.domain.task import Route, Task
from synapse.domain.usage import Usage
from synapse.scheduling.ledger import Ledger, Terms

PROVIDER = "p"
MODEL = "m"
FINISH = Finish(FinishReason.STOP, Usage(3, 5, total_tokens=8))
PLENTY = Quota(rpm=10_000)
"""A limit that no scenario reaches; known, so that nobody starts slowly to find it."""


def make_task(
    task_id: str,
    model: str = MODEL,
    *,
    max_wait: float = 600.0,
    timeout: float = 3600.0,
    stream: bool = False,
    created_at: float = 0.0,
    caller: Caller = ANONYMOUS,
    band: Band = Band.INTERACTIVE,
    fallbacks: tuple[Route, ...] = (),
    fallback_after: float = 30.0,
    words: int | None = None,
    provider: str = PROVIDER,
) -> Task:
    """Make a task; its lane and the provider's model have one name.

    Its prompt has so many short words, each estimated as one input token.
    """
    prompt = f"prompt of {task_id}" if words is None else " ".join("a" * words)
    return Task(
        task_id,
        prompt_request(model, prompt, stream=stream),
        provider,
        model,
        created_at,
        max_wait,
        timeout,
        caller=caller,
        band=band,
        fallbacks=fallbacks,
        fallback_after=fallback_after,
    )


def keys(
    *projects: str,
    quota: Quota = PLENTY,
    provider: str = PROVIDER,
    shared_models: str = "",
    quotas: Mapping[str, Quota] | None = None,
) -> Ledger:
    """Make the ledger of a provider, with a key for each naming of a project; without any it wants no key.

    `quotas` are those of some models, `quota` is that of all others. The days end with UTC's.
    """
    terms = Terms(
        provider,
        ZoneInfo("UTC"),
        variables=(f"{provider.upper()}_API_KEYS",) if projects else (),
        quotas=quotas if quotas is not None else {},
        quota=quota,
        shared_models=shared_models,
    )
    return Ledger(terms, [Credential(name, _key(name, projects[:place])) for place, name in enumerate(projects)])


def _key(project: str, before: Sequence[str]) -> str:
    number = before.count(project) + 1
    return f"key-of-{project}" if number == 1 else f"key-{number}-of-{project}"


def deltas(*texts: str) -> list[Delta]:
    """Make a delta of each text."""
    return [Delta(text) for text in texts]
