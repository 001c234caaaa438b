"""Question 7: what does an error cost, in training compute, in trajectories, in labels of the quantity of interest?

The error is the CRPS in distribution. With a share of the labels, the targets are missing in all other rows, in
training and in the histories of the questions alike: an expensive measurement is rare everywhere. Other channels stay
as they are.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.schema import Schema
from foreworld.evidence import metrics
from foreworld.evidence.bet import contenders
from foreworld.evidence.bet.asking import ask, fewer
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.worlds import World

QUESTION = "cheaper"
AXES = ("trajectories", "labels", "steps")
FEWEST = 4  # episodes


def pieces(scale: Scale, schema: Schema) -> list[str]:
    """What is asked of a domain; labels only where something else is observed. The whole is question 3's."""
    axes = [axis for axis in AXES if axis != "labels" or len(schema.observations) > len(schema.targets)]
    return [f"{axis} {share:g}" for axis in axes for share in scale.shares[AXES.index(axis)] if share < 1]


def run(world: World, contender: str, piece: str, scale: Scale, *, changes: Mapping[str, Any] | None = None) -> Rows:
    """Train on less, and ask as always."""
    axis, _, share = piece.partition(" ")
    data, part = world.training, float(share)
    cases = dict([next(iter(world.settings()))])
    (cases,) = cases.values()
    if axis == "trajectories":
        count = max(FEWEST, round(part * len(data)))
        chosen = np.random.default_rng([world.seed, 11]).choice(len(data), count, replace=False)
        data = data.take(sorted(chosen.tolist()))
    elif axis == "labels":
        rng = np.random.default_rng([world.seed, 12])
        data, told = _unlabelled(data, part, rng), _unlabelled(cases.histories, part, rng)
        cases = replace(cases, histories=told)
    else:
        scale = replace(scale, steps=max(10, round(part * scale.steps)))
    fitted = contenders.fit(
        contender, data, world.horizon, scale, seed=world.seed, domain=world.domain, changes=changes
    )
    few = scale.few if contenders.of(contender).slow else scale.cases
    asked, places = fewer(cases, few)
    answer = ask(fitted, asked, members=scale.futures, seed=world.seed)
    found = Rows()
    crps = np.nanmean(metrics.crps(answer.samples, asked.truth) / world.unit, (1, 2))
    found.add(QUESTION, piece, "crps", crps, asked.group, cases=places)
    for name, value in fitted.facts.items():
        found.one("cost", piece, name, value)
    return found


def _unlabelled(data: Episodes, share: float, rng: np.random.Generator) -> Episodes:
    targets = list(data.schema.target_indices)
    episodes = []
    for episode in data:
        observations = episode.observations.copy()
        hidden = rng.random(len(observations)) >= share
        observations[np.ix_(np.flatnonzero(hidden), np.array(targets))] = np.nan
        episodes.append(replace(episode, observations=observations))
    return Episodes(data.schema, tuple(episodes), data.backend)
