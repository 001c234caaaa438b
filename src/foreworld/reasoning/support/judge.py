"""Does a question lie within what the model has seen? One calibrated score in [0, 1], with reasons.

Each ground (`verdict.GROUNDS`) becomes a conformal p-value among held-out questions; the smallest of them is ranked among
held-out questions in turn (Tippett's combination, with its distribution measured rather than assumed). So the support of
a question is the share of held-out questions that were at least as strange, and where nothing has changed it is below
ALARM for a share ALARM of the questions. An action beyond the range of training, or a step beyond the calibrated horizon,
leaves no support at all.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding, Scaling
from foreworld.reasoning.support.error import ErrorModel
from foreworld.reasoning.support.evidence import Evidence, Measures
from foreworld.reasoning.support.familiar import Familiar
from foreworld.reasoning.support.hindsight import Hindsight
from foreworld.reasoning.support.overlap import Overlap
from foreworld.reasoning.support.ranks import Ranks
from foreworld.reasoning.support.reasons import allowed, explain, nearest_names
from foreworld.reasoning.support.verdict import Verdict
from foreworld.world.network import WorldNetwork

ALARM = 0.02  # Share of questions like those of training that are called unsupported.


@dataclass(frozen=True)
class Support:
    """What held-out questions look like, and the training data that new ones are compared with.

    Attributes:
        measures: how evidence is measured.
        ranks: of each ground, by step.
        together: of the largest -log p of all grounds, by step.
        usual: median evidence of each ground.
        error: how wrong forecasts are.
        names: of the training episodes.
    """

    measures: Measures
    ranks: Ranks
    together: Ranks
    usual: Float[np.ndarray, " ground"]
    error: ErrorModel
    names: tuple[str | int, ...]

    @property
    def horizon(self) -> int:
        """Steps that were calibrated."""
        return self.together.knots.shape[0]

    def judge(self, network: WorldNetwork, encoding: Encoding, histories: Episodes, plan: Plan) -> Verdict:
        """How far history and plan of each question are within what was seen; after the first step that is not, none is."""
        evidence = self.measures.of(network, encoding, histories, plan)
        return self.decide(evidence, encoding, histories, plan)

    def decide(self, evidence: Evidence, encoding: Encoding, histories: Episodes, plan: Plan) -> Verdict:
        """From evidence to a verdict."""
        step = np.minimum(np.arange(plan.horizon), self.horizon - 1)
        strange = self._strange(evidence.grounds, step)
        support = Ranks(self.together.shares, self.together.knots[step]).p(strange)
        inside = actions_in_range(histories, plan, encoding.scaling) & (np.arange(plan.horizon) < self.horizon)
        support = np.minimum.accumulate(np.where(inside, support, 0.0), axis=1)
        times = evidence.grounds / self._borders(step)[:, None]
        # Within the borders what was learnt says how wrong the forecast is; beyond them nothing was learnt.
        error = self.error.expect(evidence.features(self.usual)) * np.maximum(times.max(0), 1)[..., None]
        return Verdict(
            support=support,
            supported=support > ALARM,
            times=times,
            error=error,
            nearest=nearest_names(evidence, self.names),
            reasons=explain(evidence, times, support > ALARM, self.horizon, self.names, encoding, histories, plan),
        )

    def _strange(
        self, grounds: Float[np.ndarray, "ground episode step"], step: np.ndarray
    ) -> Float[np.ndarray, "episode step"]:
        """-log of the smallest p of all grounds, the largest so far."""
        return strangeness(Ranks(self.ranks.shares, self.ranks.knots[:, step]), grounds)

    def _borders(self, step: np.ndarray) -> Float[np.ndarray, "ground step"]:
        """The evidence of each ground at which a question becomes unsupported."""
        least = np.exp(-self.together.border(ALARM))
        return self.ranks.border(np.broadcast_to(least, self.ranks.knots.shape[:2]))[:, step]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Everything fitted: arrays, and a dictionary that JSON takes."""
        measures = self.measures
        parts = {"familiar": measures.familiar, "hindsight": measures.hindsight, "overlap": measures.overlap}
        arrays = {
            f"{name}.{field}": value.numpy() for name, part in parts.items() for field, value in vars(part).items()
        }
        for name, ranks in (("ranks", self.ranks), ("together", self.together)):
            arrays |= {f"{name}.{field}": value for field, value in vars(ranks).items()}
        arrays |= {"between": measures.between, "within": measures.within, "usual": self.usual}
        arrays |= {f"error.{field}": value for field, value in vars(self.error).items()}
        return {name: np.ascontiguousarray(value) for name, value in arrays.items()}, {"names": list(self.names)}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], config: dict[str, Any]) -> "Support":
        """The inverse of `state`."""

        def part(kind: Any, name: str, convert: Any = lambda value: value) -> Any:
            start = f"{name}."
            return kind(**{key[len(start) :]: convert(value) for key, value in arrays.items() if key.startswith(start)})

        measures = Measures(
            familiar=part(Familiar, "familiar", torch.from_numpy),
            hindsight=part(Hindsight, "hindsight", torch.from_numpy),
            overlap=part(Overlap, "overlap", torch.from_numpy),
            between=arrays["between"],
            within=arrays["within"],
        )
        ranks, together = part(Ranks, "ranks"), part(Ranks, "together")
        return cls(measures, ranks, together, arrays["usual"], part(ErrorModel, "error"), tuple(config["names"]))


def strangeness(
    ranks: Ranks, grounds: Float[np.ndarray, "ground episode step"]
) -> Float[np.ndarray, "episode step"]:
    """-log of the smallest p of all grounds, the largest up to each step."""
    chances = ranks.p(np.moveaxis(grounds, 1, 0))
    return np.maximum.accumulate(-np.log(chances.min(1)), axis=-1)


def actions_in_range(histories: Episodes, plan: Plan, scaling: Scaling) -> Bool[np.ndarray, "episode step"]:
    """Whether every action of a step lies in the range of the training data, with 5% of the range to spare."""
    low, high = allowed(histories.schema.actions, scaling)
    return np.all(~((plan.actions < low) | (plan.actions > high)), axis=-1)
