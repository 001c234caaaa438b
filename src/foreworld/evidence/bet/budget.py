"""The same budget for every contender: parameters within a tenth, and compute that is counted, not guessed."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from foreworld.data.batches import Sampler
from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding, fit_scaling
from foreworld.data.tabulate import tabulate
from foreworld.errors import TrainingError
from foreworld.world.build import OBJECTIVES, build_network, parameters
from foreworld.world.config import FitConfig

TOLERANCE = 0.10
WIDTHS = range(8, 257, 4)


def matched(config: FitConfig, data: Episodes) -> tuple[FitConfig, dict[str, float]]:
    """The configuration with the hidden width that brings its parameters closest to those of the `jepa` default.

    Returns:
        The configuration, and the facts: `parameters` of a member and `parameters_share` of those of `jepa`.

    Raises:
        TrainingError: no width comes within TOLERANCE.
    """
    encoding = Encoding(data.schema, fit_scaling(data), config.memory)
    usual = FitConfig(objective="jepa", latent=config.latent, context=config.context, horizon=config.horizon)
    want = _count(usual, encoding)
    if abs(_count(config, encoding) / want - 1) > TOLERANCE:
        width = min(WIDTHS, key=lambda width: abs(_count(_wide(config, width), encoding) - want))
        config = _wide(config, width)
    count = _count(config, encoding)
    if abs(count / want - 1) > TOLERANCE:
        raise TrainingError(f"{config.objective} has {count} parameters at best, and jepa {want}: not an equal budget")
    return config, {"parameters": float(count), "parameters_share": count / want}


def training_flops(config: FitConfig, data: Episodes) -> float:
    """Floating-point operations of the matrix products of a mean training step of an ensemble, forward and backward."""
    encoding = Encoding(data.schema, fit_scaling(data), config.memory)
    table = tabulate(data, encoding)
    network = build_network(config, encoding, seed=0, table=table)
    everybody = [torch.arange(len(data)).numpy()] * config.members
    size = config.model_dump(include={"batch", "anchors", "context", "horizon"})
    # Of the rollouts of training three in ten go all the way, and the others anywhere up to there.
    usual = round(0.3 * config.horizon + 0.7 * (config.horizon + 1) / 2)
    batch = Sampler(table, everybody, **size, seed=0).batch(0, max(1, usual))
    with FlopCounterMode(display=False) as counted:
        loss = OBJECTIVES[config.objective].loss(network, batch, config, torch.Generator().manual_seed(0))["loss"]
        loss.sum().backward()
    return float(counted.get_total_flops())


def _wide(config: FitConfig, width: int) -> FitConfig:
    return config.model_copy(update={"hidden": width})


def _count(config: FitConfig, encoding: Encoding) -> int:
    return parameters(build_network(config.model_copy(update={"members": 1}), encoding, seed=0))
