"""Does a question lie within what the model has seen? One calibrated score in [0, 1], with reasons.

Each ground (`verdict.GROUNDS`) becomes a conformal p-value among held-out questions; the smallest of them is ranked
among held-out questions in turn (Tippett's combination, with its distribution measured rather than assumed). So the
support of a question is the share of held-out questions that were at least as strange, and where nothing has changed it
is below ALARM for about a share ALARM of the questions. An action beyond the range of training, or a step beyond the
calibrated horizon, leaves no support at all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.reasoning.support.familiar import Familiar
from foreworld.reasoning.support.hindsight import Hindsight, look_back
from foreworld.reasoning.support.neighbours import Near
from foreworld.reasoning.support.overlap import actions_in_range
from foreworld.reasoning.support.ranks import Ranks
from foreworld.reasoning.support.reasons import Evidence, explain, nearest_names
from foreworld.reasoning.support.spread import spread_of
from foreworld.reasoning.support.verdict import GROUNDS, Verdict
from foreworld.world.build import Network

ALARM = 0.025  # Share of held-out questions that would be called unsupported; of new ones up to twice as many are.
LEARNT = len(GROUNDS) - 2  # Grounds that errors grow with: held-out questions last as training did.
FARTHEST = 4.0  # Logarithm of how strange a question is at most, where its error is told.
WIDEST = 5.0  # Times as wide, or as narrow, as its networks say can a forecast become.
TAIL = 4.0  # Beyond the largest evidence of held-out questions, p falls with this power of it.


@dataclass(frozen=True)
class Past:
    """What the grounds say of histories alone, whatever is done next.

    Attributes:
        near: the training beliefs that come nearest.
        readings: how far the latest rows are from those of training.
        level: how many deviations the readings are from the usual ones on average.
        missed: how far off the model was about the last rows, in multiples of what is usual.
    """

    near: Near
    readings: Float[np.ndarray, " episode"]
    level: Float[np.ndarray, "episode reading"]
    missed: Float[np.ndarray, "episode statistic channel"]


@dataclass(frozen=True)
class Support:
    """What held-out questions look like, and the training data that new ones are compared with.

    Attributes:
        familiar: what training was like.
        hindsight: how well held-out histories were foretold.
        usual, weights: median of each of what errors grow with (`Evidence.learnt`), and how much they do:
            (ground / usual) ** weight.
        between, error: usual disagreement, and usual error that forecasts let expect, scaled units.
        ranks: of each ground, by step.
        together: of 1 / smallest p of all grounds, by step.
        names: of the training episodes.
    """

    familiar: Familiar
    hindsight: Hindsight
    usual: Float[np.ndarray, "learnt step"]
    weights: Float[np.ndarray, " learnt"]
    between: Float[np.ndarray, "step target"]
    error: Float[np.ndarray, "step target"]
    ranks: Ranks
    together: Ranks
    names: tuple[str | int, ...]

    @property
    def horizon(self) -> int:
        """Steps that were calibrated."""
        return len(self.between)

    def look_back(self, network: Network, encoding: Encoding, beliefs: Tensor, histories: Episodes) -> Past:
        """What is known of histories before there is a plan; arguments as for `judge`."""
        missed = self.hindsight.relative(look_back(network, encoding, histories).mean(0))
        return Past(*self.familiar.past(beliefs, histories, encoding), missed)

    def judge(
        self,
        network: Network,
        encoding: Encoding,
        beliefs: Tensor,
        histories: Episodes,
        plan: Plan,
        individual: Float[np.ndarray, "ground episode step"],
        past: Past | None = None,
        drawn: Float[np.ndarray, "member draw episode step target"] | None = None,
    ) -> Verdict:
        """How far history and plan are within what was seen; after the first step that is not, none is.

        Args:
            network, encoding: of the model.
            beliefs: of the histories, as `encode_now` gives them.
            histories, plan: the questions.
            individual: what is known of each individual, see `Known.grounds`.
            past: as `look_back` gives it, where several plans are judged one after the other.
            drawn: futures of the questions, scaled, where they are there already and drawing them again is dear.
        """
        past = self.look_back(network, encoding, beliefs, histories) if past is None else past
        spread = spread_of(network, beliefs, histories, plan, encoding, drawn)
        evidence = gather(
            past,
            *self.familiar.course(histories, plan, encoding, self.horizon),
            spread.disagreement() / self.between[self._calibrated(plan.horizon)],
            individual,
        )
        return self._decide(evidence, encoding, histories, plan)

    def known(self, beliefs: Float[Tensor, "member episode latent"]) -> Bool[np.ndarray, " episode"]:
        """Whether histories alone, whatever is done next, are like those of training."""
        near = self.familiar.beliefs.of(beliefs)
        grounds = np.stack([near.distance.mean(0).numpy(), near.norm.mean(0).numpy()])
        return np.all(grounds <= self._borders(np.zeros(1, int))[:2], axis=0)

    def neighbours(self, beliefs: Float[Tensor, "member episode latent"]) -> tuple[tuple[str | int, ...], ...]:
        """Names of the training episodes that come nearest to each of some beliefs, encoded or imagined."""
        return nearest_names(self.familiar.beliefs.of(beliefs).episodes, self.names)

    def _decide(self, evidence: Evidence, encoding: Encoding, histories: Episodes, plan: Plan) -> Verdict:
        step = self._calibrated(plan.horizon)
        strange = strangeness(Ranks(self.ranks.values[:, step], self.ranks.tail), evidence.grounds)
        support = Ranks(self.together.values[step], self.together.tail).p(strange)
        inside = actions_in_range(histories, plan, encoding.scaling) & (np.arange(plan.horizon) < self.horizon)
        support = np.minimum.accumulate(np.where(inside, support, 0.0), axis=1)
        times = evidence.grounds / self._borders(step)[:, None]
        return Verdict(
            support=support,
            supported=support > ALARM,
            times=times,
            growth=growth(evidence.learnt, self.usual[:, step], self.weights),
            usual_error=self.error[step] * encoding.scaling.of(encoding.schema.targets)[1],
            neighbours=nearest_names(evidence.near, self.names),
            reasons=explain(evidence, times, support > ALARM, self.horizon, self.names, encoding, histories, plan),
        )

    def _calibrated(self, steps: int) -> Int[np.ndarray, " step"]:
        """The calibrated step that each step is held against: the last one for those beyond."""
        return np.minimum(np.arange(steps), self.horizon - 1)

    def _borders(self, step: Int[np.ndarray, " step"]) -> Float[np.ndarray, "ground step"]:
        """The evidence of each ground at which a question becomes unsupported."""
        least = np.broadcast_to(1 / self.together.border(np.full(self.horizon, ALARM)), self.ranks.values.shape[:2])
        return np.maximum(self.ranks.border(least), 1e-9)[:, step]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything fitted: arrays, and a dictionary that JSON takes."""
        arrays = self.familiar.state() | {
            "between": self.between,
            "error": self.error,
            "hindsight": self.hindsight.usual,
            "usual": self.usual,
            "weights": self.weights,
        }
        arrays |= {"ranks": self.ranks.values, "together": self.together.values}
        return {name: np.ascontiguousarray(value) for name, value in arrays.items()}, {"names": list(self.names)}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> "Support":
        """The inverse of `state`."""
        return cls(
            familiar=Familiar.from_state(arrays),
            hindsight=Hindsight(arrays["hindsight"]),
            usual=arrays["usual"],
            weights=arrays["weights"],
            between=arrays["between"],
            error=arrays["error"],
            ranks=Ranks(arrays["ranks"], TAIL),
            together=Ranks(arrays["together"], 1.0),
            names=tuple(settings["names"]),
        )


