"""Propofol x remifentanil: the model's response surfaces of BIS and tolerance against the simulator's own (five seeds).

    python benchmarks/anaesthesia.py              # what is missing, then the table: benchmarks/results/anaesthesia.md
    python benchmarks/anaesthesia.py --seeds 0    # some of it

A seed leaves out a fifth of the patients and trains two default models on the others: one on `random` infusions of
both drugs, one on `separate` ones, where no patient ever gets more than one. Each is asked about the patients left out,
after an hour of the kind of treatment that it knows: what if the pumps run at constant rates for half an hour from now
on? The rates are those of a grid, the answer is the mean of the futures at the end, and the truth is what the simulator
shows there without error of measurement, from the same moment under the same plan.

- A **surface** is that answer over the grid: of each patient, or the mean over patients (what a textbook draws).
- Its **range** is the largest less the smallest value of the true mean surface.
- The **synergy index** of rates (p, r) is the effect of both less the effects of each alone, all against no drug:
  E(p, r) - E(p, 0) - E(0, r) + E(0, 0), where E is -BIS or the tolerance. It is positive where the drugs help each
  other and negative where they get in each other's way, and it measures departure from additive *effects*. Bouillon's
  BIS is additive in *doses* (Loewe); where its scale saturates, at high rates, its index is therefore negative, and at
  low ones it may be positive. Tolerance has a large positive one nearly everywhere.
- Its **sign** is judged where the true index exceeds 2% of the range: below, there is none worth knowing. Its **size**
  is the slope of predicted on true indices through the origin: 1 is right, 0 is a model that adds effects up.

The ranges of rates, the grid and the number of patients were settled after one look at a first model (seed 0, rates up
to 16 and 0.5, a grid up to 12 and 0.4, 80 training patients); nothing was changed after that.

Results are kept by seed and policy, and models in build, so that a second call goes on where the first stopped. A model
takes some five minutes on one core.
"""

import functools
import itertools
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from cells import KEPT, command_line, fill, gather, publish
from foreworld.data.plan import Cases
from foreworld.domains.anaesthesia import Anaesthesia
from foreworld.domains.anaesthesia_tci import PopulationModel
from foreworld.domains.base import split
from foreworld.domains.collect import branch, collect
from foreworld.evidence.metrics import interval as central
from foreworld.model import WorldModel
from glucose import interval

RESULTS = Path(__file__).parent / "results" / "anaesthesia"
# On the default policy the model is the one that benchmarks/domains.py fits: the same patients, seeds and settings.
MODELS = {"random": KEPT / "domains" / "anaesthesia", "separate": KEPT / "anaesthesia" / "separate"}
POLICIES = ("random", "separate")
TARGETS = {"bis": -1.0, "tolerance": 1.0}  # in which direction the drugs act
FORECASTERS = ("foreworld", "population model")
PROPOFOL = np.array([0.0, 2.0, 4.0, 6.0, 8.0, 10.0])  # mg/kg/h
REMIFENTANIL = np.array([0.0, 0.025, 0.05, 0.1, 0.15, 0.2])  # ug/kg/min
NO_SIGN = 0.02  # of the range
MEMBERS = 400


