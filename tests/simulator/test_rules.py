"""Limits for some projects and models, in place of those for all."""

from __future__ import annotations

import pytest

from synapse.simulator import Quota, Rule, parse_rule
from synapse.simulator.rules import choose


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("p1/m:rpm=10", Rule("p1", "m", Quota(rpm=10))),
        ("*/m:rpm=0,tpm=1000,rpd=20", Rule("*", "m", Quota(rpm=0, tpm=1000, rpd=20))),
        ("p1/*:tpd=5,concurrency=2", Rule("p1", "*", Quota(tpd=5, concurrency=2))),
        ("p1/maker/model:free:rpm=20", Rule("p1", "maker/model:free", Quota(rpm=20))),
        ("*/:free:rpm=20", Rule("*", ":free", Quota(rpm=20))),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule) -> None:
    """A model may have slashes and colons in its name."""
    assert parse_rule(text) == rule


@pytest.mark.parametrize("text", ["", "rpm=10", "p/m", "p/m:", "p:rpm=1", "p/:rpm=1", "/m:rpm=1"])
def test_what_names_no_project_model_and_limit_is_refused(text: str) -> None:
    """The message has the form that was expected."""
    with pytest.raises(ValueError, match="expected PROJECT/MODEL:LIMIT=N,… with limits of rpm, tpm, rpd, tpd, conc"):
        parse_rule(text)


@pytest.mark.parametrize("limit", ["rps=1", "rpm", "rpm=", "rpm=-1", "rpm=many", "rpm=1.5"])
def test_what_is_no_limit_is_named(limit: str) -> None:
    """Among others that are."""
    with pytest.raises(ValueError, match=f"'{limit}' is no limit"):
        parse_rule(f"p/m:tpm=5,{limit}")


def test_later_rules_win_and_what_they_leave_open_is_filled() -> None:
    """Limit by limit, down to the general one."""
    rules = tuple(map(parse_rule, ("*/*:rpm=20,tpm=200", "p/*:rpm=30", "*/m:rpd=5", "q/m:rpm=99")))
    general = Quota(rpm=1, concurrency=2)

    assert choose(general, rules, "p", "m") == Quota(rpm=30, tpm=200, rpd=5, concurrency=2)
    assert choose(general, rules, "other", "other") == Quota(rpm=20, tpm=200, concurrency=2)
    assert choose(general, (), "p", "m") == general


def test_a_model_goes_by_any_of_its_names() -> None:
    """A free model is meant by its own name, and by the one for all of them."""
    rules = (parse_rule("*/:free:rpm=20"), parse_rule("*/a/b:free:rpd=50"))

    assert choose(Quota(), rules, "p", "a/b:free", ":free") == Quota(rpm=20, rpd=50)
    assert choose(Quota(), rules, "p", "a/c:free", ":free") == Quota(rpm=20)
    assert choose(Quota(), rules, "p", "a/b", "a/b") == Quota()
