"""The forecast that infusion pumps and advisory displays make: the published model of a typical patient.

Target-controlled infusion follows the concentrations of a typical patient of this age, height, weight and sex under
the rates given so far; displays such as SmartPilot View add the typical response. Here a patient's departure from it
in the last minutes persists to a degree that is learnt, and departures in training episodes are the uncertainty.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan, cut
from foreworld.domains import anaesthesia_model as model
from foreworld.domains.anaesthesia_policy import PROPOFOL, REMIFENTANIL
from foreworld.errors import QuestionError, TrainingError

CASES = 2000
RECENT = 5  # rows whose departures are averaged
QUANTILES = 200


@dataclass(frozen=True)
class PopulationModel:
    """Typical kinetics and response, with departures that persist.

    Attributes:
        persistence: share of the recent mean departure that is left, by step and target.
        departures: quantiles of what remains, at evenly spread levels.
    """

    persistence: Float[np.ndarray, "step target"]
    departures: Float[np.ndarray, "level step target"]

    @classmethod
    def fit(cls, episodes: Episodes, horizon: int) -> "PopulationModel":
        """Learn how departures persist from evenly spread origins.

        Raises:
            TrainingError: no episode is longer than the horizon.
        """
        places = [(index, row) for index, episode in enumerate(episodes) for row in range(episode.steps - horizon + 1)]
        if not places:
            raise TrainingError(f"no training episode has more than {horizon} rows, which a horizon of {horizon} needs")
        chosen = np.unique(np.linspace(0, len(places) - 1, min(CASES, len(places))).astype(int))
        cases = cut(episodes, [places[place] for place in chosen], horizon)
        expected, now = _expect(cases.histories, cases.plan)
        error = cases.truth - expected
        share = np.einsum("ct,cst->st", now, error) / np.maximum(np.square(now).sum(0), 1e-12)
        level = (np.arange(QUANTILES) + 0.5) / QUANTILES
        return cls(share, np.quantile(error - share * now[:, None], level, axis=0))

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled futures of BIS and tolerance; steps are independent of each other.

        Raises:
            QuestionError: the plan is longer than the horizon.
        """
        steps = len(self.persistence)
        if plan.horizon > steps:
            raise QuestionError(f"the plan has {plan.horizon} steps, but this baseline was fitted for {steps}")
        expected, now = _expect(histories, plan)
        centre = expected + self.persistence[: plan.horizon] * now[:, None]
        level = np.random.default_rng(seed).random((members, 1, *centre.shape[1:]))
        # The level of a member is stratified, so that a few members show the whole distribution.
        level = (np.argsort(level, axis=0) + 0.5) / members
        place = np.minimum((level * QUANTILES).astype(int), QUANTILES - 1)
        drawn = np.take_along_axis(self.departures[:, None, : plan.horizon], place, axis=0)
        low, high = np.array([(target.low, target.high) for target in histories.schema.targets]).T
        return np.clip(centre + drawn, low, high)


def _expect(
    histories: Episodes, plan: Plan
) -> tuple[Float[np.ndarray, "episode step target"], Float[np.ndarray, "episode target"]]:
    """What typical patients would show under each plan, and how the patients departed from it lately."""
    departed = []
    bodies = model.Bodies(*np.stack([episode.static for episode in histories]).T.astype(np.float64))
    minutes = plan.time[0, 0] - histories[0].time[-1]
    past = max(episode.steps for episode in histories)
    # Pumps that are not yet running change nothing: shorter histories begin with some minutes of zero rates.
    given = np.stack([np.pad(episode.actions, ((past - episode.steps, 0), (0, 0))) for episode in histories])
    shown = _simulate(bodies, np.concatenate([given, plan.actions], axis=1), minutes)
    for index, episode in enumerate(histories):
        recent = min(RECENT, episode.steps + 1)
        seen = episode.observations[-recent:]
        departed.append(np.mean(seen - shown[index, past + 1 - recent : past + 1], axis=0))
    return shown[:, past + 1 :], np.stack(departed)


def _simulate(
    bodies: model.Bodies, actions: Float[np.ndarray, "episode step action"], minutes: float
) -> Float[np.ndarray, "episode row target"]:
    """BIS and tolerance of typical patients who begin without drugs."""
    steps = [model.transition(kinetics, minutes) for kinetics in (model.schnider(bodies), model.minto(bodies))]
    response = model.typical_response(len(actions))
    levels = [np.zeros((4, len(actions))), np.zeros((4, len(actions)))]
    shown = []
    for row in range(actions.shape[1] + 1):
        effect = levels[0][3], levels[1][3], response
        shown.append(np.stack([model.bis(*effect), model.tolerance(*effect)], axis=1))
        if row < actions.shape[1]:
            rates = (actions[:, row, PROPOFOL] * bodies.weight / 60, actions[:, row, REMIFENTANIL] * bodies.weight)
            levels = [model.advance(*drug) for drug in zip(levels, rates, steps, strict=True)]
    return np.stack(shown, axis=1)
