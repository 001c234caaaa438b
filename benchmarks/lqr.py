"""Known answers: plans on twenty random linear systems against optimal control (LQR), for every planner.

    python benchmarks/lqr.py      # benchmarks/results/lqr.{json,md}

The rollout is the exact system (3 states, 2 inputs, spectral radius 1.02, horizon 8), so the search alone is
measured. The cost of a plan is that of its inputs without noise; the bar is 1.05 x LQR. Iterations were chosen on
systems 0 to 4; these are others.
"""

import json
from pathlib import Path

import numpy as np
import torch

from foreworld.reasoning.plan.cem import CEM
from foreworld.reasoning.plan.choose import choose, final_actions
from foreworld.reasoning.plan.gradient import Gradient
from foreworld.reasoning.plan.icem import ICEM
from foreworld.reasoning.plan.mppi import MPPI
from foreworld.reasoning.plan.problem import Task
from foreworld.reasoning.plan.search import Planner
from foreworld.testing.linear import ExactRollout, Linear, problem

RESULTS = Path(__file__).parent / "results" / "lqr"
SYSTEMS, STARTS, HORIZON, BAR = range(100, 120), 8, 8, 1.05
PLANNERS: dict[str, Planner] = {
    "cem": CEM(iterations=60),
    "icem": ICEM(iterations=60, decay=1.0),
    "mppi": MPPI(iterations=60),
    "gradient": Gradient(steps=120),
}


def ratios(planner: Planner, seed: int) -> list[float]:
    """Cost of the plan over that of LQR, from each start."""
    system = Linear.random(seed)
    starts = np.random.default_rng(seed).normal(0, 1, (STARTS, 3))
    asked, rollout = problem(system, starts, HORIZON, Task(system.goal)), ExactRollout(system, starts, HORIZON)
    with torch.no_grad():
        knots, _ = choose(asked, rollout, planner, asked.gather(asked.plan.actions), seed)
        inputs = final_actions(asked, knots)
    pairs = zip(starts, inputs, strict=True)
    return [system.cost(start, plan) / system.lqr(start, HORIZON)[1] for start, plan in pairs]


def main() -> None:
    found = {name: [ratios(planner, seed) for seed in SYSTEMS] for name, planner in PLANNERS.items()}
    RESULTS.with_suffix(".json").write_text(json.dumps({"bar": BAR, "model": "exact", "ratio": found}, indent=1))
    lines = [
        "# Plans against LQR",
        "",
        f"`python benchmarks/lqr.py`: {len(SYSTEMS)} systems x {STARTS} starts, exact model, horizon {HORIZON}. Cost "
        f"of the plan over that of LQR; bar {BAR}.",
        "",
        "| planner | mean | systems above the bar | worst system | worst plan |",
        "|---|---|---|---|---|",
    ]
    for name, by_seed in found.items():
        values = np.array(by_seed)
        by_system = values.mean(1)
        lines.append(
            f"| {name} | {values.mean():.3f} | {(by_system > BAR).sum()} of {len(by_system)} | {by_system.max():.3f} | "
            f"{values.max():.3f} |"
        )
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
