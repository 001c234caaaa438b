"""A linear-Gaussian system with actions, where the best possible forecast is known: the Kalman filter (five seeds).

    python benchmarks/kalman.py               # benchmarks/results/kalman.md

A damped rotation in two dimensions, driven by an action and by noise; one coordinate is seen, with noise. 200 episodes
of 200 steps to train on, 100 others to forecast.
"""

import json
from pathlib import Path

import numpy as np

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, cut
from foreworld.data.schema import Schema, Variable
from foreworld.evidence import metrics
from foreworld.evidence.evaluate import origins
from foreworld.model import WorldModel

RESULTS = Path(__file__).parent / "results"
HORIZON, SEEDS = 10, 5
ANGLE, DAMPING = 0.25, 0.95
A = DAMPING * np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
B, C = np.array([0.0, 0.5]), np.array([1.0, 0.0])
Q, R = 0.04 * np.eye(2), 0.09


def simulate(episodes: int, steps: int, seed: int) -> Episodes:
    """Trajectories under random actions."""
    rng = np.random.default_rng(seed)
    state = rng.normal(size=(episodes, 2))
    actions = rng.normal(size=(episodes, steps))
    seen = [state @ C]
    for step in range(steps):
        state = state @ A.T + actions[:, step, None] * B + rng.normal(size=state.shape) @ np.linalg.cholesky(Q).T
        seen.append(state @ C)
    observed = np.stack(seen, axis=1) + np.sqrt(R) * rng.normal(size=(episodes, steps + 1))
    schema = Schema(
        id="run",
        time="step",
        variables=(Variable(name="position", role="observation", target=True), Variable(name="force", role="action")),
    )
    return Episodes(
        schema,
        tuple(
            Episode(
                id=index,
                time=np.arange(steps + 1.0),
                observations=observed[index, :, None].astype(np.float32),
                actions=actions[index, :, None].astype(np.float32),
                static=np.zeros(0, np.float32),
                known_future=np.zeros((steps + 1, 0), np.float32),
                pending=np.full(1, np.nan, np.float32),
            )
            for index in range(episodes)
        ),
    )


def kalman(cases: Cases) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every future observation, [case, step]; exact."""
    means, variances = [], []
    for history, plan in zip(cases.histories, cases.plan.actions, strict=True):
        mean, covariance = np.zeros(2), np.eye(2)
        for row, seen in enumerate(history.observations[:, 0]):
            if row:
                mean, covariance = A @ mean + B * history.actions[row - 1, 0], A @ covariance @ A.T + Q
            gain = covariance @ C / (C @ covariance @ C + R)
            mean, covariance = mean + gain * (seen - C @ mean), covariance - np.outer(gain, C @ covariance)
        path = []
        for action in plan[:, 0]:
            mean, covariance = A @ mean + B * action, A @ covariance @ A.T + Q
            path.append((C @ mean, C @ covariance @ C + R))
        means.append([point[0] for point in path])
        variances.append([point[1] for point in path])
    return np.array(means), np.array(variances)


def run(seed: int) -> dict:
    """RMSE and CRPS of the model over those of the filter, by step."""
    model = WorldModel.fit(simulate(200, 200, seed), seed=seed, horizon=HORIZON)
    new = simulate(100, 200, 1000 + seed)
    cases = cut(new, origins(new, context=50, horizon=HORIZON, limit=2000, seed=seed), HORIZON)
    mean, variance = kalman(cases)
    truth = cases.truth[..., 0].astype(np.float64)
    best = np.random.default_rng(seed).normal(size=(200, *mean.shape)) * np.sqrt(variance) + mean
    ours = model.forecast(cases.histories, cases.plan, seed=seed)[..., 0]
    rmse = [np.sqrt(np.square(guess - truth).mean(0)) for guess in (ours.mean(0), mean)]
    crps = [metrics.crps(samples, truth).mean(0) for samples in (ours, best)]
    low, high = metrics.interval(ours, 0.9)
    return {
        "rmse": (rmse[0] / rmse[1]).tolist(),
        "crps": (crps[0] / crps[1]).tolist(),
        "coverage_90": ((truth >= low) & (truth <= high)).mean(0).tolist(),
        "versions": model.about["versions"],
    }


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    results = [run(seed) for seed in range(SEEDS)]
    (RESULTS / "kalman.json").write_text(json.dumps(results, indent=1))
    lines = [
        "# Against the Kalman filter",
        "",
        f"`python benchmarks/kalman.py`, {SEEDS} seeds; mean over seeds (worst seed). 1 is the best that is possible.",
        "",
        "| step | RMSE / Kalman | CRPS / Kalman | coverage of 90% |",
        "|---|---|---|---|",
    ]
    for step in range(HORIZON):
        cells = []
        for name, worst in (("rmse", max), ("crps", max), ("coverage_90", min)):
            values = [result[name][step] for result in results]
            cells.append(f"{np.mean(values):.3f} ({worst(values):.3f})")
        lines.append(f"| {step + 1} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    (RESULTS / "kalman.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
