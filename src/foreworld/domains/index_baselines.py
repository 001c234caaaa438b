"""What people forecast an index with: GJR-GARCH, EWMA and HAR, each with heavy tails and as paths of daily returns.

All three say r_t = mu + sigma_t z_t with a sigma_t that is known the day before. They are fitted by maximum likelihood
to the training episodes, one after the other in time, and filter the history that they are asked about.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.errors import MissingExtraError

HISTORY = 250  # days that are filtered
COMPONENTS = (1, 5, 22, 66)  # days over which HAR averages


@dataclass(frozen=True)
class Garch:
    """sigma_t+1^2 = omega + (alpha + gamma [e_t < 0]) e_t^2 + beta sigma_t^2 with e_t = r_t - mu and Student's z_t.

    With gamma this is the model of Glosten, Jagannathan and Runkle (Journal of Finance 48, 1993). Without omega and
    gamma, and with beta = 1 - alpha, it is exponential weighting (RiskMetrics, 1996), of which the decay is fitted.

    Attributes:
        mu: mean return (%).
        omega, alpha, gamma, beta: as above.
        freedom: degrees of freedom of z_t, which is scaled to a variance of one.
    """

    mu: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    freedom: float

    @classmethod
    def fit(cls, train: Episodes, horizon: int) -> "Garch":
        """GJR-GARCH(1, 1)-t."""
        found = _estimate(train, leverage=True)
        return cls(found["mu"], found["omega"], found["alpha[1]"], found["gamma[1]"], found["beta[1]"], found["nu"])

    @classmethod
    def fit_ewma(cls, train: Episodes, horizon: int) -> "Garch":
        """Exponential weighting with the likeliest decay."""
        found = _estimate(train, leverage=False)
        return cls(found["mu"], 0.0, 1 - found["lam"], 0.0, found["lam"], found["nu"])

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled returns (%) over the spans of the targets."""
        past = _returns(histories)
        variance = np.mean((past - self.mu) ** 2, axis=1)
        for day in range(past.shape[1]):
            variance = self._next(variance, past[:, day])
        rng = np.random.default_rng(seed)
        scale = np.sqrt((self.freedom - 2) / self.freedom)
        paths = scale * rng.standard_t(self.freedom, size=(members, len(past), plan.horizon))
        for step in range(plan.horizon):
            paths[..., step] = self.mu + np.sqrt(variance) * paths[..., step]
            variance = self._next(variance, paths[..., step])
        return _spans(past, paths, histories)

    def _next(self, variance: np.ndarray, returned: np.ndarray) -> np.ndarray:
        error = returned - self.mu
        return self.omega + (self.alpha + self.gamma * (error < 0)) * error**2 + self.beta * variance


@dataclass(frozen=True)
class Har:
    """The heterogeneous autoregression (Corsi, Journal of Financial Econometrics 7, 2009) of absolute returns.

    sigma_t+1 = b_0 + sum_k b_k mean(|r| over the last k days) + sum_k c_k mean(max(-r, 0) over the last k days) for k
    in COMPONENTS, with no weight below zero. Losses have weights of their own as in Patton and Sheppard (Review of
    Economics and Statistics 97, 2015). z_t is drawn from the days of training.

    Attributes:
        mu: mean return (%).
        weights: b_0, b_k, c_k.
        drawn: z of training days.
    """

    mu: float
    weights: Float[np.ndarray, " weight"]
    drawn: Float[np.ndarray, " day"]

    @classmethod
    def fit(cls, train: Episodes, horizon: int) -> "Har":
        """By maximum likelihood under Student's t."""
        from scipy.optimize import minimize
        from scipy.stats import t

        returns, longest = _joined(train), max(COMPONENTS)
        inputs = _inputs(np.lib.stride_tricks.sliding_window_view(returns[:-1], longest))
        target = returns[longest:]

        def loss(values: np.ndarray) -> float:
            spread, scale = np.maximum(inputs @ values[2:], 1e-3), np.sqrt((values[1] - 2) / values[1])
            scaled = (target - values[0]) / spread / scale
            return float(np.mean(np.log(spread * scale) - t.logpdf(scaled, values[1])))

        start = np.concatenate([[0.03, 6.0], np.full(inputs.shape[1], 0.1)])
        bounds = [(-1.0, 1.0), (2.5, 50.0)] + [(0.0, 2.0)] * inputs.shape[1]
        best = minimize(loss, start, bounds=bounds, method="L-BFGS-B").x
        drawn = (target - best[0]) / np.maximum(inputs @ best[2:], 1e-3)
        return cls(float(best[0]), best[2:], drawn)

    def forecast(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0
    ) -> Float[np.ndarray, "member episode step target"]:
        """Sampled returns (%) over the spans of the targets."""
        past = _returns(histories)
        shape = (members, len(past), plan.horizon)
        paths = self.drawn[np.random.default_rng(seed).integers(len(self.drawn), size=shape)]
        recent = np.broadcast_to(past[:, -max(COMPONENTS) :], (members, len(past), max(COMPONENTS)))
        for step in range(plan.horizon):
            spread = np.maximum(_inputs(recent) @ self.weights, 1e-3)
            paths[..., step] = self.mu + spread * paths[..., step]
            recent = np.concatenate([recent[..., 1:], paths[..., step, None]], axis=-1)
        return _spans(past, paths, histories)


def _inputs(returns: Float[np.ndarray, "*batch day"]) -> Float[np.ndarray, "*batch weight"]:
    """A constant, and the means of what returns and of what losses were."""
    sizes, losses = np.abs(returns), np.maximum(-returns, 0)
    means = [values[..., -days:].mean(-1) for values in (sizes, losses) for days in COMPONENTS]
    return np.stack([np.ones_like(means[0]), *means], axis=-1)


def _estimate(train: Episodes, *, leverage: bool) -> dict[str, float]:
    try:
        from arch.univariate import GARCH, ConstantMean, EWMAVariance, StudentsT
    except ImportError as error:
        raise MissingExtraError("the baselines of the index", "index") from error
    volatility = GARCH(p=1, o=1, q=1) if leverage else EWMAVariance(None)
    model = ConstantMean(_joined(train), volatility=volatility, distribution=StudentsT(), rescale=False)
    return {str(name): float(value) for name, value in model.fit(disp="off").params.items()}


def _joined(train: Episodes) -> Float[np.ndarray, " day"]:
    """The daily returns of all episodes, in the order of time."""
    ordered = sorted(train, key=lambda episode: episode.time[0])
    return np.concatenate([episode.observations[:, 0] for episode in ordered])


def _returns(histories: Episodes) -> Float[np.ndarray, "episode day"]:
    """The last HISTORY daily returns; those of a shorter history are repeated, the latest last."""
    return np.stack([np.resize(episode.observations[::-1, 0], HISTORY)[::-1] for episode in histories])


def _spans(
    past: Float[np.ndarray, "episode day"], paths: Float[np.ndarray, "member episode step"], histories: Episodes
) -> Float[np.ndarray, "member episode step target"]:
    """From daily returns to the targets: `return`, and `return_h` over the last h days."""
    spans = [int(target.name.partition("_")[2] or 1) for target in histories.schema.targets]
    known = max(spans)
    days = np.concatenate([np.broadcast_to(past[:, -known:], (*paths.shape[:2], known)), paths], axis=-1)
    total = np.cumsum(days, axis=-1)
    steps = np.arange(known, known + paths.shape[-1])
    return np.stack([total[..., steps] - total[..., steps - span] for span in spans], axis=-1)
