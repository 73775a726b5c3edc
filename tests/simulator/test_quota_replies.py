"""How each dialect says that a quota is used up, and what of it is told before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

if TYPE_CHECKING:
    from conftest import Answer, Simulate
    from synapse.testing import FakeClock


class Violation(msgspec.Struct):
    """A violation in a 429 of Gemini's."""

    quotaMetric: str  # noqa: N815  Google's name
    quotaId: str  # noqa: N815  Google's name
    quotaDimensions: dict[str, str]  # noqa: N815  Google's name
    quotaValue: str = ""  # noqa: N815  Google's name


class Detail(msgspec.Struct, kw_only=True):
    """A detail of an error of Gemini's."""

    kind: str = msgspec.field(name="@type")
    violations: list[Violation] = []
    retryDelay: str = ""  # noqa: N815  Google's name


class GeminiError(msgspec.Struct):
    """An error of Gemini's."""

    code: int
    message: str
    status: str
    details: list[Detail]

    def detail(self, name: str) -> Detail:
        """Return the one detail of a type."""
        (found,) = [detail for detail in self.details if detail.kind == f"type.googleapis.com/google.rpc.{name}"]
        return found


def gemini_error(answer: Answer) -> GeminiError:
    """Return the error of a 429, which must not say when to come back in its headers."""
    assert answer.status == 429
    assert "retry-after" not in answer.headers
    return msgspec.json.decode(answer.body, type=dict[str, GeminiError])["error"]


async def test_gemini_names_the_quota_and_when_it_opens(simulate: Simulate, clock: FakeClock) -> None:
    """The seconds of RetryInfo are cut off, those of the message are not."""
    caller = await simulate(limits={"rpm": 1})
    await caller.gemini(model="gemini-x")
    clock.advance(11.25)

    error = gemini_error(await caller.gemini(model="gemini-x"))

    assert error.status == "RESOURCE_EXHAUSTED"
    (violation,) = error.detail("QuotaFailure").violations
    assert violation.quotaId == "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    assert (violation.quotaValue, violation.quotaDimensions["model"]) == ("1", "gemini-x")
    assert error.detail("RetryInfo").retryDelay == "48s"
    assert "limit: 1, model: gemini-x" in error.message
    assert error.message.endswith("Please retry in 48.750000000s.")


async def test_gemini_tells_less_than_a_second_in_milliseconds(simulate: Simulate, clock: FakeClock) -> None:
    """The message changes its unit, and RetryInfo says nothing is left to wait."""
    caller = await simulate(limits={"rpm": 1})
    await caller.gemini()
    clock.advance(59.5)

    error = gemini_error(await caller.gemini())

    assert error.detail("RetryInfo").retryDelay == "0s"
    assert error.message.endswith("Please retry in 500.000000ms.")


async def test_gemini_lists_several_violations_at_once(simulate: Simulate) -> None:
    """Requests and tokens of the minute and of the day, each with its id and value."""
    caller = await simulate(limits={"rpm": 1, "tpm": 3, "rpd": 1, "tpd": 3})
    await caller.gemini("one two three")

    error = gemini_error(await caller.gemini("one"))

    assert [(violation.quotaId, violation.quotaValue) for violation in error.detail("QuotaFailure").violations] == [
        ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "1"),
        ("GenerateContentInputTokensPerModelPerMinute-FreeTier", "3"),
        ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "1"),
        ("GenerateContentInputTokensPerModelPerDay-FreeTier", "3"),
    ]
    assert error.message.count("* Quota exceeded for metric: generativelanguage.googleapis.com/") == 4


@pytest.mark.parametrize("limit", ["rpd", "tpd"])
async def test_gemini_misleads_about_a_day_that_is_used_up(simulate: Simulate, clock: FakeClock, limit: str) -> None:
    """The delay it tells is that of a minute; coming back then gets the same answer."""
    caller = await simulate(limits={limit: 1})
    await caller.gemini()
    clock.advance(20)

    first = gemini_error(await caller.gemini())
    clock.advance(41)
    second = gemini_error(await caller.gemini())

    assert first.detail("RetryInfo").retryDelay == "40s"
    assert "PerDay" in second.detail("QuotaFailure").violations[0].quotaId
    clock.advance(24 * 3600)
    assert (await caller.gemini()).status == 200


async def test_gemini_has_models_that_a_tier_does_not_include(simulate: Simulate) -> None:
    """Their limit is 0, and the first request is refused."""
    caller = await simulate(limits={"rpm": 0})

    error = gemini_error(await caller.gemini())

    assert error.detail("QuotaFailure").violations[0].quotaValue == "0"
    assert "limit: 0" in error.message


async def test_gemini_answers_in_the_form_of_the_stream(simulate: Simulate) -> None:
    """A stream that is an array has its error in an array; one of server-sent events has plain JSON."""
    caller = await simulate(limits={"rpm": 0})

    array = await caller.gemini(form="array")
    sse = await caller.gemini(form="sse")

    assert (array.status, sse.status) == (429, 429)
    assert isinstance(array.json, list)
    assert isinstance(sse.json, dict)


async def test_openai_tells_what_is_left_on_every_answer(simulate: Simulate, clock: FakeClock) -> None:
    """Plain and streamed, with Go's durations."""
    caller = await simulate(limits={"rpm": 5, "tpm": 100})
    clock.advance(12.5)

    plain = await caller.openai("one two")
    streamed = await caller.openai("one two", stream=True)

    assert plain.headers["x-ratelimit-limit-requests"] == "5"
    assert plain.headers["x-ratelimit-remaining-requests"] == "4"
    assert plain.headers["x-ratelimit-reset-requests"] == "47.5s"
    assert streamed.headers["x-ratelimit-limit-tokens"] == "100"
    assert streamed.headers["x-ratelimit-remaining-tokens"] == "96"


