"""What the simulator says."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulator.dialects.base import Ask, Form
from synapse.simulator.text import THOUGHT_TOKENS, Answer, Finish, Writer, split_words


def ask(prompt: str = "hello", **more: object) -> Ask:
    """Return a request with the prompt."""
    return msgspec.structs.replace(Ask("m", Form.PLAIN, prompt, 1), **more)


def text(answer: Answer, candidate: int = 0) -> str:
    """Return what a candidate says."""
    return msgspec.json.decode(b'"%b"' % b"".join(answer.candidates[candidate].pieces), type=str)


@given(st.text())
def test_words_joined_are_the_text(given_text: str) -> None:
    """Cutting a text into words loses nothing of it."""
    assert "".join(split_words(given_text)) == given_text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_an_echo_is_the_rest_of_the_prompt(rest: str) -> None:
    """A prompt that begins with `echo ` is answered with the rest, to the letter."""
    answer = Writer(0, 8).answer(ask("echo " + rest), 0)

    assert text(answer) == rest


def test_an_answer_has_as_many_tokens_as_it_was_told() -> None:
    """Lorem ipsum has the length of the option, and ends by itself."""
    answer = Writer(0, 12).answer(ask(), 0)

    assert len(text(answer).split(" ")) == 12
    assert answer.candidates[0].finish is Finish.STOP


def test_the_same_seed_gives_the_same_answers() -> None:
    """Two writers with one seed say the same things in the same order, ids included; with another seed, others."""
    first, second, other = (Writer(seed, 20) for seed in (1, 1, 2))

    assert [first.answer(ask(), 5) for _ in range(3)] == [second.answer(ask(), 5) for _ in range(3)]
    assert text(first.answer(ask(), 5)) != text(other.answer(ask(), 5))


def test_two_answers_to_one_request_differ() -> None:
    """A repeated request gets another text, so that a mixture of two attempts shows."""
    writer = Writer(0, 20)

    assert text(writer.answer(ask(), 0)) != text(writer.answer(ask(), 0))


def test_the_maximum_of_tokens_ends_an_answer() -> None:
    """An answer that would be longer stops at the maximum, and says so."""
    answer = Writer(0, 20).answer(ask("echo one two three", max_tokens=2), 0)

    assert text(answer) == "one two"
    assert answer.candidates[0].finish is Finish.LENGTH


def test_an_answer_of_just_the_maximum_ends_by_itself() -> None:
    """An answer that is exactly as long as it may be was not cut."""
    answer = Writer(0, 20).answer(ask("echo one two", max_tokens=2), 0)

    assert answer.candidates[0].finish is Finish.STOP


def test_the_first_stop_string_in_the_text_ends_it() -> None:
    """The text ends before whichever stop string comes first, even amid a word or across words."""
    answer = Writer(0, 20).answer(ask("echo one two three", stop=("three", "o t", "absent")), 0)

    assert text(answer) == "one tw"
    assert answer.candidates[0].finish is Finish.STOP


def test_a_stop_string_beyond_the_maximum_changes_nothing() -> None:
    """What would have been said after the maximum cannot stop the answer."""
    answer = Writer(0, 20).answer(ask("echo one two three", stop=("three",), max_tokens=2), 0)

    assert (text(answer), answer.candidates[0].finish) == ("one two", Finish.LENGTH)


def test_thoughts_use_up_the_maximum_first() -> None:
    """Thoughts are output tokens: where they take all that is allowed, nothing is said."""
    answer = Writer(0, 20).answer(ask("echo one", thoughts=True, max_tokens=THOUGHT_TOKENS), 0)

    assert len(answer.thoughts) == THOUGHT_TOKENS
    assert answer.candidates[0].pieces == []
    assert answer.candidates[0].finish is Finish.LENGTH


def test_every_candidate_is_an_answer_of_its_own() -> None:
    """As many texts as were asked for come back, and they differ."""
    answer = Writer(0, 20).answer(ask(count=3), 0)

    assert len({text(answer, number) for number in range(3)}) == 3
    assert answer.spoken_tokens == 60
