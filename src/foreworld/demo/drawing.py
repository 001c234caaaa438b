"""The demo's pictures."""

from matplotlib.figure import Figure

from foreworld.data.plan import Cases, Plan, cut
from foreworld.demo.measuring import Findings
from foreworld.evidence.plots import calibration_plot, crps_by_horizon, fan_chart, learning_curves, png

MEMBERS = 1000  # smooth bands


def draw(findings: Findings) -> dict[str, bytes]:
    """Every picture as PNG, by name."""
    steps = findings.scored.steps
    pictures = {
        "learning": png(learning_curves(findings.model.log)),
        "calibration": png(
            calibration_plot(findings.scored, steps=sorted({-(-steps // 3), -(-2 * steps // 3), steps}))
        ),
        "crps": png(crps_by_horizon(findings.scored)),
    }
    for name in findings.what_ifs:
        pictures[picture_of(name)] = png(what_if(findings, name))
    if not findings.what_ifs:
        pictures["future"] = png(future(findings))
    return pictures


def picture_of(name: str) -> str:
    """What the picture of an intervention is called."""
    return "what-if-" + "".join(letter if letter.isalnum() else "-" for letter in name)


def what_if(findings: Findings, name: str) -> Figure:
    """One moment under two plans, over what the simulator itself does under them."""
    done, undone = findings.what_ifs[name]
    words, case = words_of(findings, name), findings.shown[name]
    both = {"as planned": undone, words: done}
    futures = {
        label: findings.model.follow(cases.histories.take([case]), plan_of(cases, case), members=MEMBERS)
        for label, cases in both.items()
    }
    truth = {label: cases.truth[[case]] for label, cases in both.items()}
    return fan_chart(futures, truth=truth, title=f"{done.group[case]}: {words}")


def future(findings: Findings) -> Figure:
    """What came after the middle of the first test episode, and what was forecast."""
    episode, horizon = findings.recorded[0], findings.domain.study.horizon
    row = min(max(episode.steps // 2, findings.domain.study.first), episode.steps - horizon)
    cases = cut(findings.recorded, [(0, row)], horizon)
    answer = findings.model.follow(cases.histories, cases.plan, members=MEMBERS)
    return fan_chart(answer, truth={"": cases.truth}, title=str(episode.id))


def words_of(findings: Findings, name: str) -> str:
    """An intervention in words."""
    return findings.domain.interventions[name].words  # pyright: ignore[reportAttributeAccessIssue]


def plan_of(cases: Cases, index: int) -> Plan:
    """The plan of one case."""
    plan = cases.plan
    return Plan(plan.time[[index]], plan.actions[[index]], plan.known_future[[index]])
