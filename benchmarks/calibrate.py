"""Do intervals hold what they say? Coverage at every horizon, in every group, along shifted streams, of whole futures.

    python benchmarks/calibrate.py                          # the missing cells, then benchmarks/results/calibrate.md
    python benchmarks/calibrate.py tumour --seeds 0 --small # a trial of some minutes, kept apart

A cell is a domain and a seed; models are those of `domains.py`, kept in build and fitted where missing. Test
episodes are new ones of instances that are not in training.

- **Horizon**: the share of truths within 50/80/90% intervals at every step: without calibration; calibrated at fit
  time; calibrated anew on fresh episodes. The last is measured crosswise: half of the test instances calibrate for the
  other half. Where futures and truth share a value, as the zero of tumours that are gone, an interval that ends there
  holds more than its share however right the forecast is; such a truth is placed at random among its equals (randomised
  PIT: Czado, Gneiting and Held, Biometrics 2009), and what closed intervals hold stands beside it.
- **Group**: the same two recalibrations, with and without `by`, in each group.
- **Stream**: episodes of the shifted worlds (more sensor noise, sicker), one stream each, six steps ahead at most.
- **Band**: the share of futures that lie in the 90% intervals of all steps at once, and in the 90% band.

Every 40 questions have noise of their own, in the test as in calibration. Bar: within 2 points at every step.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cells import KEPT, command_line, fill, gather, publish
from domains import learn
from foreworld.data.plan import Cases, cut
from foreworld.domains import registry
from foreworld.domains.base import Domain, split
from foreworld.domains.collect import collect, instance_of
from foreworld.evidence import metrics
from foreworld.evidence.evaluate import origins
from foreworld.model import WorldModel
from foreworld.reasoning.band import Band
from foreworld.reasoning.calibrate import LEVELS, Calibration
from foreworld.reasoning.groups import Groups
from foreworld.reasoning.held_out import BATCH, batch_seed
from foreworld.reasoning.pool import bounded
from foreworld.reasoning.recalibrate import ends
from foreworld.world.config import FitConfig

HERE = Path(__file__).parent
SHIFTS = {
    "glucose": ("noisier sensor", "insulin resistant"),
    "tumour": ("late", "resistant"),
    "anaesthesia": ("noisier readings", "elderly"),
    "weather": ("noisy instruments", "weak coupling"),
}
BY = {"glucose": "group", "tumour": "type", "anaesthesia": "sex", "weather": None}
EPISODES = {"glucose": 4, "tumour": 6, "anaesthesia": 2, "weather": 2}  # Of each test instance.
COVERED = (0.5, 0.8, 0.9)
CASES, STREAMS, ROWS, AHEAD = 2000, 12, 400, 6
FEW = {"cases": 600, "streams": 5, "rows": 240}  # Of a trial.
SMALL = {"members": 3, "steps": 200, "horizon": 12, "context": 48, "batch": 12, "cases": 1000}


def run(name: str, seed: int, small: bool) -> dict:
    """Everything about one model."""
    domain, test, model = _learn(name, seed, small)
    horizon, steps = model.config.horizon, domain.study.steps if not small else min(domain.study.steps, FEW["rows"])
    fresh = collect(domain, instances=test, episodes_per_instance=EPISODES[name], steps=steps, seed=500 + seed)
    count = FEW["cases"] if small else CASES
    places = origins(fresh, context=max(domain.study.first, 1), horizon=horizon, limit=count, seed=seed)
    cases = cut(fresh, places, horizon)
    drawn, growth = _draw(model, cases, seed)
    owner = np.array([instance_of(str(group)) for group in cases.group])
    numbers = [index for index, target in enumerate(domain.schema.targets) if target.kind == "continuous"]

    def seen(each: WorldModel) -> np.ndarray:
        """Calibrated futures of the test cases."""
        parts = [
            each.calibrated(part, model.config.draws, cases.histories.take(range(start, start + part.shape[2])), wide)
            for start, part, wide in zip(range(0, len(owner), BATCH), drawn, growth, strict=True)
        ]
        return bounded(np.concatenate(parts, 1), domain.schema.targets)

    result: dict = {"domain": name, "seed": seed, "cases": len(owner), "instances": len(test), "horizon": horizon}
    result["targets"] = [domain.schema.targets[index].name for index in numbers]
    variants = {"none": seen(replace(model, calibration=_identity(model.calibration)))}
    variants["at fit"] = seen(model)
    # Crosswise: each half of the test instances is scored with the calibration of the other.
    half = np.random.default_rng([seed, 8]).permutation(test)[: len(test) // 2]
    inside = np.isin(owner, half)
    labels = np.zeros(len(owner), int)
    anew: dict[str, list[WorldModel]] = {"anew": [], "anew by group": []}
    for wanted in (False, True):  # Of the instances that are scored.
        others = [i for i, episode in enumerate(fresh) if (instance_of(str(episode.id)) in half) != wanted]
        anew["anew"].append(model.calibrate(fresh.take(others), seed=seed).model)
        if BY[name]:
            anew["anew by group"].append(model.calibrate(fresh.take(others), by=BY[name], seed=seed).model)
    for key, pair in anew.items():
        if pair:
            variants[key] = np.where(inside[:, None, None], seen(pair[1]), seen(pair[0]))
    if BY[name]:
        groups = Groups.fit(BY[name], cases.histories)
        labels, result["groups"] = groups.of(cases.histories), list(groups.labels)
    result["coverage"] = {key: _coverage(samples, cases, numbers, owner, labels) for key, samples in variants.items()}
    halves = [(inside, anew["anew"][1]), (~inside, anew["anew"][0])]
    result["band"] = {
        "at fit": _bands(variants["at fit"], cases, [(np.ones(len(owner), bool), model)], numbers),
        "anew": _bands(variants["anew"], cases, halves, numbers),
    }
    streams = FEW["streams"] if small else STREAMS
    result["stream"] = {
        shift: _stream(domain, shift, test[:streams], model, seed, steps) for shift in ("", *SHIFTS[name])
    }
    return result


def _learn(name: str, seed: int, small: bool) -> tuple[Domain, list[str], WorldModel]:
    if not small:
        domain, test, _, _, model = learn(name, seed)
        assert isinstance(domain, Domain)
        return domain, test, model
    domain = registry.simulator(name)
    train, test = split(domain.instances, seed, domain.study.folds)
    study, kept = domain.study, KEPT / "calibrate-small" / name / f"seed{seed}"
    steps = min(study.steps, ROWS)  # Enough to fit in half a minute.
    data = collect(domain, instances=train, episodes_per_instance=study.episodes, steps=steps, seed=100 + seed)
    if not kept.exists():
        WorldModel.fit(data, seed=seed, config=FitConfig.model_validate(SMALL), baselines={}).save(kept)
    return domain, test, WorldModel.load(kept)


def _draw(model: WorldModel, cases: Cases, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Futures of every network before calibration, and the growth of the error, in batches."""
    parts, growth = [], []
    for start in range(0, len(cases.truth), BATCH):
        histories = cases.histories.take(range(start, min(start + BATCH, len(cases.truth))))
        plan = cases.plan.take(slice(start, start + BATCH))
        noise = batch_seed(10_000 + seed, start)
        parts.append(model.draw(histories, plan, draws=model.config.draws, seed=noise))
        growth.append(model.judge(histories, plan).growth)
    return parts, growth