def gather(
    past: Past,
    steps: Near,
    load: Float[np.ndarray, "episode step dose"],
    disagreement: Float[np.ndarray, "episode step target"],
    individual: Float[np.ndarray, "ground episode step"],
) -> Evidence:
    """All grounds in one shape: each step counts with the ones before it, the largest so far."""
    shape = disagreement.shape[:2]
    unsettled, foretold = individual
    constant = np.ones((1, shape[1]))
    grounds = [
        past.near.distance.mean(0).numpy()[:, None] * constant,
        past.near.norm.mean(0).numpy()[:, None] * constant,
        past.readings[:, None] * constant,
        past.missed.max((1, 2))[:, None] * constant,
        disagreement.max(-1),
        steps.distance[0].unflatten(0, shape).numpy(),
        unsettled,
        past.level.max(-1, initial=0.0)[:, None] * constant,
        load.max(-1, initial=0.0),
    ]
    grounds = np.maximum.accumulate(np.stack(grounds).astype(np.float64), axis=-1)
    return Evidence(
        grounds=grounds,
        learnt=np.concatenate([grounds[:LEARNT], np.maximum.accumulate(foretold, axis=-1)[None]]),
        missed=past.missed,
        disagreement=disagreement,
        near=past.near.episodes,
        near_steps=steps.episodes[0].unflatten(0, shape),
        level=past.level,
        load=load,
    )


def relative(
    learnt: Float[np.ndarray, "learnt episode step"], usual: Float[np.ndarray, "learnt step"]
) -> Float[np.ndarray, "learnt episode step"]:
    """Logarithms of what errors grow with, zero where all is as usual; bounded, as nothing was learnt far outside."""
    return np.clip(np.log(np.maximum(learnt, 1e-6) / usual[:, None]), -FARTHEST, FARTHEST)


def growth(
    learnt: Float[np.ndarray, "learnt episode step"],
    usual: Float[np.ndarray, "learnt step"],
    weights: Float[np.ndarray, " learnt"],
) -> Float[np.ndarray, "episode step"]:
    """The error as a multiple of what the forecast says: product of (ground / usual) ** weight, at most WIDEST."""
    return np.exp(np.einsum("ges,g->es", relative(learnt, usual), weights)).clip(1 / WIDEST, WIDEST)


def strangeness(ranks: Ranks, grounds: Float[np.ndarray, "ground episode step"]) -> Float[np.ndarray, "episode step"]:
    """One over the smallest p of all grounds, the largest up to each step."""
    smallest = ranks.p(np.moveaxis(grounds, 1, 0)).min(1)
    return np.maximum.accumulate(1 / smallest, axis=-1)
