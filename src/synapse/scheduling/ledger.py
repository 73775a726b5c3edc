"""The ledger of one provider: who may send what on which credential, and when."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.caller import Band
from synapse.domain.credential import Credential
from synapse.domain.quota import Quota
from synapse.domain.standing import KeyStanding
from synapse.scheduling.account import NEVER, Account, Charge
from synapse.scheduling.lessons import learn, works
from synapse.scheduling.pool import Carrier, ModelPool, Project, demand_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from zoneinfo import ZoneInfo

    from synapse.domain.failure import Failure
    from synapse.domain.quota import Headroom, Measure
    from synapse.domain.usage import Usage
    from synapse.scheduling.demand import Demand
    from synapse.scheduling.news import News


class Permit(msgspec.Struct, gc=False):
    """The right to send one request now. It is settled once, with what came of it."""

    credential: Credential | None
    """None where the provider wants no key."""
    model: str
    carrier: Carrier
    charges: tuple[Charge, ...]
    """One for each account of the carrier."""
    urgent: bool
    """Whether it is counted as demand of the bands above batch."""
    probe: bool
    """Whether it is the one request that an open circuit lets pass."""
    spends_day: bool = False
    """Whether it takes from a limit of a day, which is soon enough used up to be careful with."""

    @property
    def careful(self) -> bool:
        """Whether it matters when the request begins to be answered."""
        return any(charge.step is not None for charge in self.charges)


class Terms(msgspec.Struct, frozen=True):
    """What is known of a provider beforehand."""

    provider: str
    zone: ZoneInfo
    """Where its days end."""
    variables: tuple[str, ...] = ()
    """The environment variables that keys come from; none: it wants no key."""
    quotas: Mapping[str, Quota] = {}
    """Configured limits of each project, by model."""
    quota: Quota = Quota()
    """Those of models that are not among them."""
    shared_models: str = ""
    """The suffix of the models whose quota a project shares over all of them; empty: there are none."""
    careful: bool = True
    """Whether it starts slowly where limits are unknown; what is in this very process has none."""
    interactive_reserve: float = 0.2
    """The largest share of a quota that is kept from batch work."""


class Ledger:
    """What has been used of each quota of one provider, what is left, and when the next window opens.

    A request is reserved when it is sent and settled when it has been answered. All methods are plain functions of
    this state and `now`, UTC seconds.
    """

    def __init__(
        self, terms: Terms, credentials: Iterable[Credential], *, random: Callable[[], float] = lambda: 0.5
    ) -> None:
        """Take what is known, the provider's keys, and chances in [0, 1) for the length of pauses."""
        self.terms = terms
        self._random = random
        self._projects: dict[str, Project] = {}
        for credential in credentials:
            project = self._projects.setdefault(credential.project, Project(credential.project))
            project.keys[credential.key] = credential
        if not self._projects and not terms.variables:
            self._projects[""] = Project("", keyless=True)
        self._models: dict[str, ModelPool] = {}
        self._accounts: dict[tuple[str, str], Account] = {}
        self._demands: dict[str, Mapping[Measure, Demand]] = {}
        """What the bands above batch use, by model, or by the suffix of those that share."""
        self._used = 0
        self._shared_quota = _strictest(
            quota
            for model, quota in terms.quotas.items()
            if terms.shared_models and model.endswith(terms.shared_models)
        )

    # --- permits

    def take(self, model: str, tokens: int, band: Band, now: float, *, behind: int | None = None) -> Permit | None:
        """Reserve the right to send a request of so many input tokens; None when nobody may carry it now.

        `behind` is for one that goes before its turn: it may not delay the one of so many tokens whose turn it is.
        """
        pool = self._models.get(model) or self._pool(model)
        if not pool.breaker.closed and pool.breaker.opens_at() > now:
            return None
        carrier = pool.choose(tokens, now) if behind is None else pool.choose_beside(tokens, behind, now)
        if carrier is None:
            return None
        if band is Band.BATCH and not pool.spares(tokens, now):
            return None
        self._used += 1
        carrier.project.used = self._used
        accounts = carrier.accounts
        if len(accounts) == 1:
            charges: tuple[Charge, ...] = (accounts[0].charge(tokens, now),)
        else:
            charges = tuple([account.charge(tokens, now) for account in accounts])
        urgent = pool.limited and band is not Band.BATCH
        if urgent:
            pool.note_demand(tokens, now)
        return Permit(carrier.project.next_key(), model, carrier, charges, urgent, pool.breaker.sent(), pool.daily)

    def opens_at(self, model: str, tokens: int, band: Band, now: float) -> float:
        """Return when to look again whether a request may be sent: an instant past is now, `NEVER` never.

        It is `ANSWER` where only an answer can let it go.
        """
        pool = self._models.get(model) or self._pool(model)
        return self._under_conditions(pool, pool.opens_at(tokens, now), tokens, band, now)

    def starts_at(self, model: str, tokens: int, band: Band, now: float) -> float:
        """Return when a request may be sent at the soonest: `ANSWER` where an answer may come before any opening."""
        pool = self._models.get(model) or self._pool(model)
        return self._under_conditions(pool, pool.starts_at(tokens, now), tokens, band, now)

    @staticmethod
    def _under_conditions(pool: ModelPool, at: float, tokens: int, band: Band, now: float) -> float:
        if not pool.breaker.closed and at < NEVER:
            at = max(at, pool.breaker.opens_at())
        if at <= now and band is Band.BATCH and not pool.spares(tokens, now):
            return pool.changes_at(now)
        return at

    def settle(
        self, permit: Permit, now: float, *, usage: Usage | None = None, failure: Failure | None = None
    ) -> list[News]:
        """Put what came of a request into the books; return what that taught.

        Without usage and failure it is not known what came of it: then it counts as it was reserved.
        """
        pool = self._models[permit.model]
        if permit.urgent:
            pool.demand_answered()
        if failure is not None:
            news = learn(pool, permit, failure, now, random=self._random)
            self._recount(permit)
            return news
        for account, charge in zip(permit.carrier.accounts, permit.charges, strict=True):
            if usage is not None and usage.input_tokens:
                account.correct(charge, usage.input_tokens)
            account.answered(charge, now, accepted=usage is not None)
        if usage is None:
            pool.breaker.given_up(probe=permit.probe)
        elif pool.breaker.worked():
            return [works(permit)]
        return []

    def hear(self, permit: Permit, headroom: Iterable[Headroom], now: float) -> None:
        """Take that the provider answers, and what it said of its limits beside the answer."""
        for account, charge in zip(permit.carrier.accounts, permit.charges, strict=True):
            account.heard(charge, now)
        account = permit.carrier.accounts[-1]
        account.expire(now)
        for each in headroom:
            account.learn(Quota(**{str(each.measure): each.limit}))
            if each.remaining is not None:
                account.used_elsewhere(each.measure, each.remaining, now)
        self._recount(permit)

    def _recount(self, permit: Permit) -> None:
        """Look again which limits are known, of all models that share what may have been learned."""
        if len(permit.carrier.accounts) > 1:
            self.count_limits()
        else:
            self._models[permit.model].count_limits()

    # --- what there is

    def refusal(self, model: str) -> str:
        """Say why no credential will ever carry the model, and what to do about it."""
        where = " or ".join(self.terms.variables)
        if not self._projects:
            return f"{self.terms.provider} has no API key: set {where}"
        reasons = "; ".join(dict.fromkeys(self._reasons(model)))
        return f"{self.terms.provider} accepts no key for {model} ({reasons}): set others in {where}"

    def _reasons(self, model: str) -> Iterable[str]:
        pool = self._pool(model)
        for carrier in pool.carriers:
            for key in carrier.project.dead.values():
                yield f"{key.credential.label}: {key.reason}"
            for account in carrier.accounts:
                if account.closed_until == NEVER:
                    for credential in carrier.project.keys.values():
                        yield f"{credential.label}: {account.closed_why}"

    def known(self, model: str) -> bool:
        """Tell whether some limit of the model is known, so that starts can be foreseen."""
        return (self._models.get(model) or self._pool(model)).limited

    def pool(self, model: str) -> ModelPool:
        """Return all that may carry a model."""
        return self._models.get(model) or self._pool(model)

    def count_limits(self) -> None:
        """Look again which models have known limits."""
        for pool in self._models.values():
            pool.count_limits()

    def accounts(self) -> Iterable[Account]:
        """Go through all accounts there are."""
        return self._accounts.values()

    def projects(self) -> Iterable[Project]:
        """Go through all projects."""
        return self._projects.values()

    def account(self, project: str, scope: str) -> Account | None:
        """Find or make the account of a project there is, for a model or for those that share."""
        if project not in self._projects:
            return None
        return self._account(project, scope)

    def standings(self, now: float) -> list[KeyStanding]:
        """Tell how each credential stands for each model that was asked for."""
        return [standing for project in self._projects.values() for standing in self._project_standings(project, now)]

    def _project_standings(self, project: Project, now: float) -> Iterable[KeyStanding]:
        name = project.name or None
        for dead in project.dead.values():
            yield KeyStanding(self.terms.provider, dead.credential.label, name, None, (), 0, dead.until, dead.reason)
        accounts = [account for account in self._accounts.values() if account.project == project.name]
        labels: list[str | None] = [credential.label for credential in project.keys.values()]
        for label in labels or ([None] if project.keyless else []):
            for account in accounts:
                closed = account.closed_until > now
                yield KeyStanding(
                    self.terms.provider,
                    label,
                    name,
                    account.scope,
                    account.uses(now),
                    account.running,
                    account.closed_until if closed else None,
                    account.closed_why if closed else None,
                )
            if not accounts:
                yield KeyStanding(self.terms.provider, label, name, None, (), 0, None, None)

    # --- what is made when it is first asked for

    def _pool(self, model: str) -> ModelPool:
        pool = self._models.get(model)
        if pool is None:
            carriers = [Carrier(project, self._accounts_of(project.name, model)) for project in self._projects.values()]
            shared = self.terms.shared_models
            scope = shared if shared and model.endswith(shared) else model
            demand = self._demands.setdefault(scope, demand_of_each())
            pool = self._models[model] = ModelPool(model, carriers, self.terms.interactive_reserve, demand)
        return pool

    def _accounts_of(self, project: str, model: str) -> tuple[Account, ...]:
        shared = self.terms.shared_models
        if shared and model.endswith(shared):
            return self._account(project, model), self._account(project, shared)
        return (self._account(project, model),)

    def _account(self, project: str, scope: str) -> Account:
        account = self._accounts.get((project, scope))
        if account is None:
            account = Account(project, scope, self._configured(scope), self.terms.zone)
            shared = self.terms.shared_models
            if not self.terms.careful or (shared and scope != shared and scope.endswith(shared)):
                account.slow_start.over = True  # the shared account is careful for all of them
            self._accounts[project, scope] = account
        return account

    def _configured(self, scope: str) -> Quota:
        shared = self.terms.shared_models
        if shared and scope == shared:
            return self._shared_quota
        if shared and scope.endswith(shared):
            return Quota()
        return self.terms.quotas.get(scope, self.terms.quota)


def _strictest(quotas: Iterable[Quota]) -> Quota:
    return functools.reduce(Quota.within, quotas, Quota())
