"""Small systems whose true state is known: a controlled oscillator behind a nuisance, and latents behind a mixing."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import gennorm, norm

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Schema, Variable

CHANNELS, NUISANCE = 12, 6
SENSOR = 0.05

Drawn = tuple[Episodes, Float[np.ndarray, "episode row state"]]


def oscillator(amplitude: float, persistence: float, *, rows: int, episodes: int, seed: int, world: int) -> Drawn:
    """A damped oscillator that is pushed, seen through channels in which a nuisance is mixed with it.

    x' = A x + B a + noise, with x scaled to unit variance; the channels are C x + amplitude D n + sensor noise, where
    each of NUISANCE signals n is a first-order autoregression of unit variance: `persistence` 0 is a noisy TV, near 1 a
    background that stays for a whole episode. `gauge`, the target, measures the position alone, with noise of 0.3.

    Args:
        seed: of the episodes.
        world: of C and D.
    """
    rng, fixed = np.random.default_rng([seed, 7]), np.random.default_rng([world, 8])
    turn, damp = 0.35, 0.93
    dynamics = damp * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    push = np.array([0.0, 0.5])
    actions = np.repeat(rng.uniform(-1, 1, (episodes, -(-rows // 5))), 5, axis=1)[:, :rows]
    state = np.zeros((episodes, rows, 2))
    current = rng.normal(0, 0.8, (episodes, 2))
    for row in range(rows):
        state[:, row] = current
        current = current @ dynamics.T + actions[:, row, None] * push + rng.normal(0, 0.05, (episodes, 2))
    nuisance = np.zeros((episodes, rows, NUISANCE))
    nuisance[:, 0] = rng.normal(size=(episodes, NUISANCE))
    fresh = np.sqrt(1 - persistence**2)
    for row in range(1, rows):
        nuisance[:, row] = persistence * nuisance[:, row - 1] + fresh * rng.normal(size=(episodes, NUISANCE))
    signal = fixed.normal(0, 1, (2, CHANNELS))
    mixing = fixed.normal(0, 1 / np.sqrt(NUISANCE), (NUISANCE, CHANNELS))
    seen = state @ signal + amplitude * nuisance @ mixing + rng.normal(0, SENSOR, (episodes, rows, CHANNELS))
    gauge = state[:, :, :1] + rng.normal(0, 0.3, (episodes, rows, 1))
    return _episodes(np.concatenate([gauge, seen], 2), actions[..., None], targets=1), state


@dataclass(frozen=True)
class Mixing:
    """An invertible map of the plane, and what it is called."""

    words: str
    apply: Callable[[Float[np.ndarray, "*row 2"]], Float[np.ndarray, "*row 2"]]


def _shear(z: np.ndarray) -> np.ndarray:
    return z @ np.array([[1.2, 0.6], [-0.3, 0.8]])


def _bend(z: np.ndarray) -> np.ndarray:
    return np.stack([z[..., 0], z[..., 1] + 0.5 * z[..., 0] ** 2], axis=-1)


def _swirl(z: np.ndarray) -> np.ndarray:
    angle = 0.6 * np.linalg.norm(z, axis=-1)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([cosine * z[..., 0] - sine * z[..., 1], sine * z[..., 0] + cosine * z[..., 1]], axis=-1)


def _stretch(z: np.ndarray) -> np.ndarray:
    return _shear(np.sinh(z))


MIXINGS = {
    "shear": Mixing("a linear map", _shear),
    "bend": Mixing("a parabola", _bend),
    "swirl": Mixing("a rotation that grows with the radius", _swirl),
    "stretch": Mixing("a hyperbolic sine of each, then a linear map", _stretch),
}


def latents(mixing: str, *, shape: float = 2.0, pushed: bool = False, rows: int, episodes: int, seed: int) -> Drawn:
    """Two independent Ornstein-Uhlenbeck latents of unit variance, seen through a mixing.

    Args:
        mixing: one of MIXINGS.
        shape: of the generalised normal law that each latent has; 2 is the Gaussian, for which linear identifiability
            is proved (arXiv 2605.26379), and the only one. Others are a monotone map of the Gaussian.
        pushed: whether an action moves the first latent.
    """
    rng = np.random.default_rng([seed, 9])
    kept = 0.9
    actions = np.repeat(rng.uniform(-1, 1, (episodes, -(-rows // 4))), 4, axis=1)[:, :rows] * pushed
    state = np.zeros((episodes, rows, 2))
    state[:, 0] = rng.normal(size=(episodes, 2))
    for row in range(1, rows):
        drift = kept * state[:, row - 1] + 0.3 * actions[:, row - 1, None] * np.array([1.0, 0.0])
        state[:, row] = drift + np.sqrt(1 - kept**2) * rng.normal(size=(episodes, 2))
    if shape != 2.0:
        law = gennorm(shape)
        state = law.ppf(np.clip(norm.cdf(state), 1e-6, 1 - 1e-6)) / law.std()
    return _episodes(MIXINGS[mixing].apply(state), actions[..., None], targets=2), state


def _episodes(seen: np.ndarray, actions: np.ndarray, *, targets: int) -> Episodes:
    count, rows, channels = seen.shape
    schema = Schema(
        id="run",
        time="t",
        variables=(
            *(Variable(name=f"o{index}", role="observation", target=index < targets) for index in range(channels)),
            Variable(name="push", role="action"),
        ),
    )
    made = [
        Episode(
            id=f"{run:04d}",
            time=np.arange(rows, dtype=float),
            observations=seen[run],
            actions=actions[run, :-1],
            static=np.zeros(0),
            known_future=np.zeros((rows, 0)),
            pending=actions[run, -1],
        )
        for run in range(count)
    ]
    return Episodes(schema, tuple(made))
