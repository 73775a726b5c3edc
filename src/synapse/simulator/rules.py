"""Limits for some projects and models, in place of those for all."""

from __future__ import annotations

import msgspec

from synapse.domain.quota import Measure, Quota

_ANY = "*"
_FORM = "expected PROJECT/MODEL:LIMIT=N,… with limits of " + ", ".join(Measure)


class Rule(msgspec.Struct, frozen=True):
    """What some projects may use of some models. What it does not limit, others may."""

    project: str
    """`*` is any."""
    model: str
    """Likewise."""
    limits: Quota

    def fits(self, project: str, *models: str) -> bool:
        """Tell whether it is for a project, and for a model by any of its names."""
        return self.project in (_ANY, project) and self.model in (_ANY, *models)


def parse_rule(text: str) -> Rule:
    """Read `PROJECT/MODEL:rpm=10,tpm=1000`. Raises `ValueError` saying what was expected."""
    project, _, rest = text.partition("/")
    model, _, limits = rest.rpartition(":")
    if not (project and model):
        raise ValueError(f"{text!r}: {_FORM}")
    numbers: dict[str, int] = {}
    for limit in limits.split(","):
        name, _, number = limit.partition("=")
        if name not in Measure.__members__.values() or not number.isdecimal():
            raise ValueError(f"{text!r}: {limit!r} is no limit; {_FORM}")
        numbers[name] = int(number)
    return Rule(project, model, msgspec.convert(numbers, Quota))


def choose(general: Quota, rules: tuple[Rule, ...], project: str, *models: str) -> Quota:
    """Return the limits of a project for a model, which may go by several names: of the rules that fit, later ones win.

    What no rule limits is limited as for all.
    """
    limits = general
    for rule in rules:
        if rule.fits(project, *models):
            limits = rule.limits.over(limits)
    return limits
