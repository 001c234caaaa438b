"""Checks of what is said about trajectories: invariants, costs, other regimes, and the baselines of the field."""

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.plan import cut
from foreworld.data.schema import Variable
from foreworld.domains.base import Actions, Domain, FitBaseline
from foreworld.domains.collect import behave, collect, roll
from foreworld.evidence.evaluate import origins
from foreworld.testing.trial import Trial, require, same

MEMBERS, MANY, ABSURD = 20, 30, 1e9
Stated = dict[str, np.ndarray]


def check_invariants(trial: Trial) -> None:
    """They hold under every policy, in every shift and under other plans, for whole episodes and for stretches."""
    domain, where = trial.domain, "Domain.invariants"
    names = set(_state(domain, trial.rollout.observations, trial.rollout.actions))
    require(bool(names), "there is no invariant", where)
    early, late = trial.moments
    worlds = {world: (rollout.observations, rollout.actions) for world, rollout in trial.worlds.items()}
    worlds["other plans"] = _other_plans(trial)
    for world, (observations, actions) in worlds.items():
        for start, stop in ((0, actions.shape[1]), (early, late), (late, late + 1)):
            stated = _state(domain, observations[:, start : stop + 1], actions[:, start:stop])
            require(set(stated) == names, "the invariants are not the same ones each time", where)
            broken = [name for name, holds in stated.items() if not holds.all()]
            says = f"under {world}, rows {start} to {stop} break: {', '.join(broken)}"
            require(not broken, says, where)


def check_invariants_of_what_is_not_known(trial: Trial) -> None:
    """NaN breaks nothing: all of it, what is no target, or any value."""
    domain, observations, actions = trial.domain, trial.rollout.observations, trial.rollout.actions
    rng = np.random.default_rng(trial.seed)
    others = [index for index, variable in enumerate(domain.schema.observations) if not variable.target]
    targets_only, gaps = observations.copy(), observations.copy()
    targets_only[..., others] = np.nan
    gaps[rng.random(gaps.shape) < 0.5] = np.nan
    unknown = np.full_like(observations, np.nan)
    cases = {"all that is observed": (unknown, actions), "every second value": (gaps, actions)}
    cases |= {
        "all but the targets": (targets_only, actions),
        "what is done": (observations, np.full_like(actions, np.nan)),
    }
    for what, (shown, done) in cases.items():
        broken = [name for name, holds in _state(domain, shown, done).items() if not holds.all()]
        says = f"where {what} is not known (NaN), this is said to be broken: {', '.join(broken)}"
        require(not broken, says, "Domain.invariants")


def check_invariants_can_be_broken(trial: Trial) -> None:
    """A statement that no trajectory breaks, however absurd, says nothing. Each trajectory is judged by itself."""
    observations, actions = _absurd(trial)
    stated = _state(trial.domain, observations, actions)
    alone = _state(trial.domain, observations[:1], actions[:1])
    for name, holds in stated.items():
        says = f"whether '{name}' holds of a trajectory depends on those beside it"
        require(bool(holds[0] == alone[name][0]), says, "Domain.invariants")
        says = f"'{name}' holds of the most absurd trajectories, up to {ABSURD:g} and in jumps: it says nothing"
        require(not holds.all(), says, "Domain.invariants")


def check_cost(trial: Trial) -> None:
    """Finite, never below zero, and one number an observation."""
    for world, rollout in trial.worlds.items():
        cost, shape = trial.domain.cost(rollout.observations), rollout.observations.shape[:-1]
        require(cost.shape == shape, f"the cost has shape {cost.shape}, not {shape}", "Domain.cost")
        says = f"the cost under {world} is not a finite number above or at zero: {np.min(cost):g} to {np.max(cost):g}"
        require(bool(np.isfinite(cost).all() and (cost >= 0).all()), says, "Domain.cost")


def check_shifts(trial: Trial) -> None:
    """Another world with the same columns and instances, and the first one stays as it is."""
    domain = trial.domain
    for shift in domain.shifts:
        other, where = domain.shifted(shift), "Domain.shifted"
        require(isinstance(other, Domain) and other is not domain, f"'{shift}' is no domain of its own", where)
        require(other.schema == domain.schema, f"'{shift}' has another schema", where)
        require(tuple(other.instances) == tuple(domain.instances), f"'{shift}' has other instances", where)
        require(other.step_time == domain.step_time, f"'{shift}' has steps of another length", where)
        require(set(other.policies) == set(domain.policies), f"'{shift}' has other policies", where)
        require(set(other.interventions) == set(domain.interventions), f"'{shift}' has other interventions", where)
        seen = trial.worlds[f"shift '{shift}'"].observations
        says = f"'{shift}' changes nothing that is observed in {trial.steps} steps, nor in the first ones of others"
        require(not same(seen, trial.rollout.observations) or _begins_otherwise(trial, other), says, where)


def _begins_otherwise(trial: Trial, other: Domain) -> bool:
    """Whether any of many instances begins otherwise in another world than in the first one."""
    names = sorted(trial.domain.instances)[:MANY]
    first, second = (roll(domain, None, names, steps=2, seed=trial.seed) for domain in (trial.domain, other))
    return not same(first.observations, second.observations)


