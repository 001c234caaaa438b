"""What the networks are expected to miss along each candidate: about this individual, and about everybody.

Both are linear in the leaky sums of the actions and in what the networks say (`foreworld.reasoning.individual`). So all
else is added up once, and a candidate costs its own few columns.
"""

from collections.abc import Sequence
from copy import copy

import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.scaling import Encoding
from foreworld.reasoning.individual.look import LEAST, Terms
from foreworld.reasoning.individual.population import Known


class Missed:
    """The misses to be expected of candidates after some histories.

    Args:
        known: of the individual behind each.
        facts: of histories and plan, whose actions are those of no candidate.
        encoding: of the model.
    """

    def __init__(self, known: Known, facts: Terms, encoding: Encoding):
        alike = known.population.alike
        centre, scale = encoding.scaling.of(encoding.schema.targets)
        self.centre, self.scale = torch.from_numpy(centre).float(), torch.from_numpy(scale).float()
        self.start, self.slope = (torch.from_numpy(part).float() for part in known.by_sums(facts))
        weights, most = (torch.from_numpy(part).float() for part in alike.at(facts))
        place = slice(facts.row.shape[1], -1)
        self.weights, self.most = weights[..., place], most
        self.usual, self.unit = (
            torch.from_numpy(part[facts.row.shape[1] :]).float() for part in (alike.centre, alike.scale)
        )
        row = (facts.row - alike.centre[: place.start]) / alike.scale[: place.start]
        told = torch.from_numpy(row).float()
        self.constant = torch.einsum("er,str->est", told, weights[..., : place.start]) + weights[..., -1]

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

        `features` end with the sums of the actions.
        """
        sums = features[..., features.shape[-1] - self.slope.shape[-1] :]
        own = self.start[:, None] + torch.einsum("ecsm,estm->ecst", sums, self.slope)
        said = (mean - self.centre) / self.scale
        said = (torch.cat([said, said[:, :, :1].expand_as(said)], -1) - self.usual) / self.unit
        alike = self.constant[:, None] + torch.einsum("ecsr,str->ecst", said, self.weights)
        return own * width.maximum(LEAST * self.scale) + alike.clamp(-self.most, self.most) * self.scale
