"""Systems whose best forecast, and whose effect of an action, are known exactly."""

import numpy as np

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, cut
from foreworld.data.schema import Schema, Variable
from foreworld.evidence.evaluate import origins

AUTO, DRIVE, NOISE = (1.5, -0.6), (0.5, 0.25), 0.3
"""A damped oscillator, pushed now and then: y[t+1] = 1.5 y[t] - 0.6 y[t-1] + gain (0.5 u[t] + 0.25 u[t-1]) + noise."""


def response(drive: tuple[float, float], steps: int) -> np.ndarray:
    """What the mean of y does in the steps after one push of one unit."""
    y, u = [0.0, 0.0], [0.0, 1.0] + [0.0] * steps
    for step in range(steps):
        y.append(AUTO[0] * y[-1] + AUTO[1] * y[-2] + drive[0] * u[step + 1] + drive[1] * u[step])
    return np.array(y[2:])


def best_error(steps: int) -> np.ndarray:
    """Standard deviation of the error of the best forecast, by step ahead."""
    noise = response((1.0, 0.0), steps)
    return NOISE * np.sqrt(np.cumsum(noise**2))


def schema(*, static: bool = False, bounds: tuple[float | None, float | None] = (None, None)) -> Schema:
    gain = (Variable(name="gain", role="static"),) if static else ()
    return Schema(
        id="run",
        time="minute",
        time_unit="min",
        variables=(
            Variable(name="position", role="observation", unit="cm", target=True, low=bounds[0], high=bounds[1]),
            Variable(name="push", role="action", unit="N"),
            *gain,
        ),
    )


def episodes(runs: int, rows: int, seed: int, *, gains: tuple[float, ...] = (1.0,), static: bool = False) -> Episodes:
    """Runs of the oscillator; run k has gain `gains[k % len(gains)]`, told as a static fact if asked."""
    rng = np.random.default_rng(seed)
    gain = np.resize(gains, runs)
    u = rng.exponential(2.0, (runs, rows)) * (rng.random((runs, rows)) < 0.3)
    y = np.zeros((runs, rows + 20))
    noise = rng.normal(0, NOISE, y.shape)
    for t in range(2, y.shape[1]):
        row = t - 20
        push = 0.0 if row < 1 else DRIVE[0] * u[:, row - 1] + (DRIVE[1] * u[:, row - 2] if row > 1 else 0.0)
        y[:, t] = AUTO[0] * y[:, t - 1] + AUTO[1] * y[:, t - 2] + gain * push + noise[:, t]
    return Episodes(
        schema(static=static),
        tuple(
            Episode(
                id=f"run {k:03d}",
                time=np.arange(rows) * 5.0,
                observations=y[k, 20:, None],
                actions=u[k, :-1, None],
                static=gain[k : k + 1] if static else np.empty(0),
                known_future=np.empty((rows, 0)),
                pending=u[k, -1:],
            )
            for k in range(runs)
        ),
    )


def cases(data: Episodes, horizon: int, limit: int = 300) -> Cases:
    return cut(data, origins(data, context=8, horizon=horizon, limit=limit), horizon)
