"""Is the history like those of training? Two looks at its belief: the nearest training belief, and the norm.

Both see beliefs in whitened coordinates, so that the scale and the correlation that training happened to give them do
not matter. The norm (a Mahalanobis distance) is the latent-norm shell that notices shifts to which an ensemble is blind
(docs/decisions/support.md).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.reasoning.support.neighbours import nearest

FLOOR = 1e-3  # Of the mean variance; directions of less are not blown up to it.


@dataclass(frozen=True)
class Familiar:
    """Training beliefs of each member, whitened.

    Attributes:
        centre, whitening: beliefs become (belief - centre) @ whitening.
        references, episode: training beliefs, and the episode of each, by position.
    """

    centre: Float[Tensor, "member 1 latent"]
    whitening: Float[Tensor, "member latent latent"]
    references: Float[Tensor, "member reference latent"]
    episode: Int[Tensor, "member reference"]

    @classmethod
    def fit(
        cls, beliefs: Float[Tensor, "member reference latent"], episode: Int[Tensor, "member reference"]
    ) -> "Familiar":
        """Whiten the training beliefs and keep them."""
        centre = beliefs.mean(1, keepdim=True)
        whitening = whiten(beliefs - centre)
        return cls(centre, whitening, (beliefs - centre) @ whitening, episode)

    def measure(
        self, beliefs: Float[Tensor, "member episode latent"]
    ) -> tuple[
        Float[Tensor, "member episode"], Float[Tensor, "member episode"], Int[Tensor, "member episode neighbour"]
    ]:
        """Distance to the nearest training beliefs, distance from their mean, and the nearest episodes; by member."""
        white = (beliefs - self.centre) @ self.whitening
        found = [nearest(*parts) for parts in zip(white, self.references, self.episode, strict=True)]
        distance, episodes = (torch.stack(parts) for parts in zip(*found, strict=True))
        return distance, white.norm(dim=-1), episodes


def whiten(centred: Float[Tensor, "*group row value"]) -> Float[Tensor, "*group value value"]:
    """The matrix that gives these rows unit covariance, but for directions in which they hardly vary."""
    rows, values = centred.shape[-2:]
    covariance = centred.transpose(-1, -2).double() @ centred.double() / max(rows - 1, 1)
    variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None].clamp_min(1e-30)
    power, axes = torch.linalg.eigh(covariance + FLOOR * variance * torch.eye(values, dtype=torch.float64))
    return (axes * power.rsqrt()[..., None, :] @ axes.transpose(-1, -2)).to(centred.dtype)
