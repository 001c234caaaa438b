"""What would have happened in this very case, had something else been done: the individual counterfactual.

Three steps (Pearl, Causality, 2009, ch. 7). Abduction: what did happen after a moment says which chance was at work,
and with the rest of the trajectory how strongly this case answers to its actions. Action: other actions from the moment
on. Prediction: the same chance and the same case under them. See docs/questions.md for how this differs from `imagine`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Plan, cut
from foreworld.data.scaling import Encoding, Scaling
from foreworld.errors import QuestionError
from foreworld.reasoning.abduction import carry_over, same_gumbels, shares
from foreworld.reasoning.imagination import Imagination, spread
from foreworld.reasoning.moment import Moment, rows_at
from foreworld.reasoning.pool import bounded
from foreworld.reasoning.question import Do, apply_do
from foreworld.reasoning.response import Futures, Response, expected_effects, learn_response
from foreworld.reasoning.support.verdict import Verdict
from foreworld.world.config import FitConfig

SAMPLES = 400  # Pairs of futures, at least: covariances of whole paths rest on them.


@runtime_checkable
class Model(Protocol):
    """What recalling needs of a world model."""

    @property
    def config(self) -> FitConfig: ...
    @property
    def encoding(self) -> Encoding: ...
    def judge(self, histories: Episodes, plan: Plan) -> Verdict: ...
    def forecast(
        self,
        histories: Episodes,
        plan: Plan,
        *,
        members: int,
        seed: int,
        draws: int,
        growth: Float[np.ndarray, "episode step"],
        individual: bool,
    ) -> Float[np.ndarray, "member episode step target"]: ...


@dataclass(frozen=True)
class Recollection(Imagination):
    """What would have happened, as an `Imagination`, beside what did.

    Attributes:
        factual: what did happen at the same steps; NaN where it was not observed.
        response: how strongly each case answers to its actions.
    """

    factual: Float[np.ndarray, "episode step target"]
    response: Response

    def plot(self, path: Any = None, episode: int = 0) -> Any:
        """Fan chart of one episode as of `Imagination`, over what did happen. Returns the matplotlib figure."""
        from foreworld.evidence.plots import fan_chart

        figure = fan_chart(self, episode=episode, truth={"": self.factual[episode][None]})
        if path is not None:
            figure.savefig(path)
        return figure

    def _beside(self, names: Sequence[str]) -> dict[str, Float[np.ndarray, "episode step name"]]:
        return {"happened": spread(self.factual, self.targets)[2]}


def recall(
    model: Model,
    trajectories: Episodes,
    do: Do,
    *,
    at: Moment | Mapping[str | int, Moment],
    horizon: int | None = None,
    members: int = 200,
    seed: int = 0,
) -> Recollection:
    """Put the question together from what the user says, and answer it; see `WorldModel.recall`.

    Raises:
        QuestionError: nothing to do, a moment without a row, or a horizon beyond what happened.
    """
    if not do:
        raise QuestionError("do: say what is done otherwise; under the same actions the same would have happened")
    if not len(trajectories):
        raise QuestionError("there is no trajectory to recall")
    rows = rows_at(trajectories, at)
    after = [episode.steps - int(row) for episode, row in zip(trajectories, rows, strict=True)]
    steps = min(*after, model.config.horizon) if horizon is None else horizon
    if steps < 1 or members < 1:
        raise QuestionError(f"a horizon of {steps} steps and {members} members: at least one is needed of each")
    for episode, left in zip(trajectories, after, strict=True):
        if left < steps:
            raise QuestionError(f"'{episode.id}' has {left} rows after the moment, and {steps} steps are asked for")
    fact = cut(trajectories, [(index, int(row)) for index, row in enumerate(rows)], steps)
    return answer(model, trajectories, fact, apply_do(fact.histories, fact.plan, do), members=members, seed=seed)


def answer(
    model: Model, trajectories: Episodes, fact: Cases, plan: Plan, *, members: int = 200, seed: int = 0
) -> Recollection:
    """What would have happened under a plan that is already spelled out.

    Args:
        model: a world model.
        trajectories: whole, before and after the moment.
        fact: what was known at the moment of each trajectory, what was done then and what came of it.
        plan: what is done instead.
        members: sampled counterfactuals.
        seed: of the sampling.
    """
    rng = np.random.default_rng([seed, 4])
    count = max(members, SAMPLES)

    def futures(histories: Episodes, plan: Plan, count: int) -> Float[np.ndarray, "sample episode step target"]:
        # Worlds of one case are compared future by future: all are as wide as the networks say.
        plain = np.ones(plan.actions.shape[:2])
        # How a case differs is learnt here from all of its trajectory, and not a second time from its beginnings.
        return model.forecast(histories, plan, members=count, seed=seed, draws=1, growth=plain, individual=False)

    scaling = model.encoding.scaling
    # What came after the moment is left out here: it speaks to the smoother, of the response as of all else.
    rows = [history.steps for history in fact.histories]
    response = learn_response(futures, trajectories, scaling, plan.horizon, apart=rows)
    strength = response.draw(count, rng)
    worlds = [answering(futures, replace(fact, plan=actions), scaling, strength) for actions in (fact.plan, plan)]
    samples = _counterfactual(fact, worlds[0], worlds[1], rng)
    asked = Episodes(
        trajectories.schema,
        tuple(replace(h, pending=first) for h, first in zip(fact.histories, plan.actions[:, 0], strict=True)),
        trajectories.backend,
    )
    return Recollection(
        samples=bounded(samples[np.linspace(0, count - 1, members).round().astype(int)], trajectories.schema.targets),
        verdict=model.judge(asked, plan),
        histories=asked,
        plan=plan,
        factual=fact.truth,
        response=response,
    )


def answering(
    futures: Futures, cases: Cases, scaling: Scaling, strength: Float[np.ndarray, "sample episode target action"]
) -> Float[np.ndarray, "sample episode step target"]:
    """Futures in which every sample answers to its actions as strongly as was drawn; categories are left alone."""
    samples = futures(cases.histories, cases.plan, len(strength))
    continuous = [target.kind == "continuous" for target in cases.histories.schema.targets]
    stronger = np.where(np.array(continuous)[:, None], strength - 1, 0.0)
    for column, effect in enumerate(expected_effects(futures, cases, scaling, samples)):
        samples = samples + stronger[:, :, None, :, column] * effect
    return samples


def _counterfactual(
    fact: Cases,
    factual: Float[np.ndarray, "sample episode step target"],
    other: Float[np.ndarray, "sample episode step target"],
    rng: np.random.Generator,
) -> Float[np.ndarray, "sample episode step target"]:
    """Continuous targets by the smoother, categories by their Gumbels."""
    targets = fact.histories.schema.targets
    samples = np.empty(other.shape)
    continuous = [index for index, target in enumerate(targets) if target.kind == "continuous"]
    if continuous:
        pick = (..., continuous)
        samples[pick] = carry_over(factual[pick], other[pick], fact.truth[pick], rng)
    for index, target in enumerate(targets):
        if target.kind != "continuous":
            labels = max(target.width, 2)
            before, after = shares(factual[..., index], labels), shares(other[..., index], labels)
            samples[..., index] = same_gumbels(before, after, fact.truth[..., index], len(other), rng)
    return samples
