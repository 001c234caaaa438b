"""A simulator as the bet sees it: who is learnt from, who is asked about, and every setting in which questions are put.

Training instances and test instances are disjoint; so are the seeds of what is learnt from and of what tuning is
judged on. Answers are the simulator's own: it is branched from one moment under other plans.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases
from foreworld.data.scaling import Scaling, fit_scaling
from foreworld.domains import registry
from foreworld.domains.base import Actions, Behaviour, Domain, split
from foreworld.domains.collect import branch, branch_effects, collect, draw_origins
from foreworld.evidence.bet.asking import noisy, patchy
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.store import Store

ALTERNATIVES = 2
NOISE, MISSING = 0.3, 0.3  # of a channel's deviation; of all values
FAULTS = ("fault 4", "fault 8", "fault 13")  # of the process: a step, a random variation, a slow drift
CONFOUNDED = {"tumour": ("gamma0", "gamma2", "gamma4"), "market": ("momentum",), "anaesthesia": ("confounded",)}
SEPARATE = "separate"
"""Training data in which no episode ever combines two treatments, where a domain has such."""
FAMILIAR, NOISIER, PATCHY, POLICY = "in distribution", "noisier sensors", "missing values", "another policy"
COMBINED = "unseen combination"


@dataclass(frozen=True)
class _Alone:
    """A behaviour that uses one of two treatments in each episode."""

    behaviour: Behaviour
    allowed: Float[np.ndarray, "episode action"]

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        return self.behaviour.act(step, observations) * self.allowed

    def intended(self, start: int, stop: int) -> Actions:
        return self.behaviour.intended(start, stop) * self.allowed[:, None]


class Separated:
    """A domain of two treatments in which nobody is ever given both; all else is that of the domain."""

    def __init__(self, domain: Domain):
        self._domain = domain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def behaviour(self, policy: str, instances: Sequence[str], *, steps: int, seeds: Sequence[int]) -> Behaviour:
        inner = self._domain.behaviour(policy, instances, steps=steps, seeds=seeds)
        return _Alone(inner, np.eye(2)[np.array(seeds) % 2])


@dataclass(frozen=True)
class World:
    """A domain and a policy at work in it.

    Attributes:
        name: of the domain.
        policy: what behaves in the data; the domain's first by default, `separate` for one treatment an episode.
        seed: decides the split and everything simulated.
        scale, store: of the run.
    """

    name: str
    policy: str
    seed: int
    scale: Scale
    store: Store

    @cached_property
    def domain(self) -> Domain:
        """The simulator."""
        return registry.simulator(self.name)

    @cached_property
    def instances(self) -> tuple[list[str], list[str]]:
        """Those that are learnt from, and those that are asked about."""
        return split(self.domain.instances, self.seed, self.domain.study.folds)

    @property
    def horizon(self) -> int:
        return self.domain.study.horizon

    @cached_property
    def training(self) -> Episodes:
        """What is learnt from."""
        study = self.domain.study
        return self.store.episodes(
            ("training", self.name, self.policy, self.seed),
            self.domain.schema,
            lambda: collect(
                self._acted(),
                policy=self._policy,
                instances=self.instances[0],
                episodes_per_instance=study.episodes,
                steps=study.steps,
                seed=100 + self.seed,
            ),
        )

    @cached_property
    def scaling(self) -> Scaling:
        """Measured on what is learnt from."""
        return fit_scaling(self.training)

    @cached_property
    def unit(self) -> Float[np.ndarray, " target"]:
        """What errors are divided by, so that targets can be averaged: the deviation of each in training."""
        return self.scaling.of(self.domain.schema.targets)[1]

    def settings(self) -> Iterator[tuple[str, Cases]]:
        """Other plans in this world as it was, and then as it was not."""
        plain = self._branched(self.domain, self._policy, FAMILIAR)
        yield FAMILIAR, plain
        if self.policy == SEPARATE:
            yield COMBINED, self.effects()[0]
            return
        if self._policy != self.domain.policies[0]:
            return
        shifts = FAULTS if self.name == "process" else self.domain.shifts
        for shift in shifts[: self.scale.shifts]:
            yield shift, self._branched(self.domain.shifted(shift), None, shift)
        yield POLICY, self._branched(self.domain, self.domain.policies[-1], POLICY)
        spread = self.scaling.of(self.domain.schema.observations)[1]
        yield NOISIER, noisy(plain, NOISE, spread, self.seed)
        yield PATCHY, patchy(plain, MISSING, self.seed)

    def effects(self) -> tuple[Cases, Cases]:
        """The same moments with the main intervention and without it, under the same chance."""
        name = next(iter(self.domain.interventions))
        key = ("effects", self.name, self.policy, self.seed, self.scale.cases, name)
        made: list[tuple[Cases, ...]] = []

        def make(which: int) -> Cases:
            if not made:
                doing = self.domain.interventions[name].doing or None
                asked = self._origins(self._acted(), self._policy, self.scale.cases // 2, doing)
                made.append(
                    branch_effects(
                        self._acted(),
                        interventions=[name],
                        policy=self._policy,
                        origins=asked,
                        horizon=self.horizon,
                        seed=500 + self.seed,
                    )
                )
            return made[0][which]

        done = self.store.cases((*key, "done"), self.domain.schema, lambda: make(0))
        return done, self.store.cases((*key, "undone"), self.domain.schema, lambda: make(1))

    @property
    def _policy(self) -> str:
        return self.policy if self.policy in self.domain.policies else self.domain.policies[0]

    def _acted(self) -> Any:
        own = self.policy in self.domain.policies
        return Separated(self.domain) if self.policy == SEPARATE and not own else self.domain

    def _branched(self, domain: Domain, policy: str | None, words: str) -> Cases:
        if words in (FAMILIAR, POLICY) and self.policy == SEPARATE:
            domain = self._acted()
        key = ("cases", self.name, self.policy, words, policy, self.seed, self.scale.cases, ALTERNATIVES)

        def make() -> Cases:
            asked = self._origins(domain, policy, self.scale.cases // ALTERNATIVES, None)
            return branch(
                domain,
                policy=policy,
                origins=asked,
                horizon=self.horizon,
                alternatives=ALTERNATIVES,
                seed=500 + self.seed,
            )

        return self.store.cases(key, self.domain.schema, make)

    def _origins(self, domain: Any, policy: str | None, count: int, doing: str | None) -> list[tuple[str, int]]:
        study, test = self.domain.study, self.instances[1]
        rows = (study.first, study.steps - study.horizon)
        each = max(1, -(-count // len(test)))
        return draw_origins(
            domain, policy=policy, ids=test, per_episode=each, rows=rows, doing=doing, seed=500 + self.seed
        )


def policies(domain: str, simulator: Domain) -> tuple[str, ...]:
    """The policies whose data a domain is learnt from: the plain one, those that look, and one treatment at a time.

    Of those that look the one that looks most comes first, for runs that have time for a few only.
    """
    looking = CONFOUNDED.get(domain, ())[::-1]
    separate = (SEPARATE,) if domain in ("tumour", "anaesthesia") else ()
    return (simulator.policies[0], *looking, *separate)
