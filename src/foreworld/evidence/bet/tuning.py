"""The same search for every network: the learning rate, judged on episodes held out of training.

The first trial is the default. Nothing of a test episode is seen: the training instances are split once more. A trial
is one network, whose intervals are calibrated on as few questions as it is judged by. One seed tunes for all.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from foreworld.data.plan import cut
from foreworld.domains.base import split
from foreworld.domains.collect import instance_of
from foreworld.evidence import metrics
from foreworld.evidence.bet import contenders
from foreworld.evidence.bet.asking import ask
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.worlds import World
from foreworld.evidence.evaluate import origins
from foreworld.world.config import FitConfig

QUESTION = "tuning"
SPACE = {"learning_rate": (FitConfig.model_fields["learning_rate"].default, 1e-3, 8e-3, 1.6e-2)}
FOLDS = 4


def run(world: World, contender: str, scale: Scale) -> Rows:
    """All trials: their settings, and their CRPS on the validation episodes."""
    data = world.training
    kept = set(split(world.instances[0], world.seed, FOLDS)[0])
    inner = [index for index, episode in enumerate(data) if instance_of(str(episode.id)) in kept]
    outer = data.take(sorted(set(range(len(data))) - set(inner)))
    places = origins(outer, context=world.domain.study.first, horizon=world.horizon, limit=scale.few, seed=world.seed)
    cases = cut(outer, places, world.horizon)
    scale = replace(scale, members=1, calibration=scale.few)
    found = Rows()

    for number, rate in enumerate(SPACE["learning_rate"][: scale.trials]):
        settings = {"learning_rate": rate}
        fitted = contenders.fit(
            contender, data.take(inner), world.horizon, scale, seed=world.seed, domain=world.domain, changes=settings
        )
        answer = ask(fitted, cases, members=scale.futures, seed=world.seed)
        score = float(np.nanmean(metrics.crps(answer.samples, cases.truth) / world.unit))
        for name, value in {**settings, "crps": score}.items():
            found.one(QUESTION, f"trial {number}", name, value)
    return found


def chosen(table: Any) -> dict[str, float]:
    """The settings of the best trial of a tuning cell."""
    trials: dict[str, dict[str, float]] = {}
    for row in table.to_pylist():
        if row["question"] == QUESTION:
            trials.setdefault(row["setting"], {})[row["metric"]] = row["value"]
    best = min(trials.values(), key=lambda trial: trial["crps"])
    return {name: best[name] for name in SPACE}
