"""The whole way in one call: simulate, fit, test on patients never seen, ask what-ifs, write a report with pictures."""

import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.frames import write_frame
from foreworld.data.plan import Cases, Plan, cut
from foreworld.domains import registry
from foreworld.domains.base import Domain
from foreworld.domains.collect import branch, branch_effects, collect, draw_origins
from foreworld.durable import write_bytes
from foreworld.errors import QuestionError
from foreworld.evidence.evaluate import evaluate, origins
from foreworld.evidence.evaluation import Evaluation
from foreworld.evidence.plots import calibration_plot, crps_by_horizon, fan_chart, learning_curves, png
from foreworld.evidence.report import Picture, Report, Section, Table
from foreworld.model import WorldModel
from foreworld.training.progress import stage

DAYS, STEPS_A_DAY = 5, 288
HORIZON, FIRST = 36, 96
CASES = 240
WHAT_IFS = {"correction": "a correction bolus", "no insulin": "no insulin", "half meal": "half the meal"}


@dataclass(frozen=True)
class Findings:
    """What the demo measured on patients that the model never saw."""

    model: WorldModel
    factual: Evaluation
    interventional: Evaluation
    what_ifs: dict[str, tuple[Cases, Cases]]
    seconds: dict[str, float]
    test: tuple[str, ...]


def run(out: Path, *, domain: str = "glucose", seed: int = 0, progress: bool | None = None) -> dict[str, Any]:
    """Run the demo of a domain.

    Args:
        out: folder for `report.html`, the pictures, the model and a table to try.
        domain: its name; `glucose` is the only one so far.
        seed: decides everything.
        progress: progress bars; by default on a terminal only.

    Returns:
        The table against the baselines, and where everything was written.
    """
    if domain != "glucose":
        raise QuestionError(f"there is no demo of '{domain}' yet; try glucose")
    source = registry.create(domain)
    findings, recorded = measure(source, seed, progress)
    out.mkdir(parents=True, exist_ok=True)
    findings.model.save(out / "model")
    write_frame(Episodes(recorded.schema, (recorded[0].until(2 * FIRST),)).to_frame(), out / "history.csv")
    pictures = draw(findings)
    for name, picture in pictures.items():
        write_bytes(out / f"{name}.png", picture)
    report(findings, pictures, source, seed).write(out / "report.html")
    program = sys.argv[0] if Path(sys.argv[0]).name == "foreworld" else "foreworld"
    question = ["--history", str(out / "history.csv"), "--do", "bolus@0=2"]
    command = shlex.join([program, "imagine", str(out / "model"), *question])
    return {
        "unseen patients": list(findings.test),
        "CRPS, what was done": rows(findings.factual),
        "CRPS, another insulin plan": rows(findings.interventional),
        "seconds": {name: round(value) for name, value in findings.seconds.items()},
        "report": str(out / "report.html"),
        "try next": f"{command} --plot {shlex.quote(str(out / 'future.png'))}",
    }


