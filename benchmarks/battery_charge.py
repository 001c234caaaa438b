"""Battery: the fastest charge within limits, planned in the learned model and in PyBaMM itself, by the same planner.

    python benchmarks/battery_charge.py              # the missing seeds, then results/battery_charge.md
    python benchmarks/battery_charge.py --seeds 0    # one seed

A seed's model is that of benchmarks/domains.py: four fifths of the cells under random requests. CELLS of the others
are used at random for 24 minutes, drained to 3 V, rested, and charged until CHARGE has flowed in. Every two minutes the
charging current of the next eight is planned anew, as large as it can be without passing 4.1 V or 38 degC. In the
model these are chances of one per cent, over futures that it believes possible; in PyBaMM (the equations of
`battery_cell`, within 0.5 mV of PyBaMM's own solver) the planner sees the true state of the very cell, which no
battery has. Limits are checked on the true voltage and temperature of every half minute. The bar: at most 5% longer,
no limit broken, at most 1/100 of the CPU time. That is measured against the vectorised equations, and against
PyBaMM's own solver by the number of rollouts that it would have to make and the CPU time of one.
"""

import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cells import by_seed, command_line, publish
from cheaper import stock_battery
from domains import fitted
from foreworld.data.episodes import Episode, Episodes
from foreworld.domains import battery_cell as cell
from foreworld.domains.base import derive_seed, split
from foreworld.domains.battery import SUBSTEPS, Battery
from foreworld.domains.collect import collect
from foreworld.model import WorldModel
from foreworld.reasoning.plan.agent import Agent
from foreworld.reasoning.plan.choose import choose, final_actions
from foreworld.reasoning.plan.futures import Actions, Futures
from foreworld.reasoning.plan.icem import ICEM
from foreworld.reasoning.plan.problem import Task, build_problem
from foreworld.reasoning.question import build_plan

RESULTS = Path(__file__).parent / "results" / "battery_charge"
USED, DRAINED, RESTED, LONGEST = 48, 150, 20, 240  # rows of half a minute
DRAIN, EMPTY, CHARGE = 2.5, 3.0, 2.5  # A; V under that current; A h
CELLS = 6
EVERY, HORIZON = 4, 16
HIGHEST, HOTTEST = 4.1, 38.0  # V, degC
PLANNER = ICEM(candidates=48, iterations=10, elites=8, decay=1.1)
BOUNDS = {"current": (-5.0, 0.0)}
CHANCES = (f"P(voltage > {HIGHEST}) <= 0.01", f"P(temperature > {HOTTEST}) <= 0.01")
CERTAIN = (f"voltage <= {HIGHEST}", f"temperature <= {HOTTEST}")


def task(limits: tuple[str, ...]) -> Task:
    """As much charge as the horizon allows."""
    return Task("current", limits=limits, bounds=BOUNDS, every=EVERY)


@dataclass
class Bench:
    """Cells on the bench and all that was recorded of them."""

    domain: Battery
    names: list[str]
    rows: list[np.ndarray]
    done: list[np.ndarray]

    @classmethod
    def prepared(cls, names: list[str], seed: int) -> "Bench":
        """Used, drained until the voltage falls to EMPTY, and rested."""
        domain, seeds = Battery(), [derive_seed(seed, "charge", name) for name in names]
        steps = USED + DRAINED + RESTED
        plan = domain.behaviour("random", names, steps=USED, seeds=seeds).intended(0, USED)
        bench = cls(domain, names, [domain.reset(names, steps=steps + LONGEST, seeds=seeds)], [])
        for step in range(USED):
            bench.act(plan[:, step])
        empty = np.zeros(len(names), bool)
        for step in range(DRAINED + RESTED):
            empty |= (bench.rows[-1][:, 0] < EMPTY) | (step >= DRAINED)
            bench.act(np.where(empty, 0.0, DRAIN)[:, None])
        return bench

    def act(self, currents: np.ndarray) -> None:
        """Half a minute of these requests [cell, 1]."""
        self.rows.append(self.domain.step(currents))
        self.done.append(currents)

    def histories(self) -> Episodes:
        """What the sensors have shown."""
        observations, actions = np.stack(self.rows, 1), np.stack(self.done, 1)
        episodes = (
            Episode(
                id=name,
                time=np.arange(observations.shape[1]) * self.domain.step_time,
                observations=observations[index],
                actions=actions[index],
                static=self.domain.static([name])[0],
                known_future=np.zeros((observations.shape[1], 0)),
                pending=np.full(1, np.nan),
            )
            for index, name in enumerate(self.names)
        )
        return Episodes(self.domain.schema, tuple(episodes))

    def truth(self, currents: np.ndarray) -> np.ndarray:
        """Voltage and temperature without the sensors' errors, while this current flows [cell, 2]."""
        voltage = cell.voltage(self.domain._state, self.domain._cells, currents, self.domain._air())
        return np.stack([voltage, cell.temperature(self.domain._state)], 1)


