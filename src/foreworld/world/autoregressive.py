"""What networks have in common that imagine a future by inventing observations, one after another."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from foreworld.data.batches import Batch
from foreworld.world.config import FitConfig


@dataclass(frozen=True)
class Futures:
    """Sampled futures of the targets, in scaled units; categories as indices.

    Attributes:
        values: of the targets.
        malformed: which of them could not be read from what the network wrote. In their place stands the last value
            that could be, of the same future or else of the history.
        states: the network's own state after each step, mean over the draws.
    """

    values: Float[Tensor, "member draw case step target"]
    malformed: Bool[Tensor, "member draw case step target"]
    states: Float[Tensor, "member case step hidden"]


class Autoregressive(nn.Module):
    """A network that reads rows and samples the next ones.

    Attributes:
        config: how it was built.
        reach: rows of history that it reads, at most.
    """

    config: FitConfig
    reach: int

    @property
    def encoder(self) -> "Autoregressive":
        """The network itself: its state after each row stands for a belief."""
        return self

    def futures(
        self,
        rows: Float[Tensor, "case row input"],
        last: Int[Tensor, " case"],
        moves: Float[Tensor, "case step move"],
        *,
        draws: int,
        generator: torch.Generator,
    ) -> Futures:
        """Go on from the row `last` of each history along a plan."""
        raise NotImplementedError


def prompted(batch: Batch) -> Float[Tensor, "member batch time input"]:
    """Rows as such a network meets them: as they were seen up to an anchor, after it as sound as its own futures."""
    seen = torch.arange(batch.history.shape[2]) <= batch.anchors[..., :1]
    return torch.where(seen[..., None], batch.history, batch.recorded)


def tail(
    rows: Float[Tensor, "case row input"], last: Int[Tensor, " case"], length: int
) -> tuple[Float[Tensor, "case length input"], Bool[Tensor, "case length"]]:
    """The rows up to `last`, aligned at their end, and which of them exist."""
    place = last[:, None] - length + 1 + torch.arange(length)
    index = place.clamp(min=0)[..., None].expand(-1, -1, rows.shape[-1])
    return rows.gather(1, index), place >= 0


def carried(
    values: Float[Tensor, "member draw case step target"], before: Float[Tensor, "case target"]
) -> Float[Tensor, "member draw case step target"]:
    """Each value that is NaN replaced by the last one before it; by zero, the mean, where there is none."""
    kept = torch.nan_to_num(before).expand(values.shape[:3] + before.shape[1:])
    filled = []
    for value in values.unbind(3):
        kept = torch.where(torch.isfinite(value), value, kept)
        filled.append(kept)
    return torch.stack(filled, dim=3)