def _identity(known: Calibration) -> Calibration:
    steps, targets = np.shape(known.shift)
    zero, one = np.zeros((steps, targets)).tolist(), np.ones((steps, targets)).tolist()
    factors = np.ones((steps, targets, len(LEVELS))).tolist()
    return Calibration(pivot=zero, slope=one, shift=zero, factors=factors, cases=0, episodes=0)


def _coverage(
    samples: np.ndarray, cases: Cases, numbers: list[int], owner: np.ndarray, labels: np.ndarray
) -> dict[str, list]:
    """By level, target and step: share of truths, its standard error over instances, the share in each group, and the
    share in closed intervals."""
    found: dict[str, list] = {"share": [], "closed": [], "error": [], "groups": []}
    place = metrics.pit(samples[..., numbers], cases.truth[..., numbers])
    for level in COVERED:
        low, high = metrics.interval(samples[..., numbers], level)
        truth = cases.truth[..., numbers]
        closed = np.where(np.isfinite(truth), (truth >= low) & (truth <= high), np.nan)
        found["closed"].append(np.nanmean(closed, axis=0).T.round(5).tolist())
        inside = metrics.within(place, level)
        each = np.stack([np.nanmean(inside[owner == name], axis=0) for name in np.unique(owner)])
        share = np.nanmean(inside, axis=0).T
        found["share"].append(share.round(5).tolist())
        found["error"].append((each.std(0, ddof=1) / np.sqrt(len(each))).T.round(5).tolist())
        found["groups"].append(
            [np.nanmean(inside[labels == label], axis=0).T.round(5).tolist() for label in np.unique(labels)]
        )
    return found


def _bands(
    samples: np.ndarray, cases: Cases, parts: list[tuple[np.ndarray, WorldModel]], numbers: list[int]
) -> dict[str, list[float]]:
    """Share of futures within all the 90% intervals, and within the 90% band."""
    low, _, high = ends(samples, 0.9)
    truth, known = cases.truth, np.isfinite(cases.truth)
    pointwise = (((truth >= low) & (truth <= high)) | ~known).all(1)
    held = np.zeros_like(pointwise)
    for chosen, model in parts:
        places = np.flatnonzero(chosen)
        band = Band.of(samples[:, places], model.calibration, cases.histories.take(places.tolist()), 0.9)
        held[places] = (((truth[places] >= band.low) & (truth[places] <= band.high)) | ~known[places]).all(1)
    return {"intervals": pointwise.mean(0)[numbers].tolist(), "band": held.mean(0)[numbers].tolist()}