class CellRollout:
    """PyBaMM's equations behind some cells; see `foreworld.reasoning.plan.rollout.Rollout`. The air stays as it is."""

    def __init__(self, domain: Battery):
        self.state, self.cells, self.air = domain._state, domain._cells, domain._air()
        self.rolled = np.zeros(1, int)  # Rows that were simulated, by those that are taken from it as well.

    def search(self, actions: Actions) -> torch.Tensor:
        episodes, candidates, steps, _ = actions.shape
        own = [np.repeat(values, candidates, axis=0) for values in (self.state, self.air)]
        state, air = own
        cells = cell.Cells(*(np.repeat(values, candidates) for values in vars(self.cells).values()))
        asked, rows = actions.numpy().astype(float).reshape(episodes * candidates, steps), []
        for step in range(steps):
            flowed = asked[:, step]
            for _ in range(SUBSTEPS):
                state, flowed = cell.managed(state, cells, asked[:, step], air)
            rows.append(np.stack([cell.voltage(state, cells, flowed, air), cell.temperature(state)], 1))
        self.rolled += len(asked) * steps
        return torch.from_numpy(np.stack(rows, 1)).float().unflatten(0, (episodes, candidates))[None]

    def settle(self, actions: Actions) -> Futures:
        samples = self.search(actions)
        return Futures(samples, samples[None])

    def take(self, episodes: Sequence[int]) -> "CellRollout":
        some = copy(self)
        some.state, some.air = self.state[episodes], self.air[episodes]
        some.cells = cell.Cells(*(values[episodes] for values in vars(self.cells).values()))
        return some


def learned(model: WorldModel, seed: int) -> Callable[[Bench], tuple[np.ndarray, int]]:
    """Plans in the model."""
    agent = Agent(model, PLANNER, task=task(CHANCES), horizon=HORIZON, draws=(2, 20), seed=seed)
    return lambda bench: (agent.plan(bench.histories()).actions[:, :EVERY], 0)


def exact(model: WorldModel, seed: int) -> Callable[[Bench], tuple[np.ndarray, int]]:
    """Plans in the equations; of the model, only its scaling is looked at, and that only for open bounds."""
    before: np.ndarray | None = None

    def plan(bench: Bench) -> tuple[np.ndarray, int]:
        nonlocal before
        histories = bench.histories()
        default = build_plan(histories, model.encoding.scaling, do={"current": 0.0}, horizon=HORIZON)
        problem = build_problem(task(CERTAIN), histories, default, model.encoding.scaling, set())
        starts = [problem.gather(default.actions)]
        if before is not None:
            shifted = np.minimum(np.arange(HORIZON) + EVERY, HORIZON - 1)
            starts.insert(0, problem.gather(before[:, shifted]))
        rollout = CellRollout(bench.domain)
        knots, _ = choose(problem, rollout, PLANNER, torch.cat(starts, 1), seed)
        before = final_actions(problem, knots)
        return before[:, :EVERY], int(rollout.rolled[0])

    return plan


