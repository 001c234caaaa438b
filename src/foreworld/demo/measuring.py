"""The demo's measuring: simulate, fit, and score on what the model never saw."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Forecaster, cut
from foreworld.domains.base import Domain, Recorded, by_moment, split
from foreworld.domains.collect import draw_origins, episode_ids, instance_of
from foreworld.domains.engine import Engine
from foreworld.evidence.evaluate import evaluate, origins
from foreworld.evidence.evaluation import Evaluation
from foreworld.model import WorldModel
from foreworld.training.progress import stage

CASES = 240  # recorded ones, and as many branched; half as many moments for each intervention
WHAT_IFS = 3  # interventions: the main one and those after it


@dataclass(frozen=True)
class Findings:
    """What the demo measured on instances that the model never saw.

    Attributes:
        domain: simulated or recorded.
        model: fitted to the others.
        forecasters: the model, its baselines and those of the field.
        recorded: the episodes of the test.
        factual: scores of what was done.
        branched: scores under other plans; None where the world cannot be branched.
        what_ifs: true futures with and without each intervention, from the same moments and under the same chance.
        seconds: that each part took.
    """

    domain: Domain | Recorded
    model: WorldModel
    forecasters: Mapping[str, Forecaster]
    recorded: Episodes
    factual: Evaluation
    branched: Evaluation | None
    what_ifs: dict[str, tuple[Cases, Cases]]
    seconds: dict[str, float]

    @property
    def scored(self) -> Evaluation:
        """What the verdict rests on: other plans, where there are any."""
        return self.factual if self.branched is None else self.branched

    @property
    def test(self) -> tuple[str, ...]:
        """The instances of the test, or its episodes where nothing was simulated."""
        ids = [str(episode.id) for episode in self.recorded]
        return tuple(dict.fromkeys(ids if self.branched is None else map(instance_of, ids)))

    @property
    def shown(self) -> dict[str, int]:
        """The case shown of each what-if: that with the median true effect on the main target, no best or worst one."""
        sizes = {name: (done.truth - undone.truth)[..., 0].mean(1) for name, (done, undone) in self.what_ifs.items()}
        return {name: int(np.argsort(size, kind="stable")[len(size) // 2]) for name, size in sizes.items()}


def measure_recorded(domain: Recorded, seed: int, progress: bool | None) -> Findings:
    """Fit to what was recorded first, and score on the rest."""
    clock = _Clock()
    with stage("reading", progress):
        data, recorded = domain.split(seed)
    clock.lap("read")
    model, forecasters = _fit(domain, data, seed, progress)
    clock.lap("fit")
    with stage("testing on what was never seen", progress):
        factual = _factual(domain, forecasters, recorded, seed)
    clock.lap("test")
    return Findings(domain, model, forecasters, recorded, factual, None, {}, clock.laps)


def measure_simulated(engine: Engine, seed: int, progress: bool | None) -> Findings:
    """Simulate, fit to some of the instances, and score on the others: what was done, and what could have been."""
    domain, study, clock = engine.domain, engine.domain.study, _Clock()
    train, test = split(domain.instances, seed, study.folds)
    with stage("simulating", progress):
        settings = {"steps": study.steps, "seed": seed}
        data = engine.collect(instances=train, episodes_per_instance=study.episodes, **settings)
        recorded = engine.collect(instances=test, episodes_per_instance=study.episodes, **settings)
    clock.lap("simulate")
    model, forecasters = _fit(domain, data, seed, progress)
    clock.lap("fit")
    with stage("testing on what was never seen", progress):
        factual = _factual(domain, forecasters, recorded, seed)
        asked = _moments(domain, test, CASES // 4, "", seed)
        branched = evaluate(forecasters, engine.branch(origins=asked, horizon=study.horizon, seed=seed), seed=seed)
        what_ifs = _what_ifs(engine, test, seed)
    clock.lap("test")
    return Findings(domain, model, forecasters, recorded, factual, branched, what_ifs, clock.laps)


def _fit(
    domain: Domain | Recorded, data: Episodes, seed: int, progress: bool | None
) -> tuple[WorldModel, dict[str, Forecaster]]:
    """The model, and beside it all that it has to beat."""
    horizon = domain.study.horizon
    model = WorldModel.fit(data, seed=seed, horizon=horizon, progress=progress)
    own = {name: fit(data, horizon) for name, fit in domain.baselines.items()}
    return model, {"foreworld": model, **model.baselines, **own}


def _factual(
    domain: Domain | Recorded, forecasters: Mapping[str, Forecaster], recorded: Episodes, seed: int
) -> Evaluation:
    """Scores of what was done."""
    first, horizon = max(domain.study.first, 1), domain.study.horizon
    places = origins(recorded, context=first, horizon=horizon, limit=CASES, seed=seed)
    return evaluate(forecasters, cut(recorded, places, horizon), seed=seed)


def _what_ifs(engine: Engine, test: list[str], seed: int) -> dict[str, tuple[Cases, Cases]]:
    """The first interventions; those that may begin at the same moments share them."""
    domain, found = engine.domain, {}
    names = list(domain.interventions)[:WHAT_IFS]
    for doing, some in by_moment({name: domain.interventions[name] for name in names}).items():
        if asked := _moments(domain, test, CASES // 2, doing, seed):
            asking = {"origins": asked, "horizon": domain.study.horizon, "seed": seed}
            *done, undone = engine.branch_effects(interventions=some, **asking)
            found |= {name: (cases, undone) for name, cases in zip(some, done, strict=True)}
    return {name: found[name] for name in names if name in found}


def _moments(domain: Domain, test: list[str], count: int, doing: str, seed: int) -> list[tuple[str, int]]:
    """At least so many moments, the same number in each episode, where there are so many."""
    study = domain.study
    ids = episode_ids(test, study.episodes)
    return draw_origins(
        domain,
        ids=ids,
        per_episode=-(-count // len(ids)),
        rows=(study.first, study.steps - study.horizon),
        doing=doing or None,
        seed=seed,
    )


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
