"""The generative objective: predict the next observation, every channel of it, instead of the next belief.

The network is that of the JEPA objective, rolled out on the same batches, and the loss is the proper score of every
observation that is read from it. There is no latent prediction and no guard against collapse: a belief that has to tell
the observations cannot collapse.

Three variants: plain; with the grounding loss of the JEPA objective beside it (`grounded`); and with gates on the
components of the belief and a price on each open one (`gated`), so that the model selects what pays by predicting. The
last is in the manner of the gated predictive autoencoders of arXiv 2603.14131, which matched or beat JEPA on a noisy
linear system; its gates are known to us from the abstract alone.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foreworld.data.batches import Batch
from foreworld.data.scaling import Encoding
from foreworld.world.config import FitConfig
from foreworld.world.network import WorldNetwork
from foreworld.world.objective import imagine, observed_scores, weighted_mean

GATE_PRICE = 0.02  # of all components open, in units of the loss


class Gated(nn.Module):
    """An encoder whose free components pass through a gate each, between closed (0) and open (1)."""

    def __init__(self, encoder: nn.Module, members: int, latent: int):
        super().__init__()
        self.whole, self.latent = encoder, latent
        self.logits = nn.Parameter(torch.full((members, 1, 1, latent), 1.0))

    def forward(self, history: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time latent"]:
        belief = self.whole(history)
        # Components that stand for observed levels, if the encoder has such, are not for the gates to choose.
        fixed = belief.shape[-1] - self.latent
        return torch.cat([belief[..., :fixed], belief[..., fixed:] * torch.sigmoid(self.logits)], dim=-1)


class GatedNetwork(WorldNetwork):
    """The world model with gates on the belief."""

    def __init__(self, config: FitConfig, encoding: Encoding, *, seed: int):
        super().__init__(config, encoding, seed=seed)
        self.encoder = Gated(self.encoder, config.members, config.latent)


def generative(
    network: WorldNetwork, batch: Batch, config: FitConfig, generator: torch.Generator
) -> dict[str, Float[Tensor, " member"]]:
    """The terms of the loss, one value a member; `loss` is their weighted sum.

    prediction: score of every channel read from predicted beliefs; encoding: the same from encoded beliefs.
    grounding: score of the targets read from predicted beliefs; part of the loss in the grounded variant alone.
    forecast: the same without weights, no part of the loss. gates: mean opening, in the gated variant.
    """
    beliefs = network.encoder(batch.history)
    imagined = imagine(network, beliefs, batch, generator)
    ahead, now = observed_scores(network, batch, imagined, beliefs)
    reached, valid = batch.reached.to(beliefs), batch.valid.to(beliefs)
    # Near steps are weighted up as in the JEPA objective, for every channel.
    targets, weights = slice(len(network.readout.targets)), network.weights[: reached.shape[-1]]
    terms = {
        "forecast": weighted_mean(ahead[..., targets].mean(-1), reached).detach(),
        "prediction": weighted_mean((ahead * weights).mean(-1), reached),
        "encoding": weighted_mean(now.mean(-1), valid),
        "grounding": weighted_mean((ahead * weights)[..., targets].mean(-1), reached),
    }
    terms["loss"] = terms["prediction"] + terms["encoding"]
    if config.objective == "generative_grounded":
        own = weighted_mean(now[..., targets].mean(-1), valid)
        terms["loss"] = terms["loss"] + terms["grounding"] + own
    if isinstance(network.encoder, Gated):
        terms["gates"] = torch.sigmoid(network.encoder.logits).flatten(1).mean(1)
        terms["loss"] = terms["loss"] + GATE_PRICE * terms["gates"]
    return terms
