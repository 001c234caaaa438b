"""The demo in words: what was found, how sure that is, and what the reader must not conclude."""

import json
from collections.abc import Mapping

import numpy as np

from foreworld.data.plan import Cases
from foreworld.demo.drawing import picture_of, words_of
from foreworld.demo.measuring import Findings
from foreworld.evidence.evaluation import Evaluation
from foreworld.evidence.report import Picture, Report, Section, Table

CAVEATS = {
    "medicine": "Virtual patients are not patients, and a forecast is no advice: nothing here is medical advice.",
    "finance": "Markets change, and those who trade on a forecast change them: nothing here is advice to invest.",
    "climate": "An emulator is not the climate: it stands for the models that it was tuned to.",
    "engineering": "A simulated plant is not the plant: nothing here says that a setting is safe.",
    "robotics": "A simulated robot is not the robot: contact and friction are where the two differ most.",
}


def summary(findings: Findings) -> str:
    """The finding in a sentence: against the best baseline of each quantity, whichever that turned out to be."""
    evaluation, targets = findings.scored, findings.domain.schema.targets
    verdicts = [_verdict(evaluation, index) for index in range(len(targets))]
    count = len(findings.test)
    who = f"On {count} {_counted(count, findings.domain.schema.id)} that the model has never seen"
    how = " and under plans that nobody followed" if findings.branched is not None else ""
    if len(targets) == 1:
        return f"{who}{how}, the world model's forecasts of {targets[0].name} are {verdicts[0]}."
    each = "; ".join(f"of {target.name}, {verdict}" for target, verdict in zip(targets, verdicts, strict=True))
    return f"{who}{how}, the world model's forecasts are: {each}."


def _verdict(evaluation: Evaluation, target: int) -> str:
    """About one quantity, as in `better than those of the best baseline, ...`."""
    baselines = [name for name in evaluation.forecasters if name != "foreworld"]
    means = evaluation.overall("crps", draws=2).mean[:, target]
    mean = dict(zip(evaluation.forecasters, means.tolist(), strict=True))
    best = min(baselines, key=mean.__getitem__)
    gain = evaluation.difference("foreworld", best)
    doubtful = "not clearly better than" if gain.mean[target] < 0 else "no better than"
    word = "better than" if gain.high[target] < 0 else doubtful
    told = f"CRPS over {evaluation.label(evaluation.steps)} is {_change(mean, best)}"
    if best != "persistence":
        told += f", and {_change(mean, 'persistence')} than that of persistence"
    return f"{word} those of the best baseline, {best}: {told}"


def _change(mean: Mapping[str, float], baseline: str) -> str:
    if mean[baseline] == 0:
        return "no lower"
    share = 100 * (1 - mean["foreworld"] / mean[baseline])
    return f"{abs(share):.0f}% {'lower' if share >= 0 else 'higher'}"


def effect_rows(findings: Findings) -> list[dict[str, str]]:
    """True and predicted mean effects over the horizon, one row an intervention and target."""
    table, targets = [], findings.domain.schema.targets
    for name, (done, undone) in findings.what_ifs.items():
        truth = done.truth - undone.truth
        predicted = {
            forecaster: np.subtract(*(model.forecast(case.histories, case.plan).mean(0) for case in (done, undone)))
            for forecaster, model in findings.forecasters.items()
            if forecaster != "persistence"
        }
        for index, target in enumerate(targets):
            row = {"what if": words_of(findings, name)} | ({"of": target.name} if len(targets) > 1 else {})
            row["truth"] = _amount(truth[..., index], target.unit)
            for forecaster, effect in predicted.items():
                told = _amount(effect[..., index], target.unit)
                row[forecaster] = f"{told}, {_explained(effect[..., index], truth[..., index])}"
            table.append(row)
    return table


def _amount(effect: np.ndarray, unit: str) -> str:
    return f"{effect.mean():+.3g} {unit}".rstrip()


def _explained(effect: np.ndarray, truth: np.ndarray) -> str:
    total = float(np.square(truth).sum())
    return f"R2 {1 - float(np.square(effect - truth).sum()) / total:.2f}" if total > 0 else "no true effect"