async def test_openai_tells_nothing_of_limits_that_there_are_not(simulate: Simulate) -> None:
    """Without quotas there are no such headers."""
    answer = await (await simulate()).openai()

    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


@pytest.mark.parametrize(
    ("limits", "kind", "words"),
    [
        ({"rpm": 0}, "requests", "(RPM): Limit 0, Used 0."),
        ({"tpm": 0}, "tokens", "(TPM): Limit 0, Used 0."),
        ({"rpd": 0}, "requests", "(RPD): Limit 0, Used 0."),
        ({"tpd": 0}, "tokens", "(TPD): Limit 0, Used 0."),
    ],
)
async def test_openai_names_the_limit_in_its_429(
    simulate: Simulate, limits: dict[str, int], kind: str, words: str
) -> None:
    """The type tells requests from tokens, the message minutes from days."""
    answer = await (await simulate(limits=limits)).openai()

    error = msgspec.json.decode(answer.body, type=dict[str, dict[str, object]])["error"]
    assert answer.status == 429
    assert (error["type"], error["code"]) == (kind, "rate_limit_exceeded")
    assert words in str(error["message"])
    assert answer.headers[f"x-ratelimit-remaining-{kind}"] == "0"


async def test_openai_says_when_to_come_back(simulate: Simulate, clock: FakeClock) -> None:
    """In whole seconds that are enough, and in milliseconds."""
    caller = await simulate(limits={"rpm": 1}, window="trailing")
    await caller.openai()
    clock.advance(30.5)

    answer = await caller.openai()

    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("30", "29500")
    clock.advance(float(answer.headers["retry-after"]))
    assert (await caller.openai()).status == 200


async def test_openrouter_tells_its_limit_only_when_it_is_used_up(simulate: Simulate, clock: FakeClock) -> None:
    """In headers and in the body alike; the reset is an instant in milliseconds."""
    caller = await simulate(limits={"rpm": 1})
    first = await caller.openrouter()
    clock.advance(10)

    second = await caller.openrouter()

    assert "x-ratelimit-limit" not in first.headers
    assert second.status == 429
    reset = str(round((clock.now() + 50) * 1000))
    told = {"X-RateLimit-Limit": "1", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    assert {name: second.headers[name] for name in told} == told
    error = msgspec.json.decode(second.body, type=dict[str, dict[str, object]])["error"]
    assert (error["code"], error["metadata"]) == (429, {"headers": told})


async def test_keys_of_one_project_share_its_quota(simulate: Simulate) -> None:
    """A key that was given no project is one of its own."""
    caller = await simulate(limits={"rpm": 2}, projects={"key-a": "p", "key-b": "p"})

    statuses = [(await caller.gemini(key=key)).status for key in ("key-a", "key-b", "key-a", "key-c")]

    assert statuses == [200, 200, 429, 200]


async def test_a_refused_request_uses_no_quota(simulate: Simulate) -> None:
    """What could not be read does not count."""
    caller = await simulate(limits={"rpm": 1})

    assert (await caller.gemini(unknown=1)).status == 400
    assert (await caller.gemini()).status == 200


async def test_a_fault_uses_quota(simulate: Simulate) -> None:
    """A request is counted when it arrives, whatever comes of it."""
    caller = await simulate(limits={"rpm": 1}, faults=[{"rate": 1, "kind": "503"}])

    assert [(await caller.gemini()).status for _ in range(2)] == [503, 429]


async def test_gemini_may_leave_the_value_out(simulate: Simulate) -> None:
    """In the violation and in the message; the rest of it stands."""
    caller = await simulate(
        limits={"rpm": 7}, rules=[{"project": "*", "model": "m", "limits": {"rpm": 0}}], bodies="no-value"
    )

    error = gemini_error(await caller.gemini())

    (violation,) = error.detail("QuotaFailure").violations
    assert (violation.quotaId[:25], violation.quotaValue) == ("GenerateRequestsPerMinute", "")
    assert error.detail("RetryInfo").retryDelay
    assert "limit" not in error.message


async def test_openai_may_leave_the_value_out(simulate: Simulate) -> None:
    """In the message and in the headers, which answers that are no error then have not either."""
    caller = await simulate(limits={"rpm": 1}, bodies="no-value")

    first, second = [await caller.openai() for _ in range(2)]

    assert (first.status, second.status) == (200, 429)
    assert b"Limit" not in second.body
    assert "retry-after" in second.headers
    assert not [name for answer in (first, second) for name in answer.headers if "ratelimit" in name.lower()]


async def test_openrouter_may_leave_the_value_out(simulate: Simulate) -> None:
    """Of its three headers two remain, in the body too."""
    answer = await (await simulate(limits={"rpm": 0}, bodies="no-value")).openrouter()

    metadata = msgspec.json.decode(answer.body)["error"]["metadata"]
    assert answer.status == 429
    assert set(metadata["headers"]) == {"X-RateLimit-Remaining", "X-RateLimit-Reset"}
    assert "x-ratelimit-limit" not in answer.headers


@pytest.mark.parametrize("dialect", ["gemini", "openai", "openrouter"])
async def test_a_bare_429_tells_nothing_of_its_quota(simulate: Simulate, dialect: str) -> None:
    """It is the same as one that happens on purpose."""
    bare = await (await simulate(limits={"rpm": 0}, bodies="bare")).call(dialect)
    fault = await (await simulate(faults=[{"rate": 1, "kind": "429"}])).call(dialect)

    assert (bare.status, bare.body) == (429, fault.body)
    assert {*bare.headers} == {*fault.headers}
    assert "retry-after" not in bare.headers