def check_baselines(trial: Trial) -> None:
    """What people of the field forecast with answers every question, in the right shape."""
    domain, study = trial.domain, trial.domain.study
    if domain.baselines:
        steps = min(study.steps, study.first + 3 * study.horizon)
        data = collect(domain, instances=sorted(set(trial.names)), steps=steps, seed=trial.seed)
        for name, fit in domain.baselines.items():
            check_baseline(name, fit, data, study.first, study.horizon, trial.seed)


def check_baseline(name: str, fit: FitBaseline, data: Episodes, first: int, horizon: int, seed: int) -> None:
    """Fit one, and ask it: finite samples of the shape asked for, the same for the same seed."""
    cases = cut(data, origins(data, context=max(first, 1), horizon=horizon, limit=8, seed=seed), horizon)
    forecaster = fit(data, horizon)
    samples = forecaster.forecast(cases.histories, cases.plan, members=MEMBERS, seed=seed)
    shape = (MEMBERS, *cases.truth.shape)
    says = f"the baseline '{name}' answers in shape {samples.shape}, not {shape}"
    require(samples.shape == shape, says, "FitBaseline")
    require(
        bool(np.isfinite(samples).all()), f"the baseline '{name}' answers with what is no finite number", "FitBaseline"
    )
    again = forecaster.forecast(cases.histories, cases.plan, members=MEMBERS, seed=seed)
    require(same(again, samples), f"the baseline '{name}' does not answer the same seed alike", "FitBaseline")


def _state(domain: Domain, observations: np.ndarray, actions: np.ndarray) -> Stated:
    """What is stated, after a look at its shape. Absurd numbers may overflow: that is no fault."""
    with np.errstate(all="ignore"):
        stated = domain.invariants(observations, actions)
    for name, holds in stated.items():
        good = isinstance(holds, np.ndarray) and holds.dtype == bool and holds.shape == actions.shape[:-2]
        require(good, f"'{name}' is not answered with one truth value a trajectory", "Domain.invariants")
    return stated


def _absurd(trial: Trial) -> tuple[np.ndarray, Actions]:
    """One episode, as long as those of the study, made absurd in every way, while every extreme is done."""
    schema, steps = trial.domain.schema, trial.domain.study.steps
    plan = behave(trial.domain, None, trial.ids, steps=steps, seed=trial.seed).intended(0, steps)
    low, high = _extremes(plan, schema.actions)
    rows = np.arange(steps + 1)
    half, sign = rows > steps // 2, np.where(rows % 2, 1.0, -1.0)
    turns = [0 * half[1:], ~half[1:], half[1:], sign[1:] > 0, 0 * half[1:] + 1]
    plans = np.stack([plan[0], *(np.where(turn[:, None], high, low) for turn in turns)])

    seen = np.resize(trial.rollout.observations[0], (steps + 1, len(schema.observations)))
    noise = np.random.default_rng(trial.seed).normal(0, ABSURD, seen.shape)
    ramp = np.linspace(0, ABSURD, steps + 1)
    ways = [ramp, -ramp, ABSURD + 0 * ramp, -ABSURD + 0 * ramp, ABSURD * sign, -ABSURD * sign]
    made = [seen, noise, *(seen + way[:, None] for way in ways), seen * half[:, None], seen * ~half[:, None]]
    continuous = [variable.kind == "continuous" for variable in schema.observations]
    # Flags and categories stay what they can be: as they were, all at the first of them, or all at the last.
    shown = np.stack(
        [np.where(continuous, one, flags) for flags in (seen, *_extremes(seen, schema.observations)) for one in made]
    )
    return np.repeat(shown, len(plans), axis=0), np.tile(plans, (len(shown), 1, 1))


def _extremes(met: np.ndarray, variables: tuple[Variable, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value of each variable: its bound, its first and last category, or what was met."""
    low, high = met.reshape(-1, len(variables)).min(0), met.reshape(-1, len(variables)).max(0)
    for index, variable in enumerate(variables):
        if variable.kind != "continuous":
            low[index], high[index] = 0, max(len(variable.categories), 2) - 1
        low[index] = low[index] if variable.low is None else variable.low
        high[index] = high[index] if variable.high is None else variable.high
    return low, high


def _other_plans(trial: Trial) -> tuple[np.ndarray, Actions]:
    """An alternative to each episode's plan from its early state on, with new chance."""
    domain, early = trial.domain, trial.moments[0]
    intended = trial.rollout.behaviour.intended(early, trial.steps).copy()
    plans = domain.alternatives(trial.names, intended, trial.seeds("plan"))
    domain.restore(trial.rollout.snapshots[early], seeds=trial.seeds("new"))
    now = trial.rollout.observations[:, early : early + 1]
    return np.concatenate([now, trial.follow(plans)], axis=1), plans


CHECKS = (
    check_invariants,
    check_invariants_of_what_is_not_known,
    check_invariants_can_be_broken,
    check_cost,
    check_shifts,
    check_baselines,
)
