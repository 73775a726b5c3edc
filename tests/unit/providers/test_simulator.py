"""The provider that needs no key and no network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.events import Delta, Finish, FinishReason
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Image, Message, Request, Role, Sampling, Text, prompt_request
from synapse.domain.usage import Usage
from synapse.providers.base import Signal
from synapse.providers.simulator import MODELS, SimulatorProvider


class Simulator:
    """A simulator whose waits are counted, not waited."""

    def __init__(self, *, tokens_per_second: float = 0.0, tokens: int = 20) -> None:
        """Make it."""
        self.waits: list[float] = []
        self.provider = SimulatorProvider(tokens_per_second=tokens_per_second, tokens=tokens, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def pieces(self, request: Request, model: str = "sim/echo") -> list[list[Signal]]:
        """Return what comes, in the pieces in which it comes."""
        return [list(piece) async for piece in self.provider.generate(request, model, None)]

    async def answer(self, request: Request, model: str = "sim/echo") -> tuple[str, Finish]:
        """Return the text and the finish of an answer."""
        *deltas, finish = [signal for piece in await self.pieces(request, model) for signal in piece]
        assert isinstance(finish, Finish)
        return "".join(delta.text for delta in deltas if isinstance(delta, Delta)), finish


async def test_the_echo_is_what_was_said() -> None:
    """In one piece at no stated pace, with the words counted as tokens."""
    assert await Simulator().pieces(prompt_request("m", "How now, brown cow?")) == [
        [Delta("How now, brown cow?")],
        [Finish(FinishReason.STOP, Usage(4, 4, total_tokens=8))],
    ]


async def test_a_stream_comes_word_by_word_at_its_pace() -> None:
    """One wait for each token."""
    simulator = Simulator(tokens_per_second=4.0)

    pieces = await simulator.pieces(prompt_request("m", "How now?", stream=True))

    assert pieces[:-1] == [[Delta("How")], [Delta(" now?")]]
    assert simulator.waits == [0.25, 0.25]


async def test_a_whole_answer_takes_as_long_as_a_stream() -> None:
    """It comes when its last word would have come."""
    simulator = Simulator(tokens_per_second=4.0)

    pieces = await simulator.pieces(prompt_request("m", "How now, brown cow?"))

    assert len(pieces) == 2
    assert simulator.waits == [1.0]


async def test_a_stream_without_a_pace_comes_at_once() -> None:
    """There is nothing to wait for between its words."""
    simulator = Simulator()

    assert len(await simulator.pieces(prompt_request("m", "How now?", stream=True))) == 2
    assert sum(simulator.waits) == 0.0


@given(prompt=st.text(), stream=st.booleans())
async def test_an_echo_loses_nothing(prompt: str, stream: bool) -> None:  # noqa: FBT001 - given by name
    """Whatever its spaces and lines, the text comes back as it was."""
    simulator = Simulator(tokens_per_second=1000.0)

    text, finish = await simulator.answer(prompt_request("m", prompt, stream=stream))

    assert text == prompt
    assert finish.reason is FinishReason.STOP


async def test_the_longest_answer_is_what_the_request_allows() -> None:
    """Cut at the token, and said to be cut; an answer of just that length is whole."""
    cut = prompt_request("m", "How now, brown cow?", sampling=Sampling(max_output_tokens=2))
    whole = prompt_request("m", "How now, brown cow?", sampling=Sampling(max_output_tokens=4))

    assert await Simulator().answer(cut) == ("How now,", Finish(FinishReason.LENGTH, Usage(4, 2, total_tokens=6)))
    assert (await Simulator().answer(whole))[1].reason is FinishReason.STOP


async def test_lorem_has_the_length_it_was_told() -> None:
    """Its words go round; the same each time."""
    simulator = Simulator(tokens=100)
    request = prompt_request("m", "Say something.")

    text, finish = await simulator.answer(request, "sim/lorem")

    assert text.startswith("Lorem ipsum dolor sit amet, ")
    assert len(text.split()) == finish.usage.output_tokens == 100
    assert "laborum. Lorem ipsum" in text
    assert (await simulator.answer(request, "sim/lorem"))[0] == text


async def test_only_the_last_user_message_is_echoed() -> None:
    """With all its texts and without its images."""
    messages = (
        Message(Role.SYSTEM, (Text("Be brief."),)),
        Message(Role.USER, (Text("first"),)),
        Message(Role.ASSISTANT, (Text("answer"),)),
        Message(Role.USER, (Image("image/png", b"..."), Text("one"), Text("two"))),
    )

    assert (await Simulator().answer(Request("m", messages)))[0] == "one\ntwo"


async def test_nothing_said_is_nothing_echoed() -> None:
    """An answer without text is still an answer."""
    system = Request("m", (Message(Role.SYSTEM, (Text("Be brief."),)),))

    assert await Simulator().pieces(system) == [[Finish(FinishReason.STOP, Usage())]]


async def test_a_model_it_does_not_have_is_a_failure() -> None:
    """A value like any provider's, and not worth another try."""
    ((failure,),) = await Simulator().pieces(prompt_request("m", "Why?"), "sim/oracle")

    assert failure == Failure(FailureClass.MODEL_GONE, "the simulator has sim/echo and sim/lorem, not sim/oracle")


@pytest.mark.parametrize("model", MODELS)
async def test_the_real_pace_is_the_clocks(model: str) -> None:
    """Without a way to wait of its own it waits on the event loop."""
    provider = SimulatorProvider(tokens_per_second=10_000.0, tokens=3)

    pieces = [piece async for piece in provider.generate(prompt_request("m", "Hi!", stream=True), model, None)]

    assert isinstance(pieces[-1][-1], Finish)