def measure(source: Domain, seed: int, progress: bool | None) -> tuple[Findings, Episodes]:
    """Simulate, fit and score."""
    train, test = split(source)
    steps = DAYS * STEPS_A_DAY
    clock = Clock()
    with stage("simulating", progress):
        data = collect(source, instances=train, steps=steps, seed=seed)
        recorded = collect(source, instances=test, steps=steps, seed=seed)
    clock.lap("simulate")
    model = WorldModel.fit(data, seed=seed, horizon=HORIZON, progress=progress)
    clock.lap("fit")
    with stage("testing on patients never seen", progress):
        forecasters = {"foreworld": model, **model.baselines}
        places = origins(recorded, context=FIRST, horizon=HORIZON, limit=CASES, seed=seed)
        rows = (FIRST, steps - HORIZON)
        asked = draw_origins(source, instances=test, per_instance=CASES // (4 * len(test)), rows=rows, seed=seed)
        factual = evaluate(forecasters, cut(recorded, places, HORIZON), seed=seed)
        interventional = evaluate(forecasters, branch(source, origins=asked, horizon=HORIZON, seed=seed), seed=seed)
        what_ifs = {name: effect(source, test, name, seed) for name in WHAT_IFS}
    clock.lap("test")
    return Findings(model, factual, interventional, what_ifs, clock.laps, test), recorded


def split(source: Domain) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two patients of each group for the test, the others to learn from."""
    names = sorted(source.instances)
    test = tuple(name for name in names if name.endswith(("#003", "#008")))
    return tuple(name for name in names if name not in test), test


def effect(source: Domain, test: tuple[str, ...], name: str, seed: int) -> tuple[Cases, Cases]:
    """True futures with and without an intervention, from the same moments and under the same chance."""
    doing = "carbs" if "meal" in name else None
    rows = (FIRST, DAYS * STEPS_A_DAY - HORIZON)
    asked = draw_origins(source, instances=test, per_instance=20, rows=rows, doing=doing, seed=seed)
    return branch_effects(source, intervention=name, origins=asked, horizon=HORIZON, seed=seed)


class Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


def rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """CRPS at half an hour, one, two and three hours."""
    return evaluation.table(steps=(6, 12, 24, 36))


def draw(findings: Findings) -> dict[str, bytes]:
    """Every picture as PNG, by name."""
    pictures = {
        "learning": png(learning_curves(findings.model.log)),
        "calibration": png(calibration_plot(findings.interventional, steps=(6, 12, 24, 36))),
        "crps": png(crps_by_horizon(findings.interventional)),
    }
    for name, words in WHAT_IFS.items():
        pictures[f"what-if {name}".replace(" ", "-")] = png(what_if(findings, name, words))
    return pictures


def what_if(findings: Findings, name: str, words: str) -> Any:
    """One moment of one patient under two plans, over what the simulator itself does under them."""
    done, undone = findings.what_ifs[name]
    # The moment with the median true effect: neither the best nor the worst case is shown.
    size = (done.truth - undone.truth).mean((1, 2))
    chosen = int(np.argsort(size)[len(size) // 2])
    futures = {
        label: findings.model.follow(cases.histories.take([chosen]), take_plan(cases, chosen), members=1000)
        for label, cases in (("as planned", undone), (words, done))
    }
    truth = {label: cases.truth[[chosen]] for label, cases in (("as planned", undone), (words, done))}
    return fan_chart(futures, truth=truth, title=f"{done.group[chosen]}: {words}")


def take_plan(cases: Cases, index: int) -> Plan:
    """The plan of one case."""
    plan = cases.plan
    return Plan(plan.time[[index]], plan.actions[[index]], plan.known_future[[index]])


def effect_rows(findings: Findings) -> list[dict[str, str]]:
    """True and predicted mean effects over three hours."""
    table = []
    for name, words in WHAT_IFS.items():
        done, undone = findings.what_ifs[name]
        truth = (done.truth - undone.truth)[..., 0]
        row = {"what if": words, "truth": f"{truth.mean():+.1f} mg/dL"}
        for forecaster, model in (("foreworld", findings.model), ("ridge-ARX", findings.model.baselines["ridge-ARX"])):
            first, second = (model.forecast(case.histories, case.plan)[..., 0].mean(0) for case in (done, undone))
            error = float(np.square(first - second - truth).sum() / np.square(truth).sum())
            row[forecaster] = f"{(first - second).mean():+.1f} mg/dL, R2 {1 - error:.2f}"
        table.append(row)
    return table


def report(findings: Findings, pictures: dict[str, bytes], source: Domain, seed: int) -> Report:
    """The page that tells it all."""
    model, about = findings.model, findings.model.about
    gain = findings.interventional.difference("foreworld", "ridge-ARX")
    better = float(gain.high[0]) < 0
    mean = {
        name: float(findings.interventional.overall("crps").mean[i, 0])
        for i, name in enumerate(findings.interventional.forecasters)
    }
    change = 100 * (1 - mean["foreworld"] / mean["ridge-ARX"])
    against_persistence = 100 * (1 - mean["foreworld"] / mean["persistence"])
    verdict = "better than" if better else "not clearly better than" if gain.mean[0] < 0 else "no better than"
    last = {name: f"{value:.3g}" for name, value in model.log[-1].items()}
    return Report(
        title="What happens if? Glucose of virtual patients that the model has never seen",
        summary=(
            f"On {len(findings.test)} unseen patients of the UVA/Padova simulator under another insulin plan, the "
            f"world model's forecasts are {verdict} those of the tuned linear model: CRPS over three hours is "
            f"{change:.0f}% lower, and {against_persistence:.0f}% lower than that of persistence."
        ),
        sections=[
            Section(
                "What if",
                [
                    "Bands are the model's; the thin lines are what the simulator does from the same moment under the "
                    "same plan. Each picture shows the case whose true effect is the median one.",
                    *(
                        Picture(pictures[f"what-if {name}".replace(" ", "-")], f"{words} against as planned.", words)
                        for name, words in WHAT_IFS.items()
                    ),
                    Table(effect_rows(findings), "Mean effect over three hours, and R2 against predicting no effect."),
                ],
            ),
            Section(
                "Against the baselines",
                [
                    Table(rows(findings.factual), "CRPS of what was done, mean and 90% interval; lower is better."),
                    Table(rows(findings.interventional), "CRPS under another insulin plan, branched in the simulator."),
                    Picture(pictures["crps"], "CRPS by time ahead, under another insulin plan.", "CRPS by horizon"),
                ],
            ),
            Section(
                "Do the intervals keep their word?",
                [
                    Table(findings.factual.table((6, 12, 24, 36), "coverage_90"), "Share of truths in 90% intervals."),
                    Picture(pictures["calibration"], "Nominal against observed coverage.", "calibration"),
                ],
            ),
            Section(
                "Did it learn, or did it collapse?",
                [Picture(pictures["learning"], "Losses and collapse diagnostics.", "learning curves"), Table([last])],
            ),
        ],
        made={
            "command": "make demo",
            "simulator": source.about.source,
            "data": f"{about['episodes']} patients, {about['rows']} rows, sha256 {about['data'][:16]}",
            "seed": str(seed),
            "seconds": ", ".join(f"{name} {value:.0f}" for name, value in findings.seconds.items()),
            "settings": json.dumps(model.config.model_dump()),
        },
        caveats=[
            "Virtual patients are not patients: nothing here is medical advice.",
            "One seed and a handful of patients: benchmarks/ has five seeds over all thirty.",
            "Doses in the training data are partly random. Where they follow the reading alone, effects need more.",
        ],
    )
