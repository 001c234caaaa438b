"""What an oncology modeller would fit: the growth equations with parameters that differ between patients."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan
from foreworld.domains import tumour_model as model

ROUNDS = 50
MEASURED = 1e-3  # cm^3; smaller tumours say nothing.
ENDED = 0.9999  # of the lethal volume, as a diameter may be stored in single precision.


@dataclass(frozen=True)
class Evidence:
    """Sufficient statistics of each episode's regression of daily growth on `tumour_model.regressors`."""

    square: Float[np.ndarray, "episode 3 3"]
    product: Float[np.ndarray, "episode 3"]
    total: Float[np.ndarray, " episode"]
    days: Float[np.ndarray, " episode"]


@dataclass(frozen=True)
class MechanisticODE:
    """A mixed-effects model: (rho, beta_c, alpha) are normal over patients, and each history narrows them down.

    Attributes:
        mean, covariance: of the parameters over patients.
        noise: standard deviation of a day's relative growth about the equations.
    """

    mean: Float[np.ndarray, "3"]
    covariance: Float[np.ndarray, "3 3"]
    noise: float

    @classmethod
    def fit(cls, episodes: Episodes, horizon: int) -> "MechanisticODE":
        """Maximum likelihood by expectation-maximisation (Laird and Ware, Biometrics 38, 1982)."""
        of = evidence(tuple(episodes))
        fitted = cls(np.array([0.01, 0.03, 0.2]), np.diag([0.01, 0.03, 0.2]) ** 2, 0.02)
        for _ in range(ROUNDS):
            means, spreads = fitted.posterior(of)
            mean = means.mean(0)
            apart = means - mean
            covariance = (spreads + apart[:, :, None] * apart[:, None, :]).mean(0)
            second = spreads + means[:, :, None] * means[:, None, :]
            rest = of.total - 2 * (of.product * means).sum(-1) + (of.square * second).sum((-1, -2))
            fitted = cls(mean, covariance, float(np.sqrt(rest.sum() / of.days.sum())))
        return fitted

    def posterior(self, of: Evidence) -> tuple[Float[np.ndarray, "episode 3"], Float[np.ndarray, "episode 3 3"]]:
        """Mean and covariance of each patient's parameters."""
        before = np.linalg.inv(self.covariance)
        spread = np.linalg.inv(before + of.square / self.noise**2)
        told = before @ self.mean + of.product / self.noise**2
        return (spread @ told[..., None])[..., 0], spread

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Diameters (cm) with parameters drawn from each patient's posterior and new noise every day."""
        mean, spread = self.posterior(evidence(tuple(histories)))
        rng = np.random.default_rng(seed)
        # One set of random numbers for all histories: forecasts of two plans differ by the plans alone.
        normal = rng.normal(size=(members, 1, 3, 1))
        theta = mean + (np.linalg.cholesky(spread) @ normal)[..., 0]
        noise = rng.normal(0, self.noise, (plan.horizon, members, 1))
        volume = np.tile(model.volume_of([episode.observations[-1, 0] for episode in histories]), (members, 1))
        drug = np.array([_concentration(episode.actions[:, 0])[-1] if episode.steps else 0.0 for episode in histories])
        diameters = []
        for step, (chemo, radio) in enumerate(np.moveaxis(plan.actions.astype(float), 0, -1)):
            drug = model.CHEMO_LEFT * drug + chemo
            today = np.broadcast_to(drug, volume.shape), np.broadcast_to(radio, volume.shape)
            later = np.clip(np.nan_to_num(model.grow(volume, *today, theta, noise[step])), 0, model.LETHAL)
            volume = np.where(volume >= ENDED * model.LETHAL, volume, later)
            diameters.append(model.diameter_of(volume))
        return np.stack(diameters, axis=-1)[..., None]


def _concentration(chemo: Float[np.ndarray, " step"]) -> Float[np.ndarray, " step"]:
    """Of the drug, right after each day's dose."""
    age = np.arange(len(chemo))[:, None] - np.arange(len(chemo))
    return np.where(age >= 0, model.CHEMO_LEFT ** np.maximum(age, 0), 0.0) @ chemo


def evidence(episodes: tuple[Episode, ...]) -> Evidence:
    """Statistics of the days on which a tumour of measurable size was neither lost nor lethal."""
    square, product, total, days = [], [], [], []
    for episode in episodes:
        volume = model.volume_of(episode.observations[:, 0])
        x = model.regressors(volume[:-1], _concentration(episode.actions[:, 0]), episode.actions[:, 1].astype(float))
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = volume[1:] / volume[:-1] - 1
        known = (volume[:-1] > MEASURED) & (volume[1:] > 0) & (volume[1:] < ENDED * model.LETHAL)
        known &= np.isfinite(x).all(-1)
        x, growth = x[known], growth[known]
        square.append(x.T @ x)
        product.append(x.T @ growth)
        total.append(growth @ growth)
        days.append(float(len(growth)))
    return Evidence(np.stack(square), np.stack(product), np.array(total), np.array(days))
