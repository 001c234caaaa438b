"""What the networks are expected to miss along each candidate: about this individual, and about everybody.

Both are linear in the actions, in their leaky sums and in what the networks say (`foreworld.reasoning.individual`). So
all else is added up once, and a candidate costs its own few columns.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.layout import move_columns
from foreworld.data.memory import memory_width
from foreworld.data.scaling import Encoding
from foreworld.reasoning.individual.look import LEAST, Terms
from foreworld.reasoning.individual.population import Known


def acted_columns(encoding: Encoding) -> list[int]:
    """Where the actions and their leaky sums stand among the columns of a move: what a candidate decides."""
    acted, memory = move_columns(encoding)[0], encoding.width("action")
    values = [place for column in acted for place in range(column.start, column.start + column.variable.width)]
    return [*values, *range(memory, memory + memory_width(encoding))]


class Missed:
    """The misses to be expected of candidates after some histories.

    Args:
        known: of the individual behind each.
        facts: of histories and plan, whose actions are those of no candidate.
        encoding: of the model.
    """

    def __init__(self, known: Known, facts: Terms, encoding: Encoding):
        alike, acted = known.population.alike, acted_columns(encoding)
        centre, scale = encoding.scaling.of(encoding.schema.targets)
        self.centre, self.scale = torch.from_numpy(centre).float(), torch.from_numpy(scale).float()
        self.start, self.slope = (torch.from_numpy(part).float() for part in known.by_sums(facts))
        first = facts.row.shape[1]
        decided, said = [first + column for column in acted], range(first + facts.moves.shape[2], len(alike.centre))
        others = alike.weights.copy()
        others[..., [*decided, *said]] = 0.0
        moves = facts.moves.copy()
        moves[..., [column.flag for column in move_columns(encoding)[0]]] = 1.0  # Every action is known.
        nothing = np.zeros((*moves.shape[:2], len(centre)))
        constant = replace(alike, weights=others, most=np.full_like(alike.most, 1e9)).shift(
            replace(facts, moves=moves), nothing
        )
        self.constant = torch.from_numpy(constant).float()
        weights, most = alike.at(facts)
        self.most = torch.from_numpy(most).float()
        self.parts = [
            tuple(torch.from_numpy(part[..., places]).float() for part in (alike.centre, alike.scale, weights))
            for places in (decided, list(said))
        ]

    def take(self, episodes: Sequence[int]) -> "Missed":
        """The same, after some of the histories."""
        some = copy(self)
        some.start, some.slope, some.constant = self.start[episodes], self.slope[episodes], self.constant[episodes]
        return some

    def along(
        self,
        features: Float[Tensor, "episode candidate step feature"],
        mean: Float[Tensor, "episode candidate step target"],
        width: Float[Tensor, "episode candidate step target"],
    ) -> Float[Tensor, "episode candidate step target"]:
        """In native units, as `mean` and `width` of what the networks say are.

        `features` are the actions and sums of `acted_columns`, encoded.
        """
        sums = features[..., features.shape[-1] - self.slope.shape[-1] :]
        own = self.start[:, None] + torch.einsum("ecsm,estm->ecst", sums, self.slope)
        alike = self.constant[:, None]
        said = (mean - self.centre) / self.scale
        said = torch.cat([said, said[:, :, :1].expand_as(said)], -1)
        for values, (centre, scale, weights) in zip((features, said), self.parts, strict=True):
            alike = alike + torch.einsum("ecsf,stf->ecst", (values - centre) / scale, weights)
        return own * width.maximum(LEAST * self.scale) + alike.clamp(-self.most, self.most) * self.scale
