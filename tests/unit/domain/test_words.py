"""The smaller words of the domain."""

from __future__ import annotations

import pytest

from synapse.domain.credential import Credential
from synapse.domain.events import format_event_id
from synapse.domain.request import Image, Message, Role, Sampling, Text, prompt_request
from synapse.testing.broker_contract import make_task


@pytest.mark.parametrize(
    ("key", "label"),
    [("sk-or-v1-0123456789abcdef", "…cdef"), ("123456789", "…6789"), ("12345678", "…"), ("", "…")],
)
def test_a_credential_shows_the_end_of_a_long_key_at_most(key: str, label: str) -> None:
    """Four characters of a key too long to be guessed from them, nothing of a shorter one; nowhere the key itself."""
    credential = Credential("project", key)

    assert credential.label == label
    assert repr(credential) == f"Credential({label})"
    assert f"{credential}" == f"Credential({label})"


def test_an_event_id_is_its_run_and_its_number() -> None:
    """As callers see it, and send it back."""
    assert format_event_id((3, 14)) == "3-14"


def test_a_tasks_lane_is_that_of_its_model_code() -> None:
    """Tasks for one model wait in one line."""
    assert make_task("t1", "gemini-2.5-flash").lane == ("p", "gemini-2.5-flash")


def test_a_prompt_is_one_user_message() -> None:
    """Without images it has one part, and whatever the caller left open is left to the provider."""
    request = prompt_request("m", "Why?")

    assert request.messages == (Message(Role.USER, (Text("Why?"),)),)
    assert request.sampling == Sampling()
    assert not request.stream


def test_images_stand_before_the_text() -> None:
    """In the order they were given."""
    first, second = Image("image/png", b"1"), Image("image/png", b"2")

    request = prompt_request("m", "Why?", images=(first, second), sampling=Sampling(top_k=3), stream=True)

    assert request.messages[0].parts == (first, second, Text("Why?"))
    assert request.sampling.top_k == 3
    assert request.stream