def charge(names: list[str], seed: int, plan: Callable[[Bench], tuple[np.ndarray, int]]) -> dict:
    """Charge the cells, all of them until the last is full."""
    bench = Bench.prepared(names, seed)
    begun, spent, rolled, plans = bench.rows[-1][:, 3].copy(), 0.0, 0, 0
    charged, seen = [np.zeros(len(names))], []
    while (charged[-1] < CHARGE).any() and len(seen) < LONGEST:
        began = time.process_time()
        currents, rows = plan(bench)
        spent, rolled, plans = spent + time.process_time() - began, rolled + rows, plans + 1
        for step in range(min(EVERY, LONGEST - len(seen))):
            bench.act(currents[:, step])
            charged.append(begun - bench.rows[-1][:, 3])
            seen.append(bench.truth(bench.rows[-1][:, 2]))
    path, truth = np.stack(charged, 1), np.stack(seen, 1)
    full = [np.interp(CHARGE, row, np.arange(len(row)) / 2) if row[-1] >= CHARGE else np.nan for row in path]
    # A cell is on the charger until its own charge has flowed.
    last = [int(np.ceil(2 * minutes)) if np.isfinite(minutes) else len(truth[0]) for minutes in full]
    return {
        "minutes": np.round(full, 3).tolist(),
        "highest_voltage": [round(float(truth[i, :end, 0].max()), 4) for i, end in enumerate(last)],
        "highest_temperature": [round(float(truth[i, :end, 1].max()), 3) for i, end in enumerate(last)],
        "cpu_per_plan": spent / plans / len(names),
        "rows_per_plan": rolled / plans / len(names),
    }


def run(seed: int) -> dict:
    """Fit on the other cells, and charge by both planners."""
    domain = Battery()
    train, test = split(domain.instances, seed, domain.study.folds)
    steps = domain.study.steps
    model = fitted(
        "battery", seed, lambda: collect(domain, instances=train, steps=steps, seed=100 + seed), domain.study.horizon
    )
    names = [test[place] for place in np.linspace(0, len(test) - 1, CELLS).round().astype(int)]
    follow = stock_battery()
    began = time.process_time()
    follow(np.full(HORIZON, -2.0))
    stock = (time.process_time() - began) / HORIZON
    return {
        "seed": seed,
        "cells": names,
        "stock_cpu_per_row": stock,
        "learned": charge(names, seed, learned(model, seed)),
        "exact": charge(names, seed, exact(model, seed)),
    }


def report(cells: list[dict]) -> str:
    """The committed table."""
    lines = [
        "# Battery: the fastest charge, planned in the learned model and in PyBaMM",
        "",
        f"`python benchmarks/battery_charge.py`: {CELLS} unseen cells a seed, {CHARGE} A h, within {HIGHEST} V and "
        f"{HOTTEST} degC.",
        "",
        "| seed | minutes, model | minutes, PyBaMM | longer | worst cell | highest V, model (PyBaMM) | "
        "highest degC, model (PyBaMM) | limits broken by model (PyBaMM) | "
        "CPU s a plan, model | equations | PyBaMM's solver |",
        "|---" * 11 + "|",
    ]
    for found in cells:
        ours, theirs = found["learned"], found["exact"]
        longer = np.array(ours["minutes"]) / np.array(theirs["minutes"]) - 1
        worst = {key: (max(ours[key]), max(theirs[key])) for key in ("highest_voltage", "highest_temperature")}
        # A millivolt and a hundredth of a kelvin are what the replay itself is exact to.
        broken = [
            sum(
                volts > HIGHEST + 1e-3 or heat > HOTTEST + 1e-2
                for volts, heat in zip(side["highest_voltage"], side["highest_temperature"], strict=True)
            )
            for side in (ours, theirs)
        ]
        stock = found["stock_cpu_per_row"] * theirs["rows_per_plan"]
        lines.append(
            f"| {found['seed']} | {np.mean(ours['minutes']):.1f} | {np.mean(theirs['minutes']):.1f} | "
            f"{100 * longer.mean():.1f}% | {100 * longer.max():.1f}% | "
            f"{worst['highest_voltage'][0]:.4f} ({worst['highest_voltage'][1]:.4f}) | "
            f"{worst['highest_temperature'][0]:.2f} ({worst['highest_temperature'][1]:.2f}) | "
            f"{broken[0]} ({broken[1]}) of {len(longer)} | {ours['cpu_per_plan']:.3f} | "
            f"{theirs['cpu_per_plan']:.2f} (1/{theirs['cpu_per_plan'] / ours['cpu_per_plan']:.0f}) | "
            f"{stock:.1f} (1/{stock / ours['cpu_per_plan']:.0f}) |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    seeds = command_line(__doc__).parse_args().seeds
    publish(RESULTS, report(by_seed(RESULTS, seeds, run)))


if __name__ == "__main__":
    main()