def _stream(domain: Domain, shift: str, test: list[str], model: WorldModel, seed: int, steps: int) -> dict:
    """Coverage of 90% intervals by steps ahead along episodes of a world, shifted or not."""
    world = domain.shifted(shift) if shift else domain
    instances = test if set(test) <= set(world.instances) else list(world.instances)[: len(test)]
    data = collect(world, instances=instances, steps=min(steps, ROWS), seed=700 + seed)
    return model.adapt(data, horizon=min(AHEAD, model.config.horizon), seed=seed).summary()


def report(cells: dict[str, list[dict]], command: str) -> str:
    """Four tables; coverage is averaged over seeds before the worst step is looked for."""
    lines = [
        "# Do intervals hold what they say?",
        "",
        f"`{command}`, whose first lines say what was measured. Coverage in percent; **bold: more than 2 points off**.",
        "Worst: the step that is farthest off, seeds together. Error: standard error of the 90% share at the last",
        "step, over test instances of all seeds: what chance alone makes of it.",
        "",
        "## At every horizon: mean over the steps, and the worst step",
        "",
        "| domain | target | seeds | calibration | 50% | 80% | 90% | cells within 2 points | error | closed |",
        "|---" * 10 + "|",
    ]
    for name, found in cells.items():
        for index, target in enumerate(found[0]["targets"]):
            for key in found[0]["coverage"]:
                share = 100 * np.mean([np.array(cell["coverage"][key]["share"])[:, index] for cell in found], axis=0)
                last = np.array([cell["coverage"][key]["error"][2][index][-1] for cell in found])
                error = 100 * np.sqrt(np.square(last).sum()) / len(found)
                columns = [name, target, str(len(found)), key]
                for row, level in zip(share, COVERED, strict=True):
                    worst = row[np.abs(row - 100 * level).argmax()]
                    columns.append(f"{row.mean():.1f} ({_bold(worst, level)})")
                near = np.abs(share - 100 * np.array(COVERED)[:, None]) <= 2
                held = 100 * np.mean([np.array(cell["coverage"][key]["closed"])[:, index] for cell in found], axis=0)
                closed = " / ".join(f"{value:.1f}" for value in held.mean(1))
                columns += [f"{near.sum()} of {near.size}", f"{error:.1f}", closed]
                lines.append("| " + " | ".join(columns) + " |")
    lines += ["", "## In every group: 90% intervals, mean over the steps", ""]
    lines += ["| domain | target | group | at fit | anew | anew by group |", "|---" * 6 + "|"]
    for name, found in cells.items():
        for index, target in enumerate(found[0]["targets"]):
            for place, label in enumerate(found[0].get("groups", ())):
                columns = [name, target, label]
                for key in ("at fit", "anew", "anew by group"):
                    values = [np.mean(cell["coverage"][key]["groups"][2][place][index]) for cell in found]
                    columns.append(_bold(100 * float(np.mean(values)), 0.9))
                lines.append("| " + " | ".join(columns) + " |")
    lines += ["", f"## Along streams: 90% intervals, one step and {AHEAD} ahead", ""]
    lines += ["| domain | target | world | calibrated | adapted | stretch |", "|---" * 6 + "|"]
    for name, found in cells.items():
        for target in found[0]["targets"]:
            for shift in found[0]["stream"]:
                rows = [cell["stream"][shift]["coverage"][target] for cell in found]
                columns = [name, target, shift or "as trained"]
                for key in ("calibrated", "adapted"):
                    values = [100 * float(np.mean([row[key][step] for row in rows])) for step in (0, -1)]
                    columns.append(" / ".join(_bold(value, 0.9) for value in values))
                stretch = [np.mean([row["stretch"][step] for row in rows]) for step in (0, -1)]
                lines.append("| " + " | ".join([*columns, " / ".join(f"{value:.2f}" for value in stretch)]) + " |")
    lines += ["", "## Whole futures: share within all 90% intervals at once, and within the 90% band", ""]
    lines += ["| domain | target | intervals | band, at fit | band, anew |", "|---" * 5 + "|"]
    for name, found in cells.items():
        for index, target in enumerate(found[0]["targets"]):

            def mean(key: str, kind: str, found: list[dict] = found, index: int = index) -> float:
                return 100 * float(np.mean([cell["band"][key][kind][index] for cell in found]))

            bands = [_bold(mean(key, "band"), 0.9) for key in ("at fit", "anew")]
            lines.append("| " + " | ".join([name, target, f"{mean('at fit', 'intervals'):.1f}", *bands]) + " |")
    return "\n".join(lines) + "\n"


def _bold(share: float, level: float) -> str:
    return f"{share:.1f}" if abs(share - 100 * level) <= 2 else f"**{share:.1f}**"


def main() -> None:
    parser = command_line(__doc__, f"domains; {', '.join(SHIFTS)} by default")
    parser.add_argument("--small", action="store_true", help="a trial with small models, kept apart")
    arguments = parser.parse_args()
    results = HERE / "results" / ("calibrate-small" if arguments.small else "calibrate")
    fill(results, arguments.names or SHIFTS, arguments.seeds, lambda name, seed: run(name, seed, arguments.small))
    command = f"python benchmarks/calibrate.py{' --small' * arguments.small}"
    publish(results, report(gather(results, tuple(SHIFTS)), command))


if __name__ == "__main__":
    main()
