"""Who calls, told by the key that comes along."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.caller import ANONYMOUS, Caller
from synapse.domain.errors import Unauthenticated
from synapse.server.callers import EVERYBODY, Callers, bearer
from synapse.server.http.asgi import Headers, presented_key

KEYS = {f"key-of-{name}": Caller(name) for name in ("app", "ops", "nightly")}
CALLERS = Callers({hashlib.sha256(key.encode()).digest(): caller for key, caller in KEYS.items()})


@pytest.mark.parametrize("presented", [None, "", "whatever"])
def test_where_no_callers_are_known_everybody_is_anonymous(presented: str | None) -> None:
    """Whatever key comes along; nobody need even look for one."""
    assert EVERYBODY.identify(presented) is ANONYMOUS
    assert not EVERYBODY.told_apart


@pytest.mark.parametrize("key", KEYS)
def test_a_caller_is_known_by_its_key(key: str) -> None:
    """Wherever in the list it stands."""
    assert CALLERS.identify(key) is KEYS[key]
    assert CALLERS.told_apart


@pytest.mark.parametrize("presented", [None, ""])
def test_who_sends_no_key_is_told_how_to(presented: str | None) -> None:
    """The message has the header."""
    with pytest.raises(Unauthenticated, match=r"^no key came along, .*`Authorization: Bearer KEY`"):
        CALLERS.identify(presented)


@given(st.text(min_size=1).filter(lambda text: text not in KEYS) | st.sampled_from([key[:-1] for key in KEYS]))
def test_any_other_key_is_nobodys(presented: str) -> None:
    """The message is the same for all, so it never has the key."""
    with pytest.raises(Unauthenticated) as caught:
        CALLERS.identify(presented)

    assert caught.value.message == (
        "the key that came along is that of no caller of this server: check which one you sent"
    )


@pytest.mark.parametrize(
    ("authorization", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc ", "abc"),
        ("Bearer ", ""),
        ("Bearer", None),
        ("Basic YTpi", None),
        ("abc", None),
        ("", None),
    ],
)
def test_a_bearers_key_stands_after_the_scheme(authorization: str, key: str | None) -> None:
    """In capitals or not; another scheme has no key for us."""
    assert bearer(authorization) == key


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([], None),
        ([(b"authorization", b"Bearer one")], "one"),
        ([(b"x-api-key", b"two")], "two"),
        ([(b"x-api-key", b"two"), (b"authorization", b"Bearer one")], "one"),
        ([(b"x-api-key", b"two"), (b"authorization", b"Basic YTpi")], "two"),
        ([(b"x-api-key", b"two"), (b"authorization", b"Bearer ")], "two"),
        ([(b"authorization", b"Bearer \xff")], "\xff"),
    ],
)
def test_a_key_comes_in_either_of_two_headers(headers: Headers, key: str | None) -> None:
    """`Authorization` is stronger where it has one; any byte is just a wrong key."""
    assert presented_key({"headers": headers}) == key
