"""How strongly one case answers to what is done to it, learnt from its whole trajectory.

A belief holds what the last rows told about a patient's sensitivity, as far as the network saw a use for it. A recorded
trajectory tells more: every stretch of it is a small trial, in which a forecast expected some effect of the actions and
something happened. The effect of action j on a target is taken to be (1 + b_j) times what the model says, with
b_j ~ N(0, PRIOR^2) for each case: a random-effects model (Laird and Ware, Biometrics 1982), whose posterior is a
generalised least-squares regression of what forecasts missed on the effects that they expected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Plan, cut
from foreworld.data.scaling import Scaling
from foreworld.data.schema import Schema

Futures = Callable[[Episodes, Plan, int], Float[np.ndarray, "sample episode step target"]]
"""Histories, a plan and a number of samples -> calibrated futures, under the same noise whatever the plan."""

WINDOWS = 24  # Stretches of a trajectory that are looked at.
SAMPLES = 100  # Futures of each of them.
PRIOR = 0.8  # Standard deviation of b: chosen on training instances of the domains, see docs/questions.md.
RIDGE = 0.1  # Of the forecasts' variance: what covariances from few samples and errors of the model need.


@dataclass(frozen=True)
class Response:
    """Posterior of b of each case, by target and action.

    Attributes:
        mean, covariance: normal; zero and the prior for a case whose trajectory says nothing.
    """

    mean: Float[np.ndarray, "episode target action"]
    covariance: Float[np.ndarray, "episode target action action"]

    def draw(self, count: int, rng: np.random.Generator) -> Float[np.ndarray, "sample episode target action"]:
        """Samples of 1 + b, whose mean is exact: in pairs on either side of it."""
        root = np.linalg.cholesky(self.covariance)
        normal = rng.normal(size=(-(-count // 2), *self.mean.shape))
        away = np.einsum("etij,setj->seti", root, normal)
        return 1 + self.mean + np.stack([away, -away], axis=1).reshape(-1, *self.mean.shape)[:count]


def learn_response(
    futures: Futures,
    trajectories: Episodes,
    scaling: Scaling,
    horizon: int,
    apart: Sequence[int],
) -> Response:
    """What each trajectory teaches about its case.

    Stretches overlap where a trajectory is short; together they then count as many as would fit side by side.

    Args:
        futures: of the model.
        trajectories: whole.
        scaling: of the training data, which says where an action is at rest.
        horizon: steps of a stretch.
        apart: a row of each trajectory. The stretch that begins there is left out, and whatever overlaps it.
    """
    schema = trajectories.schema
    rows = [_rows(episode.steps, horizon, row) for episode, row in zip(trajectories, apart, strict=True)]
    origins = [(index, int(row)) for index, found in enumerate(rows) for row in found]
    if not origins:
        return _unknown(len(trajectories), len(schema.targets), len(schema.actions))
    owner = np.array([index for index, _ in origins])
    cases = cut(trajectories, origins, horizon)
    samples = futures(cases.histories, cases.plan, SAMPLES)
    effects = np.stack([effect.mean(0) for effect in expected_effects(futures, cases, scaling, samples)], -1)
    left = np.array([episode.steps for episode in trajectories])[owner] - horizon
    share = np.minimum(1, left / (horizon * np.bincount(owner)[owner]))
    return _posterior(samples, effects, cases, owner, share, len(trajectories))


def expected_effects(
    futures: Futures, cases: Cases, scaling: Scaling, samples: Float[np.ndarray, "sample case step target"]
) -> list[Float[np.ndarray, "sample case step target"]]:
    """Of each action, against the same plan with it at rest, under the same noise; `samples` are those of the plan."""
    found = []
    for column in range(len(cases.histories.schema.actions)):
        rest = _at_rest(cases.plan, cases.histories.schema, scaling, column)
        still = np.array_equal(rest.actions, cases.plan.actions, equal_nan=True)
        found.append(np.zeros_like(samples) if still else samples - futures(cases.histories, rest, len(samples)))
    return found


def _rows(steps: int, horizon: int, apart: int) -> Int[np.ndarray, " stretch"]:
    """Where stretches begin, evenly spread."""
    rows = np.arange(max(steps - horizon, 0) + 1)
    rows = rows[np.abs(rows - apart) >= horizon]
    return rows[np.unique(np.linspace(0, len(rows) - 1, WINDOWS).round().astype(int))] if len(rows) else rows


def _at_rest(plan: Plan, schema: Schema, scaling: Scaling, column: int) -> Plan:
    """The plan with one action at rest: an impulse left out, another at its usual value."""
    actions, variable = plan.actions.copy(), schema.actions[column]
    actions[..., column] = scaling.variables[variable.name].centre if variable.kind == "continuous" else 0.0
    return replace(plan, actions=actions)


def _posterior(
    samples: Float[np.ndarray, "sample case step target"],
    effects: Float[np.ndarray, "case step target action"],
    cases: Cases,
    owner: Int[np.ndarray, " case"],
    share: Float[np.ndarray, " case"],
    episodes: int,
) -> Response:
    """Normal equations of every target, added up over the stretches of a case."""
    targets, actions = effects.shape[2:]
    prior = _unknown(episodes, targets, actions)
    precision, moment = np.linalg.inv(prior.covariance), prior.mean
    for target in range(targets):
        if cases.histories.schema.targets[target].kind != "continuous":
            continue
        seen = np.isfinite(cases.truth[..., target])
        missed = np.where(seen, cases.truth[..., target] - samples[..., target].mean(0), 0.0)
        design = np.where(seen[..., None], effects[:, :, target], 0.0)
        weighted = np.linalg.solve(_covariance(samples[..., target], seen), design) * share[:, None, None]
        np.add.at(precision[:, target], owner, np.einsum("csi,csj->cij", design, weighted))
        np.add.at(moment[:, target], owner, np.einsum("csi,cs->ci", weighted, missed))
    covariance = np.linalg.inv(precision)
    covariance = (covariance + covariance.swapaxes(-1, -2)) / 2
    return Response(np.einsum("etij,etj->eti", covariance, moment), covariance)


def _unknown(episodes: int, targets: int, actions: int) -> Response:
    """The prior."""
    mean = np.zeros((episodes, targets, actions))
    return Response(mean, np.tile(np.eye(actions) * PRIOR**2, (episodes, targets, 1, 1)))


def _covariance(
    samples: Float[np.ndarray, "sample case step"], seen: Bool[np.ndarray, "case step"]
) -> Float[np.ndarray, "case step step"]:
    """Of the forecasts, with a ridge; the identity where nothing was seen."""
    away = np.where(seen, samples - samples.mean(0), 0.0).astype(np.float64)
    matrix = np.einsum("ncs,nct->cst", away, away) / (len(samples) - 1)
    variance = np.trace(matrix, axis1=1, axis2=2) / np.maximum(seen.sum(1), 1)
    ridge = RIDGE * variance[:, None] + np.where(seen, 0.0, 1.0) + 1e-12
    return matrix + ridge[..., None] * np.eye(matrix.shape[1])