def deed(done: Cases, undone: Cases, case: int) -> str:
    """What an intervention did in a case, as an option of `foreworld imagine`: its first change."""
    plan, before = done.plan.actions[case], undone.plan.actions[case]
    step, column = (int(place) for place in np.argwhere(plan != before)[0])
    variable = done.histories.schema.actions[column]
    value = float(plan[step, column])
    text = variable.categories[int(value)] if variable.kind == "categorical" else f"{value:.6g}"
    if (plan[:, column] == value).all():
        return f"{variable.name}={text}"
    now = done.histories[case].time[-1]
    leaves = 0.0 if step == 0 else done.plan.time[case, step - 1] - now
    return f"{variable.name}@{leaves:g}={text}"


def report(findings: Findings, pictures: dict[str, bytes], seed: int) -> Report:
    """The page that tells it all."""
    model, about, domain = findings.model, findings.model.about, findings.domain
    title = domain.about.summary[:1].upper() + domain.about.summary[1:]
    kind = "simulator" if findings.branched is not None else "data"
    last = {name: f"{value:.3g}" for name, value in model.log[-1].items()}
    learnt = Picture(pictures["learning"], "Losses and collapse diagnostics.", "learning curves")
    return Report(
        title=f"What happens if? {title}",
        summary=summary(findings),
        sections=[
            _questions(findings, pictures),
            _against_baselines(findings, pictures),
            Section(
                "Do the intervals keep their word?",
                [
                    Table(findings.scored.table(metric="coverage_90"), "Share of truths in 90% intervals."),
                    Picture(pictures["calibration"], "Nominal against observed coverage.", "calibration"),
                ],
            ),
            Section("Did it learn, or did it collapse?", [learnt, Table([last])]),
        ],
        made={
            "command": f"foreworld demo {domain.about.name} --seed {seed}",
            kind: f"{domain.about.source} ({domain.about.licence})",
            "learnt from": f"{about['episodes']} episodes, {about['rows']} rows, sha256 {about['data'][:16]}",
            "tested on": ", ".join(findings.test[:12]) + (" and more" if len(findings.test) > 12 else ""),
            "seconds": ", ".join(f"{name} {value:.0f}" for name, value in findings.seconds.items()),
            "settings": json.dumps(model.config.model_dump()),
        },
        caveats=_caveats(findings),
    )


def _questions(findings: Findings, pictures: dict[str, bytes]) -> Section:
    """What if, where the truth about it is known; else what came."""
    if not findings.what_ifs:
        shown = Picture(pictures["future"], "The middle of the first test episode.", "forecast and what came")
        return Section("What comes next", ["Bands are the model's; the thin line is what did come.", shown])
    shown = [
        Picture(pictures[picture_of(name)], f"{words_of(findings, name)} against as planned.", words_of(findings, name))
        for name in findings.what_ifs
    ]
    span = findings.scored.label(findings.scored.steps)
    return Section(
        "What if",
        [
            "Bands are the model's; the thin lines are what the simulator does from the same moment under the same "
            "plan. Each picture shows the case whose true effect is the median one.",
            *shown,
            Table(effect_rows(findings), f"Mean effect over {span}, and R2 against predicting no effect."),
        ],
    )


def _against_baselines(findings: Findings, pictures: dict[str, bytes]) -> Section:
    content = [Table(findings.factual.table(), "CRPS of what was done, mean and 90% interval; lower is better.")]
    caption = "CRPS by time ahead."
    if findings.branched is not None:
        content.append(Table(findings.branched.table(), "CRPS under other plans, branched in the simulator."))
        caption = "CRPS by time ahead, under other plans."
    return Section("Against the baselines", [*content, Picture(pictures["crps"], caption, "CRPS by horizon")])


def _caveats(findings: Findings) -> list[str]:
    caveats = [CAVEATS[findings.domain.about.field]] if findings.domain.about.field in CAVEATS else []
    count = len(findings.test)
    caveats.append(f"One seed and {count} {_counted(count, findings.domain.schema.id)}: benchmarks/ has five seeds.")
    if findings.branched is None:
        return [*caveats, "Nobody can branch the real world: only forecasts of what was done are scored."]
    return [
        *caveats,
        "Actions in the training data are partly random. Where they follow what is observed alone, effects need more.",
    ]


def plural(noun: str) -> str:
    """Several of them."""
    if noun.endswith(("x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("s"):
        return noun
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou") else noun + "s"


def _counted(count: int, noun: str) -> str:
    return noun if count == 1 else plural(noun)
