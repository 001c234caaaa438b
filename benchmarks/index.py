"""Density forecasts of the S&P 500 from one to twenty days ahead, every trading day from 2015 to 2022.

    python benchmarks/index.py                # the missing seeds, then the table: benchmarks/results/index.md
    python benchmarks/index.py --seeds 0

Everything is fitted once, to 1991-2014, and walks forward through the eight years after that with what was known on
each day. A seed takes some five minutes on one core; models and the score of every day are kept in build, so that
a second call goes on where the first stopped.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cells import KEPT
from foreworld.data.episodes import Episodes
from foreworld.data.plan import Forecaster, cut
from foreworld.domains.index import SPANS, Index
from foreworld.evidence.metrics import coverage, crps
from foreworld.model import WorldModel

RESULTS = Path(__file__).parent / "results" / "index"
BUILD = KEPT / "index"
STEPS = (1, *SPANS)
MEMBERS, CHUNK = 500, 100
BLOCK, DRAWS = 60, 2000  # trading days that are resampled together, and resamples
CALM, CRISIS = (2017, 2019, 2021), (2018, 2020, 2022)
OURS, ADDED = "foreworld", "foreworld, days added up"


def score(forecaster: Forecaster, test: Episodes, *, added: bool = False) -> dict[str, np.ndarray]:
    """Of every day of the test in order: CRPS and 90% coverage of the daily and the cumulated returns at STEPS.

    With `added`, cumulated returns are sums of the sampled daily ones, and not the targets of that name.
    """
    study = Index.study
    places = [
        (index, row)
        for index, episode in enumerate(test)
        for row in range(study.first - 1, episode.steps - study.horizon + 1)
    ]
    steps = np.array(STEPS) - 1
    parts = []
    for start in range(0, len(places), CHUNK):
        cases = cut(test, places[start : start + CHUNK], study.horizon)
        samples = forecaster.forecast(cases.histories, cases.plan, members=MEMBERS, seed=start)
        daily, truth = samples[..., steps, 0], cases.truth[:, steps, 0]
        total, reached = samples[..., steps, np.arange(len(STEPS))], cases.truth[:, steps, np.arange(len(STEPS))]
        if added:
            total = np.cumsum(samples[..., 0], axis=-1)[..., steps]
        pairs = {"daily": (daily, truth), "cumulated": (total, reached)}
        parts.append(
            {f"{name} crps": crps(*pair) for name, pair in pairs.items()}
            | {f"{name} covered": coverage(*pair, 0.9) for name, pair in pairs.items()}
        )
    years = np.array([int(str(test[index].id)) for index, _ in places])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | {"year": years}


def kept(name: str, make) -> dict[str, np.ndarray]:
    """Scores that were computed before, or are now."""
    path = BUILD / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **make())
    with np.load(path) as arrays:
        return dict(arrays)


def model(seed: int, train: Episodes) -> WorldModel:
    """The default model, fitted or loaded."""
    path = BUILD / f"model{seed}"
    if not path.exists():
        WorldModel.fit(train, seed=seed, horizon=Index.study.horizon).save(path)
    return WorldModel.load(path)


def block_bootstrap(values: Float[np.ndarray, "day step"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over days and its 90% interval by the circular block bootstrap (Politis and Romano, 1992)."""
    days = len(values)
    rng = np.random.default_rng(0)
    total = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values, values[:BLOCK]]), axis=0)
    starts = rng.integers(days, size=(DRAWS, -(-days // BLOCK)))
    means = (total[starts + BLOCK] - total[starts]).sum(1) / (starts.shape[1] * BLOCK)
    low, high = np.quantile(means, [0.05, 0.95], axis=0)
    return values.mean(0), low, high


def summary(seeds: list[dict], added: list[dict], baselines: dict[str, dict]) -> dict:
    """Means over days and seeds, paired differences to each baseline, and coverage by year; lists are by STEPS."""
    result: dict = {"steps": STEPS, "seeds": len(seeds), "days": len(seeds[0]["year"]), "crps": {}, "less": {}}
    years = seeds[0]["year"]
    for kind in ("daily", "cumulated"):
        ours = np.mean([scores[f"{kind} crps"] for scores in seeds], axis=0)
        table = {OURS: ours}
        if kind == "cumulated":
            table[ADDED] = np.mean([scores["cumulated crps"] for scores in added], axis=0)
        table |= {name: scores[f"{kind} crps"] for name, scores in baselines.items()}
        result["crps"][kind] = {name: values.mean(0).tolist() for name, values in table.items()}
        result["less"][kind] = {
            name: [ends.tolist() for ends in block_bootstrap(table[name] - ours)] for name in baselines
        }
        result.setdefault("spread", {})[kind] = np.std(
            [scores[f"{kind} crps"].mean(0) for scores in seeds], axis=0
        ).tolist()
    groups = {"all": years > 0, "calm": np.isin(years, CALM), "crisis": np.isin(years, CRISIS)}
    groups |= {str(year): years == year for year in np.unique(years)}
    everyone = {OURS: seeds} | {name: [scores] for name, scores in baselines.items()}
    result["covered"] = {
        kind: {
            name: {
                group: np.mean([s[f"{kind} covered"][inside].mean(0) for s in scores], axis=0).tolist()
                for group, inside in groups.items()
            }
            for name, scores in everyone.items()
        }
        for kind in ("daily", "cumulated")
    }
    return result


def report(found: dict) -> str:
    """The committed table."""
    lines = [
        "# S&P 500, one to twenty days ahead",
        "",
        f"`python benchmarks/index.py`: {found['days']} days from 2015 to 2022, {found['seeds']} seed(s) of ours;",
        "everything fitted once to 1991-2014. CRPS in %, lower is better; in brackets how much worse than ours, with",
        f"the 90% interval of a paired bootstrap of blocks of {BLOCK} days. **Bold: significantly better than ours.**",
    ]
    header = "| | " + " | ".join(f"{step} day{'s' * (step > 1)}" for step in found["steps"]) + " |"
    rule = "|---" * (len(found["steps"]) + 1) + "|"
    titles = {"daily": "Return of the day that lies so far ahead", "cumulated": "Return from now until then"}
    for kind, title in titles.items():
        lines += ["", f"## {title}", "", header, rule]
        for name, values in found["crps"][kind].items():
            cells = [f"{value:.4f}" for value in values]
            if name in found["less"][kind]:
                ends = zip(*found["less"][kind][name], strict=True)
                cells = [worse(cell, *end) for cell, end in zip(cells, ends, strict=True)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for kind, title in titles.items():
        lines += ["", f"## Coverage of 90% intervals (%): {title.lower()}", ""]
        lines += [header.replace("| |", "| | years |", 1), "|---" + rule]
        for name, groups in found["covered"][kind].items():
            for group in ("all", "calm", "crisis", *(("2017", "2020") if name == OURS else ())):
                cells = [f"{100 * value:.1f}" for value in groups[group]]
                lines.append(f"| {name} | {group} | " + " | ".join(cells) + " |")
    lines += ["", f"Calm years: {', '.join(map(str, CALM))}; crisis years: {', '.join(map(str, CRISIS))}.", ""]
    return "\n".join(lines)


def worse(cell: str, mean: float, low: float, high: float) -> str:
    text = f"{cell} ({mean:+.4f}, {low:+.4f} to {high:+.4f})"
    return f"**{text}**" if high < 0 else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(range(5)))
    arguments = parser.parse_args()
    domain = Index()
    train, test = domain.split(0)
    baselines = {
        name: kept(name, lambda fit=fit: score(fit(train, domain.study.horizon), test))
        for name, fit in domain.baselines.items()
    }
    for seed in arguments.seeds:
        kept(f"seed{seed}", lambda seed=seed: score(model(seed, train), test))
        kept(f"added{seed}", lambda seed=seed: score(model(seed, train), test, added=True))
    done = [seed for seed in range(100) if (BUILD / f"added{seed}.npz").exists()]
    seeds, added = ([kept(f"{kind}{seed}", dict) for seed in done] for kind in ("seed", "added"))
    found = summary(seeds, added, baselines)
    RESULTS.with_suffix(".json").write_text(json.dumps(found, indent=1))
    table = report(found)
    RESULTS.with_suffix(".md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
