"""The same search for every network: learning rate and weight decay, judged on episodes held out of training.

At most eight trials, of which the first is the default. Nothing of a test episode is seen: the training instances are
split once more. Intervals are calibrated on as few questions as a trial is judged by. One seed tunes for all.
"""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from foreworld.data.plan import cut
from foreworld.domains.base import split
from foreworld.domains.collect import instance_of
from foreworld.errors import MissingExtraError
from foreworld.evidence import metrics
from foreworld.evidence.bet import contenders
from foreworld.evidence.bet.asking import ask
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.worlds import World
from foreworld.evidence.evaluate import origins
from foreworld.world.config import FitConfig

QUESTION = "tuning"
SPACE = {"learning_rate": (1e-3, 1.5e-2), "weight_decay": (0.03, 1.0)}  # both by their logarithm
FOLDS = 4


def run(world: World, contender: str, scale: Scale) -> Rows:
    """All trials: their settings, and their CRPS on the validation episodes."""
    if find_spec("optuna") is None:
        raise MissingExtraError("tuning", "bench")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    data = world.training
    kept = set(split(world.instances[0], world.seed, FOLDS)[0])
    inner = [index for index, episode in enumerate(data) if instance_of(str(episode.id)) in kept]
    outer = data.take(sorted(set(range(len(data))) - set(inner)))
    places = origins(outer, context=world.domain.study.first, horizon=world.horizon, limit=scale.few, seed=world.seed)
    cases = cut(outer, places, world.horizon)
    scale = replace(scale, calibration=scale.few)
    found = Rows()

    def trial(number: int, settings: dict[str, float]) -> float:
        fitted = contenders.fit(
            contender, data.take(inner), world.horizon, scale, seed=world.seed, domain=world.domain, changes=settings
        )
        answer = ask(fitted, cases, members=scale.futures, seed=world.seed)
        score = float(np.nanmean(metrics.crps(answer.samples, cases.truth) / world.unit))
        for name, value in {**settings, "crps": score}.items():
            found.one(QUESTION, f"trial {number}", name, value)
        return score

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=world.seed))
    study.enqueue_trial({name: FitConfig.model_fields[name].default for name in SPACE})
    study.optimize(
        lambda at: trial(at.number, {name: at.suggest_float(name, *ends, log=True) for name, ends in SPACE.items()}),
        n_trials=scale.trials,
    )
    return found


def chosen(table: Any) -> dict[str, float]:
    """The settings of the best trial of a tuning cell."""
    trials: dict[str, dict[str, float]] = {}
    for row in table.to_pylist():
        if row["question"] == QUESTION:
            trials.setdefault(row["setting"], {})[row["metric"]] = row["value"]
    best = min(trials.values(), key=lambda trial: trial["crps"])
    return {name: best[name] for name in SPACE}
