"""The three functions of a world model in one module: encode, predict, read, for an ensemble at once."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.data.layout import told_columns
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import history_width, move_width
from foreworld.world.config import FitConfig
from foreworld.world.encoder import BeliefEncoder
from foreworld.world.levels import Levels, step_weights
from foreworld.world.predictor import Predictor
from foreworld.world.readout import Readout


class WorldNetwork(nn.Module):
    """Encoder, predictor and readout with a leading ensemble axis on every tensor."""

    def __init__(self, config: FitConfig, encoding: Encoding, *, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.config = config
        self.levels = Levels.of(encoding)
        self.weights = torch.from_numpy(step_weights(encoding, config.horizon))
        self.encoder = BeliefEncoder(config, history_width(encoding), self.levels, generator=generator)
        self.predictor = Predictor(config, move_width(encoding), self.levels, generator=generator)
        self.readout = Readout(config, encoding.schema, self.levels, generator=generator)
        self.observed = told_columns(encoding)

    def rollout(
        self,
        belief: Float[Tensor, "member batch latent"],
        moves: Float[Tensor, "member batch step move"],
        elapsed: Float[Tensor, "member batch step"],
        noise: Float[Tensor, "member drawn step noise"],
    ) -> Float[Tensor, "member drawn step latent"]:
        """Apply the predictor along a plan; no observation is read or invented on the way.

        With k times as many rows of noise as of beliefs, each plan is followed k times: first all once, then all again.
        """
        drive = self.predictor.drive(moves, elapsed, noise)
        belief = belief.repeat(1, noise.shape[1] // belief.shape[1], 1)
        beliefs = []
        for step in range(moves.shape[2]):
            belief = self.predictor(belief, drive, step)
            beliefs.append(belief)
        return torch.stack(beliefs, dim=2)

    def goals(
        self, history: Float[Tensor, "member batch time inputs"], beliefs: Float[Tensor, "member batch time latent"]
    ) -> Float[Tensor, "member batch time latent"]:
        """What predicted beliefs are to come true as, at every row: the encoded ones."""
        return beliefs
