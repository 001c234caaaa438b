"""What-ifs of fifty steps on the battery and on the process: how far off, and how much cheaper than to simulate them?

    python benchmarks/cheaper.py                      # the missing cells, then benchmarks/results/cheaper.md
    python benchmarks/cheaper.py battery --seeds 0

A cell is a domain and a seed: part `seed` of five of its instances is unseen, the model learns from the others with its
default settings and a horizon of fifty steps. The bars: a median absolute error (of the median forecast, over cases and
steps) within 5% of each target's range in the test episodes, and CPU seconds a trajectory at most 1/100 of the
simulator's, both on the same core, one thread, one after the other. `model` is a trajectory of one network, reading the
history included; `200 draws` is a whole answer: as many calibrated futures of the ensemble, with a verdict on how
familiar the question is. `stock` is the simulator as its package runs it.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cells import KEPT, command_line, fill, gather, publish
from foreworld.data.plan import Cases
from foreworld.domains import registry
from foreworld.domains.base import Domain, split
from foreworld.domains.battery_cell import INPUTS, built
from foreworld.domains.collect import branch, collect, draw_origins
from foreworld.model import WorldModel

RESULTS = Path(__file__).parent / "results" / "cheaper"
MODELS = KEPT / "cheaper"
NAMES = ("battery", "process")
HORIZON, CASES, ALTERNATIVES, TIMED = 50, 96, 4, 24
MEMBERS = 200


def run(name: str, seed: int) -> dict:
    """Fit, ask, and time."""
    domain = registry.create(name)
    assert isinstance(domain, Domain)
    train, test = split(domain.instances, seed, domain.study.folds)
    steps = domain.study.steps
    kept = MODELS / name / f"seed{seed}"
    if not kept.exists():
        WorldModel.fit(collect(domain, instances=train, steps=steps, seed=300 + seed), seed=seed, horizon=HORIZON).save(
            kept
        )
    model = WorldModel.load(kept)
    rows = (domain.study.first, steps - HORIZON)
    per_episode = max(1, CASES // (ALTERNATIVES * len(test)))
    asked = draw_origins(domain, ids=test, per_episode=per_episode, rows=rows, seed=300 + seed)
    cases = branch(domain, origins=asked, horizon=HORIZON, alternatives=ALTERNATIVES, seed=300 + seed)
    recorded = collect(domain, instances=test, steps=steps, seed=300 + seed)
    seen = np.concatenate([episode.observations for episode in recorded])
    width = np.ptp(seen[:, list(domain.schema.target_indices)], axis=0)
    forecast = np.median(model.forecast(cases.histories, cases.plan, members=MEMBERS, seed=seed), axis=0)
    return {
        "domain": name,
        "seed": seed,
        "cases": len(cases.truth),
        "targets": [target.name for target in domain.schema.targets],
        "error": (np.median(np.abs(forecast - cases.truth), axis=(0, 1)) / width).tolist(),
        "error_last_step": (np.median(np.abs(forecast - cases.truth)[:, -1], axis=0) / width).tolist(),
        "cpu": timed(domain, model, cases, test),
    }


def timed(domain: Domain, model: WorldModel, cases: Cases, test: list[str]) -> dict[str, float]:
    """CPU seconds for one trajectory of fifty steps."""
    names = (test * TIMED)[:TIMED]
    plan = domain.behaviour(domain.policies[0], names, steps=HORIZON, seeds=range(TIMED)).intended(0, HORIZON)

    def simulate() -> None:
        domain.reset(names, steps=HORIZON, seeds=range(TIMED))
        for step in range(HORIZON):
            domain.step(plan[:, step])

    simulate()
    members, asked = model.config.members, len(cases.truth)
    found = {
        "simulator": cpu(simulate) / TIMED,
        "model": cpu(lambda: model.draw(cases.histories, cases.plan, draws=1, seed=0)) / (asked * members),
        "model_200_draws": cpu(lambda: model.forecast(cases.histories, cases.plan, members=MEMBERS)) / asked,
    }
    if domain.about.name == "battery":
        follow = stock_battery()
        found["stock"] = float(np.mean([cpu(lambda row=row: follow(row)) for row in plan[:3, :, 0]]))
    return found


def stock_battery() -> Callable[[np.ndarray], None]:
    """Takes one cell through a plan by PyBaMM's own solver and step function; building the model is not counted."""
    usual: dict[str, float] = dict(zip(INPUTS[1:], (298.15, 20.0, 0.005, 0.75, 0.665), strict=True))
    simulation = built(usual)

    def follow(currents: np.ndarray) -> None:
        solution = None
        for current in currents:
            solution = simulation.step(30.0, starting_solution=solution, inputs={INPUTS[0]: float(current)}, save=False)

    follow(np.ones(1))
    return follow


def cpu(work: Callable[[], object]) -> float:
    """The least of three runs."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def report(cells: dict[str, list[dict]]) -> str:
    """One row a domain and target; a bar that is not reached is bold."""
    lines = [
        "# What-ifs of fifty steps, and what they cost",
        "",
        "`python benchmarks/cheaper.py`: unseen instances under random plans; median absolute error as a share of the",
        "target's range, mean over seeds. CPU seconds a trajectory: the simulator here (batched), the package's own",
        "stepping where that is another, a trajectory of the model, and a whole answer of 200 calibrated futures with",
        "its verdict. **Bold: the bar is not reached** (5%; 100 times cheaper, trajectory by trajectory, than the",
        "simulator here).",
        "",
        "| domain | target | seeds | error | at step 50 | simulator | stock | model | 200 draws | cheaper |",
        "|---" * 10 + "|",
    ]
    for name, found in cells.items():
        for index, target in enumerate(found[0]["targets"]):
            errors = [np.mean([cell[key][index] for cell in found]) for key in ("error", "error_last_step")]
            spent = {key: np.mean([cell["cpu"][key] for cell in found]) for key in found[0]["cpu"]}
            ratio = spent["simulator"] / spent["model"]
            parts = [
                name if index == 0 else "",
                target,
                str(len(found)),
                f"{errors[0]:.1%}" if errors[0] <= 0.05 else f"**{errors[0]:.1%}**",
                f"{errors[1]:.1%}",
                f"{spent['simulator']:.3g}",
                f"{spent['stock']:.3g}" if "stock" in spent else "-",
                f"{spent['model']:.2g}",
                f"{spent['model_200_draws']:.2g}",
                f"{ratio:.0f}x" if ratio >= 100 else f"**{ratio:.0f}x**",
            ]
            lines.append("| " + " | ".join(parts) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = command_line(__doc__, f"of {', '.join(NAMES)}; both by default").parse_args()
    fill(RESULTS, arguments.names or NAMES, arguments.seeds, run)
    publish(RESULTS, report(gather(RESULTS, NAMES)))


if __name__ == "__main__":
    main()
