"""How many input tokens a request is taken to have."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.request import Image, Message, Request, Role, Text, prompt_request
from synapse.scheduling.tokens import estimate_input_tokens

PICTURE = Image("image/png", b"\x89PNG")


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("a b c d e", 5),
        ("abcdefgh", 2),
        ("abcdefghi", 3),
        ("  two \n\t words  ", 4),
        ("日本語", 3),
        ("ééé", 2),
        ("\ud800", 1),
        ("x " * 5000, 5001),
        ("x" * 10_001, 2501),
        ("", 1),
    ],
)
def test_a_text_has_as_many_tokens_as_words_or_quarters_of_bytes(prompt: str, tokens: int) -> None:
    """The greater of the two, and never nothing; in a long text, spaces stand for words."""
    assert estimate_input_tokens(prompt_request("m", prompt)) == tokens


def test_an_image_has_as_many_tokens_as_gemini_counts_for_a_small_one() -> None:
    """However many bytes it has."""
    assert estimate_input_tokens(prompt_request("m", "what is it", images=(PICTURE,))) == 258 + 3
    assert estimate_input_tokens(prompt_request("m", "", images=(PICTURE, PICTURE))) == 2 * 258


def test_each_further_message_costs_what_parts_it_from_the_one_before() -> None:
    """Four tokens, beyond its text."""
    said = [Message(role, (Text("one two three"),)) for role in (Role.SYSTEM, Role.USER, Role.ASSISTANT)]

    assert [estimate_input_tokens(Request("m", tuple(said[:count]))) for count in range(4)] == [1, 4, 12, 20]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_more_text_is_never_fewer_tokens(texts: list[str]) -> None:
    """Adding a part never lowers the estimate, and each byte counts for a quarter at least."""
    request = Request("m", (Message(Role.USER, tuple(map(Text, texts))),))
    shorter = Request("m", (Message(Role.USER, tuple(map(Text, texts[:-1]))),))

    tokens = estimate_input_tokens(request)

    assert tokens >= estimate_input_tokens(shorter)
    assert tokens * 4 >= sum(len(text.encode()) for text in texts)


@pytest.mark.parametrize("word", ["word ", "слово ", "漢字", " "])
def test_a_megabyte_is_estimated_at_once(word: str) -> None:
    """It is looked through, not taken to pieces: that would take ten times as long as is allowed here."""
    request = prompt_request("m", word * (1_000_000 // len(word.encode())))

    took = []
    for _ in range(5):
        begun = time.perf_counter()
        estimate_input_tokens(request)
        took.append(time.perf_counter() - begun)

    assert min(took) < 0.005
