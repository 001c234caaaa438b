"""How well the true state of a system can be read, linearly, from what a network holds of it."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foreworld.data.episodes import Episodes
from foreworld.data.plan import cut
from foreworld.data.tabulate import encode_histories, encode_plan
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import Scale
from foreworld.model import WorldModel
from foreworld.reasoning.forecast import encode_now, invent
from foreworld.world.draws import stratified
from foreworld.world.network import WorldNetwork

AHEAD = 8  # steps that a state is imagined for
SETTLING = 8  # rows that an encoder is given before it is asked
RIDGE = 1e-2
DRAWS = 8

CALIBRATION = 8  # questions, and draws of each: intervals play no part here

State = Float[np.ndarray, "_ _ dim"]


def score(
    rows: Rows,
    question: str,
    setting: str,
    model: WorldModel,
    train: tuple[Episodes, State],
    test: tuple[Episodes, State],
    *,
    seed: int,
) -> None:
    """Share of the variance of the true state that a linear probe loses, by test episode. R2 is one less the mean.

    Probes learn from the training episodes alone, a probe a member.
    encoded: learnt from encoded states, and read from encoded ones.
    imagined: learnt from and read from states that are imagined AHEAD steps under the actions that were taken, mean
        over the noise.
    frozen: learnt from encoded states, and read from imagined ones. This asks in addition that the two lie in the same
        place, which latent prediction trains for and the others do not.
    """
    spread = test[1].std((0, 1))
    groups = [str(episode.id) for episode in test[0]]
    probes = [_probe(states, train[1][:, SETTLING:]) for states in encoded(model, train[0])[:, :, SETTLING:].numpy()]
    found = encoded(model, test[0])[:, :, SETTLING:].numpy()
    told = np.stack([_apply(probe, states) for probe, states in zip(probes, found, strict=True)])
    lost = np.square((told - test[1][:, SETTLING:]) / spread).mean((0, 2, 3))
    rows.add(question, setting, "lost, encoded", lost, groups)
    learnt, learnt_truth, _ = _ahead(model, train, seed)
    ahead, truth, owner = _ahead(model, test, seed)
    for name, chosen in {
        "lost, imagined": [_probe(states, learnt_truth) for states in learnt],
        "lost, frozen": probes,
    }.items():
        told = np.stack([_apply(probe, states) for probe, states in zip(chosen, ahead, strict=True)])
        error = np.square((told - truth) / spread).mean((0, 2))
        rows.add(question, setting, name, [error[owner == index].mean() for index in range(len(groups))], groups)


def _ahead(
    model: WorldModel, drawn: tuple[Episodes, State], seed: int
) -> tuple[Float[np.ndarray, "member case state"], Float[np.ndarray, "case dim"], Int[np.ndarray, " case"]]:
    """Imagined states, the true ones, and the episode of each."""
    last = drawn[1].shape[1] - AHEAD
    origins = [(index, row) for index in range(len(drawn[0])) for row in range(SETTLING, last, AHEAD)]
    truth = np.stack([drawn[1][index, row + AHEAD] for index, row in origins])
    return imagined(model, drawn[0], origins, seed).numpy(), truth, np.array([index for index, _ in origins])


@torch.no_grad()
def encoded(model: WorldModel, data: Episodes) -> Float[Tensor, "member episode row state"]:
    """The network's state after every row of episodes of equal length."""
    rows = torch.from_numpy(encode_histories(tuple(data), model.encoding))
    return model.network.encoder(rows.expand(model.config.members, -1, -1, -1))


@torch.no_grad()
def imagined(
    model: WorldModel, data: Episodes, origins: list[tuple[int, int]], seed: int
) -> Float[Tensor, "member case state"]:
    """The network's state AHEAD steps after each origin, mean over the noise."""
    cases, network = cut(data, origins, AHEAD), model.network
    if not isinstance(network, WorldNetwork):
        found = invent(network, cases.histories, cases.plan, model.encoding, draws=DRAWS, seed=seed)
        return found.states[:, :, -1]
    beliefs = encode_now(network, cases.histories, model.encoding)
    moves, elapsed = (torch.from_numpy(array) for array in encode_plan(cases.histories, cases.plan, model.encoding))
    shape = (network.config.members, DRAWS, AHEAD, network.config.noise)
    noise = torch.special.ndtri(stratified(shape, torch.Generator().manual_seed(seed)))
    rolled = network.rollout(
        beliefs.repeat_interleave(DRAWS, 1),
        moves.repeat_interleave(DRAWS, 0).expand(len(beliefs), -1, -1, -1),
        elapsed.repeat_interleave(DRAWS, 0).expand(len(beliefs), -1, -1),
        noise.repeat(1, len(origins), 1, 1),
    )
    return rolled[:, :, -1].unflatten(1, (len(origins), DRAWS)).mean(2)


def uncalibrated(scale: Scale) -> Scale:
    """The scale of a run that is probed and not asked: of one network, and next to nothing is spent on intervals."""
    return replace(scale, members=1, calibration=CALIBRATION, draws=CALIBRATION)


def _probe(states: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = states.reshape(-1, states.shape[-1]).astype(float), truth.reshape(-1, truth.shape[-1])
    middle, size = x.mean(0), x.std(0) + 1e-6
    design = (x - middle) / size
    penalty = RIDGE * len(x) * np.eye(design.shape[1])
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ (y - y.mean(0)))
    weights = weights / size[:, None]
    return middle, weights, y.mean(0)


def _apply(probe: tuple[np.ndarray, np.ndarray, np.ndarray], states: np.ndarray) -> np.ndarray:
    middle, weights, level = probe
    return (states - middle) @ weights + level
