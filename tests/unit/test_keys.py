"""API keys as people write them into a variable."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.credential import Credential
from synapse.providers.keys import parse_keys


def test_commas_spaces_and_line_ends_part_keys() -> None:
    """Any of them, and any number of them."""
    assert [credential.key for credential in parse_keys(" one,two  three\nfour,\r\n\tfive,, ")] == [
        "one",
        "two",
        "three",
        "four",
        "five",
    ]


def test_a_name_puts_keys_into_one_project() -> None:
    """Keys of one project share its quota."""
    assert parse_keys("work=KEY1 work=KEY2 home=KEY3") == (
        Credential("work", "KEY1"),
        Credential("work", "KEY2"),
        Credential("home", "KEY3"),
    )


def test_a_key_without_a_name_is_a_project_of_its_own() -> None:
    """The project is the same wherever the key stands, and does not tell the key."""
    first, second = parse_keys("AIzaSyFirst AIzaSySecond")
    (again,) = parse_keys("AIzaSySecond")

    assert first.project != second.project
    assert again == second
    assert "AIzaSy" not in first.project


@pytest.mark.parametrize(
    ("text", "project", "key"),
    [
        ("a=c2VjcmV0==", "a", "c2VjcmV0=="),
        ("a=b=c", "a", "b=c"),
        ("c2VjcmV0==", None, "c2VjcmV0=="),
        ("c2==", None, "c2=="),
    ],
)
def test_padding_is_part_of_the_key(text: str, project: str | None, key: str) -> None:
    """An equals sign at the end parts no name from a key."""
    (credential,) = parse_keys(text)

    assert credential.key == key
    assert project is None or credential.project == project


def test_a_key_counts_once() -> None:
    """As it stands first."""
    assert parse_keys("a=KEY1 KEY1 b=KEY1") == (Credential("a", "KEY1"),)


def test_no_text_is_no_key() -> None:
    """A variable may be empty."""
    assert parse_keys("") == parse_keys(" ,\n") == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("good secr\x07et", "key 2 of 2 cannot be one: its character 5 (U+0007) stands in no key"),
        ("secrét", "key 1 of 1 cannot be one: its character 5 (U+00E9) stands in no key"),
        ("good\N{NO-BREAK SPACE}secret", "key 1 of 1 cannot be one: its character 5 (U+00A0) stands in no key"),
        ('"secret"', "key 1 of 1 cannot be one: its character 1 (U+0022) stands in no key"),
        ("n\udc80=secret", "key 1 of 1 cannot be one: its character 2 (U+DC80) stands in no key"),
        ("good =secret", "key 2 of 2 has no name before its '='"),
        ("=", "key 1 of 1 is empty"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_telling_it(text: str, error: str) -> None:
    """Its place is enough to find it."""
    with pytest.raises(ValueError, match=error.partition(" (")[0]) as caught:
        parse_keys(text)

    assert str(caught.value).startswith(f"{error}; ")
    assert "secr" not in str(caught.value)


_characters = "".join(sorted(set(string.printable) - set(string.whitespace) - set(",='\"")))
_words = st.text(_characters, min_size=1, max_size=40)


@given(st.dictionaries(_words, st.none() | _words), st.sampled_from([",", " ", "\n", ", ", "\r\n"]))
def test_what_is_written_is_read(entries: dict[str, str | None], separator: str) -> None:
    """Each key comes back, in order, in the project it was written into."""
    text = separator.join(f"{project}={key}" if project else key for key, project in entries.items())

    read = parse_keys(text)

    assert [credential.key for credential in read] == list(entries)
    assert all(entries[credential.key] in {None, credential.project} for credential in read)


@given(st.text())
def test_any_text_is_keys_or_an_error_in_words(text: str) -> None:
    """Nothing in a variable stops the start with a traceback."""
    try:
        read = parse_keys(text)
    except ValueError:
        read = ()

    assert all(credential.key.isascii() and credential.key.isprintable() for credential in read)
