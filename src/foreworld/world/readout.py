"""The readout: o_t = read(s_t), a distribution over every observation, of which the targets are asked for."""

from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.data.layout import reading_order
from foreworld.data.schema import Schema, Variable
from foreworld.nets.ensemble import MLP, Linear, affine
from foreworld.world import scores
from foreworld.world.config import FitConfig
from foreworld.world.levels import Levels


@dataclass(frozen=True)
class Reading:
    """Parameters of the distributions of variables given a belief: a normal, or logits of a binary or categorical."""

    outputs: Float[Tensor, "*batch output"]
    variables: tuple[Variable, ...]

    def parts(self) -> list[Float[Tensor, "*batch _"]]:
        """The outputs of each variable: mean and raw deviation, one logit, or one logit a category."""
        return list(self.outputs.split([output_width(variable) for variable in self.variables], dim=-1))


def output_width(variable: Variable) -> int:
    """Outputs of the readout for one variable."""
    return {"continuous": 2, "binary": 1, "categorical": variable.width}[variable.kind]


class Readout(nn.Module):
    """An MLP from a belief to the distribution of each observation.

    Attributes:
        observations: all of them, targets first.
        targets: the targets.
        asked: outputs that belong to the targets; they come first.
        means: places among the outputs of the targets' means, of those that have a level; in the order of levels.
        all_means: the same of all observations.
    """

    def __init__(self, config: FitConfig, schema: Schema, levels: Levels, *, generator: torch.Generator):
        super().__init__()
        self.observations = tuple(schema.observations[index] for index in reading_order(schema))
        self.targets = schema.targets
        starts = np.cumsum([0] + [output_width(variable) for variable in self.observations])
        self.asked = int(starts[len(self.targets)])
        widths = [levels.count + config.latent, config.hidden, int(starts[-1])]
        self.net = MLP(config.members, widths, generator=generator)
        self.all_means = torch.from_numpy(starts[levels.places].astype(np.int64))
        self.means = self.all_means[self.all_means < self.asked]
        last = self.net.layers[-1]
        assert isinstance(last, Linear)
        last.weight.data[..., self.all_means] = 0.0
        last.bias.data[..., self.all_means] = 0.0
        last.bias.data[..., self.all_means + 1] = torch.log(torch.expm1(torch.tensor(levels.change) / 2))

    def forward(self, belief: Float[Tensor, "member *batch latent"]) -> Reading:
        """The targets."""
        first, last = self.of_targets()
        hidden = nn.functional.silu(affine(belief.flatten(1, -2), *first))
        outputs = affine(hidden, *last).reshape(*belief.shape[:-1], self.asked)
        return Reading(outputs.index_add(-1, self.means, belief[..., : len(self.means)]), self.targets)

    def of_targets(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Weight and bias of both layers, of the second what leads to the targets."""
        first, last = (cast(Linear, layer) for layer in self.net.layers)
        return (first.weight, first.bias), (last.weight[..., : self.asked], last.bias[..., : self.asked])

    def everything(self, belief: Float[Tensor, "member *batch latent"]) -> Reading:
        """Every observation, targets first."""
        outputs = self.net(belief)
        return Reading(outputs.index_add(-1, self.all_means, belief[..., : len(self.all_means)]), self.observations)


def deviation(raw: Tensor) -> Tensor:
    """A positive standard deviation from an unbounded output."""
    return nn.functional.softplus(raw) + 1e-3


def binary_logits(logit: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch 2"]:
    """A binary as a categorical of two."""
    return torch.cat([torch.zeros_like(logit), logit], dim=-1)


def reading_score(readings: Reading, truth: Float[Tensor, "*batch variable"]) -> Float[Tensor, "*batch variable"]:
    """Proper score of each variable: CRPS, or the log score for categories. Zero where the truth is missing.

    Args:
        readings: with a leading axis of one (a single distribution) or two (draws of a mixture).
        truth: scaled values, NaN where missing.
    """
    present = torch.isfinite(truth)
    seen = torch.where(present, truth, 0.0)
    losses, start, output = [], 0, 0
    # Neighbours that are continuous go together: there may be hundreds.
    for continuous, group in groupby(readings.variables, key=lambda variable: variable.kind == "continuous"):
        variables = list(group)
        for run in [variables] if continuous else [[variable] for variable in variables]:
            width = sum(output_width(variable) for variable in run)
            part = readings.outputs[..., output : output + width]
            came = seen[..., start : start + len(run)]
            losses.append(_continuous(part, came) if continuous else _categorical(run[0], part, came))
            start, output = start + len(run), output + width
    return torch.where(present, torch.cat(losses, dim=-1), 0.0)


def _continuous(part: Float[Tensor, "draw *batch output"], came: Float[Tensor, "*batch variable"]) -> Tensor:
    mean, raw = part.unflatten(-1, (-1, 2)).unbind(-1)
    spread = deviation(raw)
    return scores.normal_crps(mean[0], spread[0], came) if len(mean) == 1 else scores.mixture_crps(mean, spread, came)


def _categorical(
    variable: Variable, part: Float[Tensor, "draw *batch output"], came: Float[Tensor, "*batch 1"]
) -> Tensor:
    logits = binary_logits(part) if variable.kind == "binary" else part
    one_hot = nn.functional.one_hot(came[..., 0].long(), logits.shape[-1]).to(logits.dtype)
    return scores.mixture_log_score(logits, one_hot)[..., None]
