"""The readout: y_t = read(s_t), a distribution over every target."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.data.schema import Variable
from foreworld.nets.ensemble import MLP, Linear
from foreworld.world import scores
from foreworld.world.config import FitConfig
from foreworld.world.levels import Levels


@dataclass(frozen=True)
class Reading:
    """Parameters of the targets' distribution given a belief: a normal, or logits of a binary or categorical."""

    outputs: Float[Tensor, "*batch output"]
    variables: tuple[Variable, ...]

    def parts(self) -> list[Float[Tensor, "*batch _"]]:
        """The outputs of each target: mean and raw deviation, one logit, or one logit a category."""
        return list(self.outputs.split([output_width(variable) for variable in self.variables], dim=-1))


def output_width(variable: Variable) -> int:
    """Outputs of the readout for one target."""
    return {"continuous": 2, "binary": 1, "categorical": variable.width}[variable.kind]


class Readout(nn.Module):
    """An MLP from a belief to the distribution of each target."""

    def __init__(
        self, config: FitConfig, variables: tuple[Variable, ...], levels: Levels, *, generator: torch.Generator
    ):
        super().__init__()
        self.variables = variables
        outputs = sum(output_width(variable) for variable in variables)
        self.net = MLP(config.members, [levels.count + config.latent, config.hidden, outputs], generator=generator)
        starts = np.cumsum([0] + [output_width(variable) for variable in variables])
        self.means = torch.from_numpy(starts[levels.targets].astype(np.int64))
        last = self.net.layers[-1]
        assert isinstance(last, Linear)
        last.weight.data[..., self.means] = 0.0
        last.bias.data[..., self.means] = 0.0
        last.bias.data[..., self.means + 1] = torch.log(torch.expm1(torch.tensor(levels.change) / 2))

    def forward(self, belief: Float[Tensor, "member *batch latent"]) -> Reading:
        return Reading(self.net(belief).index_add(-1, self.means, belief[..., : len(self.means)]), self.variables)


def deviation(raw: Tensor) -> Tensor:
    """A positive standard deviation from an unbounded output."""
    return nn.functional.softplus(raw) + 1e-3


def binary_logits(logit: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch 2"]:
    """A binary as a categorical of two."""
    return torch.cat([torch.zeros_like(logit), logit], dim=-1)


def reading_score(readings: Reading, truth: Float[Tensor, "*batch target"]) -> Float[Tensor, "*batch target"]:
    """Proper score of each target: CRPS, or the log score for categories. Zero where the truth is missing.

    Args:
        readings: with a leading axis of one (a single distribution) or two (draws of a mixture).
        truth: scaled targets, NaN where missing.
    """
    losses = []
    for index, (variable, part) in enumerate(zip(readings.variables, readings.parts(), strict=True)):
        seen = truth[..., index]
        present = torch.isfinite(seen)
        seen = torch.where(present, seen, 0.0)
        if variable.kind == "continuous":
            mean, spread = part[..., 0], deviation(part[..., 1])
            single = part.shape[0] == 1
            loss = scores.normal_crps(mean[0], spread[0], seen) if single else scores.mixture_crps(mean, spread, seen)
        else:
            logits = binary_logits(part) if variable.kind == "binary" else part
            one_hot = nn.functional.one_hot(seen.long(), logits.shape[-1]).to(logits.dtype)
            loss = scores.mixture_log_score(logits, one_hot)
        losses.append(torch.where(present, loss, 0.0))
    return torch.stack(losses, dim=-1)
