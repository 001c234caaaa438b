"""What is near in the training data, and how near: beliefs and actions are looked up in the same way.

Rows are whitened, so that the scale and the correlation that training happened to give them do not matter. There are
two measures, as either is blind where the other sees: the distance to the nearest rows of training (Sun et al., ICML
2022), and the norm, a Mahalanobis distance from their mean (Lee et al., NeurIPS 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.cores import on_each_core

NEAREST = 3  # The distance is the mean over so many: one odd row in the training data is not yet support.
REFERENCES = 4096  # Rows kept of a sample.
CHUNK = 2_000_000  # Distances at a time.


@dataclass(frozen=True)
class Near:
    """What was found.

    Attributes:
        distance: mean over the nearest rows.
        norm: distance from the mean of all.
        episodes: of the nearest rows, by position, the nearest first.
    """

    distance: Float[Tensor, "group row"]
    norm: Float[Tensor, "group row"]
    episodes: Int[Tensor, "group row neighbour"]


@dataclass(frozen=True)
class Neighbours:
    """Rows of the training data, in groups that are asked apart, such as the beliefs of each member.

    Attributes:
        centre, whitening: a row becomes (row - centre) @ whitening.
        references, episode: rows of training, whitened, and the episode of each, by position.
    """

    centre: Float[Tensor, "group 1 value"]
    whitening: Float[Tensor, "group value value"]
    references: Float[Tensor, "group reference value"]
    episode: Int[Tensor, "group reference"]

    @classmethod
    def fit(
        cls, rows: Float[Tensor, "group reference value"], episode: Int[Tensor, "group reference"], floor: float
    ) -> "Neighbours":
        """Whiten the rows and keep them; directions of less than this share of the mean variance are not blown up."""
        centre = rows.mean(1, keepdim=True)
        covariance = (rows - centre).mT.double() @ (rows - centre).double() / rows.shape[1]
        variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None].clamp_min(1e-12)
        least = floor * variance * torch.eye(rows.shape[-1], dtype=torch.float64)
        power, axes = torch.linalg.eigh(covariance + least)
        whitening = (axes * power.rsqrt()[..., None, :] @ axes.mT).to(rows.dtype)
        return cls(centre, whitening, (rows - centre) @ whitening, episode)

    @classmethod
    def sample(
        cls, rows: Sequence[Float[np.ndarray, "_ value"]], floor: float, rng: np.random.Generator
    ) -> "Neighbours":
        """Up to REFERENCES of the rows of all episodes, drawn at random, as one group."""
        episode = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
        every = np.concatenate(rows)
        kept = np.sort(rng.permutation(len(every))[:REFERENCES])
        return cls.fit(torch.from_numpy(every[kept])[None], torch.from_numpy(episode[kept])[None], floor)

    def state(self, name: str) -> dict[str, np.ndarray]:
        """Everything, by name."""
        return {f"{name}.{part.name}": getattr(self, part.name).numpy() for part in fields(Neighbours)}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], name: str) -> "Neighbours":
        """The inverse of `state`; arrays of other names are left alone."""
        return cls(*(torch.from_numpy(arrays[f"{name}.{part.name}"]) for part in fields(Neighbours)))

    def of(self, rows: Float[Tensor, "group row value"], but: Int[Tensor, " row"] | None = None) -> Near:
        """Look rows up.

        Args:
            rows: as they are, by group.
            but: an episode that does not count, for each row.
        """
        white = (rows - self.centre) @ self.whitening
        size = max(1, CHUNK // self.episode.numel())
        exclude = [None] * -(-rows.shape[1] // size) if but is None else but.split(size)
        found = on_each_core(self._nearest, white.split(size, 1), exclude)
        distance, episodes = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return Near(distance, white.norm(dim=-1), episodes)

    def _nearest(
        self, white: Float[Tensor, "group row value"], but: Int[Tensor, " row"] | None
    ) -> tuple[Float[Tensor, "group row"], Int[Tensor, "group row neighbour"]]:
        away = torch.cdist(white, self.references)
        if but is not None:
            away[but[None, :, None] == self.episode[:, None]] = torch.inf
        least, place = away.topk(min(NEAREST, away.shape[-1]), largest=False)
        # Where other episodes have too few rows, those that they have must do.
        known = torch.isfinite(least)
        distance = torch.where(known, least, 0).sum(-1) / known.sum(-1).clamp_min(1)
        return distance, self.episode[:, None].expand_as(away).gather(-1, place)
