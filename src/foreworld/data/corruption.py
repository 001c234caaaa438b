"""Readings as practice has them: through noise, and with gaps.

Where training knows clean and complete readings alone, a belief trusts them to the last digit: with a tenth of a
deviation of noise, or with some values missing, errors are two to four times as large. So a small share of the
histories is corrupted, and what follows them is to be foretold as it was recorded, in the manner of denoising
autoencoders (Vincent et al., ICML 2008).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foreworld.data.increments import increments_width
from foreworld.data.layout import observed_columns
from foreworld.data.scaling import INCREMENT_LAGS, LIMIT, Encoding

LEAD = max(INCREMENT_LAGS)  # Rows before a stretch that its increments look back to.
NOISE = (
    0.03,
    1.0,
)  # Range of the deviation of the noise on a channel, in its own; log-uniform.
HEARD = 0.7  # Share of the channels that there is noise on.
GAPS = 0.5  # The largest share of the values of a variable that are missing.


class Corruption:
    """Puts noise and gaps into what is seen in a share of the histories, of other strength in every channel.

    Args:
        encoding: of the data.
        noisy, gappy: shares of the histories with noise on continuous observations, and with values missing.
    """

    def __init__(self, encoding: Encoding, *, noisy: float, gappy: float):
        self.noisy, self.gappy = noisy, gappy
        self.columns = observed_columns(encoding)
        self.seen, self.changes = encoding.width("observation"), increments_width(encoding)
        self.moving = [index for index, column in enumerate(self.columns) if column.variable.kind == "continuous"]
        variables = [self.columns[index].variable for index in self.moving]
        centre, scale = encoding.scaling.of(tuple(variables))
        low, high = np.array([variable.bounds for variable in variables]).reshape(-1, 2).T  # There may be none.
        self.low, self.high = (torch.from_numpy(((end - centre) / scale).astype(np.float32)) for end in (low, high))
        sizes = [encoding.scaling.variables[variable.name].increments for variable in variables]
        self.usual = torch.tensor(sizes).reshape(-1, len(INCREMENT_LAGS)) / torch.from_numpy(scale).float()[:, None]

    def chosen(
        self, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[Bool[np.ndarray, "*history"], Bool[np.ndarray, "*history"]]:
        """Which of so many histories are noisy, and which are gappy."""
        return rng.random(shape) < self.noisy, rng.random(shape) < self.gappy

    def __call__(
        self,
        rows: Float[Tensor, "history lead_and_time input"],
        exists: Bool[np.ndarray, "history lead_and_time"],
        noisy: Bool[np.ndarray, " history"],
        gappy: Bool[np.ndarray, " history"],
        rng: np.random.Generator,
    ) -> tuple[Float[Tensor, "history time seen"], Float[Tensor, "history time increment"]]:
        """Observations and increments of the rows after the first `LEAD`, as they are seen through noise and gaps.

        Args:
            rows: encoder inputs, with `LEAD` rows before those that are asked for.
            exists: which of these belong to the episode.
            noisy, gappy: what is wrong with each history.
            rng: of noise and gaps.
        """
        count, length, moving = *exists.shape, len(self.moving)
        heard = noisy[:, None] & (rng.random((count, moving)) < HEARD)
        spread = heard * np.exp(rng.uniform(np.log(NOISE[0]), np.log(NOISE[1]), (count, moving)))
        noise = spread[:, None] * rng.standard_normal((count, length, moving))
        missing = rng.uniform(0, GAPS, (count, 1, len(self.columns))) * gappy[:, None, None]
        kept = exists[..., None] & (rng.random((count, length, len(self.columns))) >= missing)
        present = (rows[..., [column.flag for column in self.columns]] > 0.5) & torch.from_numpy(kept)
        seen, levels = rows[..., : self.seen].clone(), [self.columns[index].start for index in self.moving]
        noisier = seen[..., levels] + torch.from_numpy(noise.astype(np.float32))
        seen[..., levels] = noisier.clamp(self.low, self.high)
        # What the first row knows may have been seen long before.
        known = present.clone()
        known[:, 0] |= torch.from_numpy(exists[:, :1])
        last = torch.where(known, torch.arange(length)[:, None], -1).cummax(1).values
        for index, column in enumerate(self.columns):
            place = last[..., index, None].expand(-1, -1, column.variable.width)
            value = slice(column.start, column.start + column.variable.width)
            seen[..., value] = torch.where(place >= 0, seen[..., value].gather(1, place.clamp(min=0)), 0.0)
            seen[..., column.flag] = present[..., index].to(seen)
        return seen[:, LEAD:], self._increments(torch.where(last[..., self.moving] >= 0, seen[..., levels], torch.nan))

    def _increments(
        self, levels: Float[Tensor, "history lead_and_time level"]
    ) -> Float[Tensor, "history time increment"]:
        """As `foreworld.data.increments` has them; levels are missing before the first that was seen."""
        now, rows = levels[:, LEAD:], levels.shape[1]
        changes = torch.stack([now - levels[:, LEAD - lag : rows - lag] for lag in INCREMENT_LAGS], dim=-1)
        return (changes / self.usual).nan_to_num(0.0).clamp(-LIMIT, LIMIT).flatten(2)
