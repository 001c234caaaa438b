"""The objectives that there are: which network each trains, and by which loss. The one place that knows them all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foreworld.data.batches import Batch
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import Table
from foreworld.errors import QuestionError
from foreworld.world.autoregressive import Autoregressive
from foreworld.world.config import FitConfig
from foreworld.world.generative import GatedNetwork, generative
from foreworld.world.gru_gaussian import GaussianNetwork, gru_gaussian
from foreworld.world.memoryless import MemorylessNetwork
from foreworld.world.network import WorldNetwork
from foreworld.world.next_token import TokenNetwork, next_token
from foreworld.world.objective import jepa
from foreworld.world.teacher import TeacherNetwork

Network = WorldNetwork | Autoregressive
Loss = Callable[[Any, Batch, FitConfig, torch.Generator], dict[str, Float[Tensor, " member"]]]
"""Network, batch, settings, random numbers -> terms of the loss by member: `loss`, and `forecast`, by which a run is
judged on held-out episodes."""


@dataclass(frozen=True)
class Objective:
    """A network and its loss."""

    network: type[WorldNetwork] | type[Autoregressive]
    loss: Loss


OBJECTIVES: dict[str, Objective] = {
    "jepa": Objective(WorldNetwork, jepa),
    "jepa_ema": Objective(TeacherNetwork, jepa),
    "jepa_memoryless": Objective(MemorylessNetwork, jepa),
    "generative": Objective(WorldNetwork, generative),
    "generative_grounded": Objective(WorldNetwork, generative),
    "generative_gated": Objective(GatedNetwork, generative),
    "next_token": Objective(TokenNetwork, next_token),
    "next_token_text": Objective(TokenNetwork, next_token),
    "gru_gaussian": Objective(GaussianNetwork, gru_gaussian),
}


def build_network(config: FitConfig, encoding: Encoding, *, seed: int, table: Table | None = None) -> Network:
    """A new network for the objective of a configuration.

    Args:
        config, encoding: as trained.
        seed: of its weights.
        table: the training episodes; not needed where the weights are read afterwards.
    """
    kind = OBJECTIVES[config.objective].network
    if issubclass(kind, WorldNetwork):
        return kind(config, encoding, seed=seed)
    return kind(config, encoding, seed=seed, table=table)


def belief_network(network: Network) -> WorldNetwork:
    """The network, if it rolls beliefs out.

    Raises:
        QuestionError: it is of an objective that invents observations instead.
    """
    if not isinstance(network, WorldNetwork):
        raise QuestionError(f"models of the objective {network.config.objective} have no beliefs to roll out")
    return network


def parameters(network: Network) -> int:
    """Trained parameters of one member; a teacher follows and is not counted."""
    named = network.named_parameters()
    return sum(parameter[0].numel() for name, parameter in named if not name.startswith("teacher."))