class OnGrid(Anaesthesia):
    """The domain, with every pair of rates on the grid as the alternatives of a moment."""

    def alternatives(self, instances, actions, seeds):
        pairs = np.stack(np.meshgrid(PROPOFOL, REMIFENTANIL, indexing="ij"), axis=-1).reshape(-1, 2)
        plans = np.tile(pairs, (len(instances) // len(pairs), 1))
        return np.repeat(plans[:, None], actions.shape[1], axis=1)


def learn(policy: str, seed: int) -> tuple[WorldModel, PopulationModel]:
    """The default model, which is kept, and the field's own, from the same training patients."""
    domain, kept = Anaesthesia(), MODELS[policy] / f"seed{seed}"
    train, _ = split(domain.instances, seed, domain.study.folds)
    data = collect(domain, policy=policy, instances=train, steps=domain.study.steps, seed=100 + seed)
    if not kept.exists():
        began = time.perf_counter()
        model = WorldModel.fit(data, seed=seed, horizon=domain.study.horizon)
        model.about["fit_seconds"] = round(time.perf_counter() - began, 1)
        model.save(kept)
    return WorldModel.load(kept), PopulationModel.fit(data, domain.study.horizon)


def ask(policy: str, seed: int) -> tuple[Cases, Float[np.ndarray, "patient propofol remifentanil target"]]:
    """The questions, and their answers without error of measurement."""
    domain = OnGrid()
    study = domain.study
    _, test = split(domain.instances, seed, study.folds)
    origins = [(name, study.first) for name in test]
    size = len(PROPOFOL) * len(REMIFENTANIL)
    cases = branch(domain, policy=policy, origins=origins, horizon=study.horizon, alternatives=size, seed=100 + seed)
    return cases, domain.effects().reshape(len(test), len(PROPOFOL), len(REMIFENTANIL), 2)


def run(policy: str, seed: int) -> dict:
    """Every figure of one seed and policy."""
    model, published = learn(policy, seed)
    cases, truth = ask(policy, seed)
    answer = model.follow(cases.histories, cases.plan, members=MEMBERS, seed=seed)
    other = published.forecast(cases.histories, cases.plan, members=MEMBERS, seed=seed)
    flagged = ~answer.supported[:, -1].reshape(truth.shape[:3])
    readings = cases.truth[:, -1].reshape(truth.shape)
    result: dict = {
        "seed": seed,
        "patients": len(truth),
        "fit_seconds": model.about["fit_seconds"],
        "versions": model.about["versions"],
    }
    for name, samples, flags in (
        ("foreworld", answer.samples, flagged),
        ("population model", other, np.zeros_like(flagged)),
    ):
        final = samples[:, :, -1].astype(np.float64).reshape(len(samples), *truth.shape)
        result[name] = {
            target: surface_figures(final[..., index].mean(0), truth[..., index], direction)
            | honesty_figures(final[..., index], truth[..., index], readings[..., index], flags)
            for index, (target, direction) in enumerate(TARGETS.items())
        }
    return result


def surface_figures(
    predicted: Float[np.ndarray, "patient propofol remifentanil"],
    truth: Float[np.ndarray, "patient propofol remifentanil"],
    direction: float,
) -> dict:
    """Errors of the surface and of the synergy index, for the mean over patients and for each patient."""
    mean = truth.mean(0)
    scale = float(mean.max() - mean.min())
    figures: dict = {"range": scale, "surface": predicted.mean(0).round(4).tolist(), "truth": mean.round(4).tolist()}
    for who, guess, true in (("mean", predicted.mean(0), mean), ("each", predicted, truth)):
        ours, theirs = synergy(direction * guess), synergy(direction * true)
        signed = np.abs(theirs) > NO_SIGN * scale
        figures[who] = {
            "rmse": float(np.sqrt(np.square(guess - true).mean()) / scale),
            "sign": float((np.sign(ours) == np.sign(theirs))[signed].mean()),
            "signed": float(signed.mean()),
            "size": float((ours * theirs).sum() / np.square(theirs).sum()),
            "index rmse": float(np.sqrt(np.square(ours - theirs).mean()) / scale),
            "index rms": float(np.sqrt(np.square(theirs).mean()) / scale),
        }
    return figures


def honesty_figures(
    samples: Float[np.ndarray, "member patient propofol remifentanil"],
    truth: Float[np.ndarray, "patient propofol remifentanil"],
    readings: Float[np.ndarray, "patient propofol remifentanil"],
    flagged: Bool[np.ndarray, "patient propofol remifentanil"],
) -> dict[str, float]:
    """Intervals, flags and errors where both drugs are given, and elsewhere."""
    low, high = central(samples, 0.9)
    covered = (readings >= low) & (readings <= high)
    both = np.zeros(truth.shape[1:], dtype=bool)
    both[1:, 1:] = True
    values = {
        "flagged": flagged,
        "covered": covered,
        "flagged or covered": flagged | covered,
        "width": high - low,
        "error": np.abs(samples.mean(0) - truth),
    }
    places = {"both": both, "one or none": ~both}
    return {
        f"{name} {where}": float(value[:, cells].mean())
        for name, value in values.items()
        for where, cells in places.items()
    }


def synergy(
    effect: Float[np.ndarray, "*patient propofol remifentanil"],
) -> Float[np.ndarray, "*patient positive_propofol positive_remifentanil"]:
    """The effect of both less the effects of each alone, where both are given."""
    apart = effect[..., 1:, :1] + effect[..., :1, 1:] - effect[..., :1, :1]
    return effect[..., 1:, 1:] - apart


def cell(results: list[dict], *keys: str, percent: bool = False, bar: Callable[[float], bool] | None = None) -> str:
    """Mean over seeds, and half of its 90% interval where there are two or more; bold where a bar is not reached."""
    found: list[Any] = [functools.reduce(operator.getitem, keys, result) for result in results]
    values = [100 * value if percent else value for value in found]
    words = interval(values) if len(values) > 1 else f"{values[0]:.2f}"
    return words if bar is None or bar(float(np.mean(values))) else f"**{words}**"


def report(of: dict[str, list[dict]]) -> str:
    """The committed table."""
    seeds = {policy: ", ".join(str(cell["seed"]) for cell in of.get(policy, [])) for policy in POLICIES}
    lines = [
        "# Anaesthesia: the interaction of propofol and remifentanil",
        "",
        "`python benchmarks/anaesthesia.py`, which says what each figure is. Trained on infusions of both drugs: seeds "
        f"{seeds['random'] or 'none'}; on one drug a patient: seeds {seeds['separate'] or 'none'}. Unseen patients; "
        "mean over seeds ± half of its 90% interval where there are two or more. **Bold: the bar is not reached.** The "
        "population model is the equations behind the simulator with the constants of a typical patient.",
        "",
        "## Surfaces and synergy, trained on both",
        "",
        "Bars: RMSE below 5% of the range, sign right on 95%, size within 10% of 1.",
        "",
        "| surface | of | by | RMSE (% of range) | sign right (%) | size | index, RMS (% of range) | its error, RMS |",
        "|---" * 8 + "|",
    ]
    for target, who, name in itertools.product(TARGETS, ("mean", "each"), FORECASTERS if "random" in of else ()):
        keys, ours = (name, target, who), name == "foreworld"
        figures = [
            cell(of["random"], *keys, "rmse", percent=True, bar=(lambda value: value < 5) if ours else None),
            cell(of["random"], *keys, "sign", percent=True, bar=(lambda value: value >= 95) if ours else None),
            cell(of["random"], *keys, "size", bar=(lambda value: 0.9 <= value <= 1.1) if ours else None),
            cell(of["random"], *keys, "index rms", percent=True),
            cell(of["random"], *keys, "index rmse", percent=True),
        ]
        patient = "the mean patient" if who == "mean" else "each patient"
        lines.append(f"| {target} | {patient} | {name} | " + " | ".join(figures) + " |")
    lines += [
        "",
        "## Does it know what it does not know?",
        "",
        "Bar: trained on one drug a patient, it widens its intervals or flags where both are given. Intervals are",
        "of 90%, for the reading at the end.",
        "",
        "| trained on | target | drugs | flagged (%) | covered (%) | either (%) | width | error | size of index |",
        "|---" * 9 + "|",
    ]
    for policy, target, where in itertools.product(POLICIES, TARGETS, ("one or none", "both")):
        if policy in of:
            lines.append(
                f"| {policy} | {target} | {where} | " + " | ".join(honest_cells(of[policy], target, where)) + " |"
            )
    return "\n".join(lines) + "\n"


def honest_cells(results: list[dict], target: str, where: str) -> list[str]:
    """One row of the second table."""
    keys = ("foreworld", target)
    shares = [
        cell(results, *keys, f"{name} {where}", percent=True) for name in ("flagged", "covered", "flagged or covered")
    ]
    sizes = [cell(results, *keys, f"{name} {where}") for name in ("width", "error")]
    return [*shares, *sizes, cell(results, *keys, "each", "size") if where == "both" else ""]


def main() -> None:
    arguments = command_line(__doc__, f"policies; {', '.join(POLICIES)} by default").parse_args()
    fill(RESULTS, arguments.names or POLICIES, arguments.seeds, run)
    publish(RESULTS, report(gather(RESULTS, POLICIES)))


if __name__ == "__main__":
    main()
