"""Checks of what is done: policies, what they intend, other plans, and interventions with their true effects."""

import numpy as np

from foreworld.domains.base import Actions, join, take
from foreworld.domains.collect import behave, instance_of, roll
from foreworld.testing.trial import Trial, misfits, require, same

ORIGINS = 2  # of each intervention, whose effects are simulated


def check_actions(trial: Trial) -> None:
    """Finite and within the schema's bounds, under every policy and in every shift."""
    for world, rollout in trial.worlds.items():
        wrong = misfits(rollout.actions, trial.domain.schema.actions)
        require(not wrong, f"actions under {world}: {'; '.join(wrong)}", "Behaviour.act")


def check_intended(trial: Trial) -> None:
    """The intention is settled when the episode begins, for any stretch of it, and within bounds."""
    steps, actions = trial.steps, trial.domain.schema.actions
    for policy in trial.domain.policies:
        fresh = behave(trial.domain, policy, trial.ids, steps=steps, seed=trial.seed)
        plan = fresh.intended(0, steps)
        shape = (len(trial.ids), steps, len(actions))
        says = f"`intended` of '{policy}' answers in shape {plan.shape}, not {shape}"
        require(plan.shape == shape, says, "Behaviour.intended")
        wrong = misfits(plan, actions)
        require(not wrong, f"`intended` of '{policy}': {'; '.join(wrong)}", "Behaviour.intended")
        part = fresh.intended(*trial.moments)
        says = f"`intended` of '{policy}' answers about a stretch of steps otherwise than about all of them"
        require(same(part, plan[:, slice(*trial.moments)]), says, "Behaviour.intended")
        after = trial.worlds[f"policy '{policy}'"].behaviour.intended(0, steps)
        says = f"what '{policy}' intended is another thing after the episode than before it: it has seen the future"
        require(same(after, plan), says, "Behaviour.intended")


def check_acting_as_intended(trial: Trial) -> None:
    """The default policy does what it intends, unless it is an observation that calls for something else.

    Each step is tried under the observations that were made, the first ones, those in the middle, and those of another
    episode. Where none of them leads to what was intended, they must at least lead to different actions.
    """
    domain, rollout = trial.domain, trial.rollout
    plan, seen = rollout.behaviour.intended(0, trial.steps), rollout.observations[:, :-1]
    middle = np.broadcast_to(np.median(seen, axis=(0, 1)), seen.shape)
    tries = [rollout.actions]
    for shown in (np.broadcast_to(seen[:, :1], seen.shape), middle, np.roll(seen, 1, axis=0)):
        acting = behave(domain, None, trial.ids, steps=trial.steps, seed=trial.seed)
        tries.append(np.stack([acting.act(step, shown[:, step].copy()) for step in range(trial.steps)], axis=1))
    done = np.stack(tries)
    kept = np.isclose(done, plan, rtol=1e-9, atol=1e-12).all(-1).any(0)
    answering = (done != done[0]).any((0, -1))
    wrong = ~(kept | answering)
    says = f"'{domain.policies[0]}' does not do what it intends at {_first(wrong, trial)}, whatever is observed"
    require(not wrong.any(), says, "Behaviour.intended")


def check_exploring(trial: Trial) -> None:
    """The default policy varies every action, and by chance, or nobody could learn what the action does."""
    steps, where = trial.domain.study.steps, "Domain.policies"
    plan = behave(trial.domain, None, trial.ids, steps=steps, seed=trial.seed).intended(0, steps)
    for index, variable in enumerate(trial.domain.schema.actions):
        says = f"the default policy never varies '{variable.name}' in {steps} steps of {len(trial.ids)} episodes"
        require(len(np.unique(plan[..., index])) > 1, says, where)
    says = f"the default policy intends the same in every episode of '{trial.names[0]}'"
    require(not same(plan[0], plan[1]), says, where)
    other = behave(trial.domain, None, trial.ids, steps=steps, seed=trial.seed + 1).intended(0, steps)
    require(not same(plan, other), "the default policy intends the same for every seed", where)


def check_alternatives(trial: Trial) -> None:
    """Other plans within bounds: each drawn from its own seed, and the plan given left as it was."""
    domain, names, seeds = trial.domain, trial.names, trial.seeds("plan")
    plan = _horizon_plan(trial)
    given = plan.copy()
    other = domain.alternatives(names, plan, seeds)
    where = "Domain.alternatives"
    require(same(plan, given), "`alternatives` changes the plan that it is given", where)
    require(other.shape == plan.shape, f"`alternatives` answers in shape {other.shape}, not {plan.shape}", where)
    wrong = misfits(other, domain.schema.actions)
    require(not wrong, f"`alternatives`: {'; '.join(wrong)}", where)
    require(
        same(domain.alternatives(names, plan, seeds), other), "the same seeds do not give the same alternative", where
    )
    alone = domain.alternatives(names[-1:], plan[-1:], seeds[-1:])
    require(same(alone, other[-1:]), "an alternative depends on the plans beside it", where)
    many = np.concatenate([domain.alternatives(names, plan, trial.seeds(f"plan {number}")) for number in range(4)])
    require(len(np.unique(many, axis=0)) > len(names), "other seeds do not give other alternatives", where)
    require(not same(np.tile(plan, (4, 1, 1)), many), "the alternatives are what was intended anyway", where)


def check_interventions(trial: Trial) -> None:
    """A changed plan within bounds, the same each time, and the plan given left as it was."""
    domain = trial.domain
    for name, intervention in domain.interventions.items():
        origins = _origins(trial, name)
        names = [instance_of(id) for id, _ in origins]
        plan = np.concatenate([_intended(trial, id, row) for id, row in origins])
        given = plan.copy()
        changed = intervention.rewrite(names, plan)
        where, what = "Intervention.rewrite", f"the intervention '{name}'"
        require(same(plan, given), f"{what} changes the plan that it is given", where)
        require(changed.shape == plan.shape, f"{what} answers in shape {changed.shape}, not {plan.shape}", where)
        wrong = misfits(changed, domain.schema.actions)
        require(not wrong, f"{what}: {'; '.join(wrong)}", where)
        require(not same(changed, plan), f"{what} changes nothing in the plan", where)
        require(same(intervention.rewrite(names, plan), changed), f"{what} is not the same each time", where)
        alone = intervention.rewrite(names[-1:], plan[-1:])
        require(same(alone, changed[-1:]), f"{what} depends on the plans beside it", where)


def check_effects(trial: Trial) -> None:
    """Every intervention does something to some target within the horizon, under the same chance."""
    domain, targets = trial.domain, list(trial.domain.schema.target_indices)
    asked = [(name, id, row) for name in domain.interventions for id, row in _origins(trial, name)]
    ids, rows = sorted({id for _, id, _ in asked}), sorted({row for _, _, row in asked})
    last, horizon = rows[-1], domain.study.horizon
    kept = roll(domain, None, ids, steps=last + horizon, stop=last + 1, seed=trial.seed, keep=rows).snapshots
    start = join([take(kept[row], [ids.index(id)]) for _, id, row in asked])
    plans = [_intended(trial, id, row) for _, id, row in asked]
    changed = [
        domain.interventions[name].rewrite([instance_of(id)], plan.copy())
        for (name, id, _), plan in zip(asked, plans, strict=True)
    ]
    futures = []
    for followed in (plans, changed):
        domain.restore(start)
        futures.append(trial.follow(np.concatenate(followed))[..., targets])
    for name in domain.interventions:
        places = [place for place, (other, _, _) in enumerate(asked) if other == name]
        wrong = misfits(futures[1][places], domain.schema.targets)
        require(not wrong, f"what follows '{name}': {'; '.join(wrong)}", "Domain.step")
        says = f"the intervention '{name}' has no effect at all on any target in {horizon} steps"
        require(not same(futures[0][places], futures[1][places]), says, "Intervention")


def _first(places: np.ndarray, trial: Trial) -> str:
    """The first episode and step of those marked."""
    if not places.any():
        return "no step"
    episode, step = np.argwhere(places)[0]
    return f"step {step} of '{trial.ids[episode]}'"


def _horizon_plan(trial: Trial) -> Actions:
    """What every episode intends for the first horizon."""
    horizon = trial.domain.study.horizon
    return behave(trial.domain, None, trial.ids, steps=horizon, seed=trial.seed).intended(0, horizon).copy()


def _intended(trial: Trial, id: str, row: int) -> Actions:
    stop = row + trial.domain.study.horizon
    return behave(trial.domain, None, [id], steps=stop, seed=trial.seed).intended(row, stop).copy()


def _origins(trial: Trial, name: str) -> list[tuple[str, int]]:
    """Early moments at which an intervention makes sense; any moment does, unless something must be intended there."""
    domain, intervention = trial.domain, trial.domain.interventions[name]
    if not intervention.doing:
        return [(id, trial.moments[0]) for id in trial.ids[:ORIGINS]]
    column = [variable.name for variable in domain.schema.actions].index(intervention.doing)
    stop = domain.study.steps - domain.study.horizon
    every = sorted(domain.instances)
    ids = trial.ids + [name for name in every if name not in trial.ids]
    doing = behave(domain, None, ids, steps=stop + 1, seed=trial.seed)
    rows = doing.intended(0, stop + 1)[:, :, column] > 0
    moments = sorted((int(np.argmax(row)), id) for id, row in zip(ids, rows, strict=True) if row.any())
    says = f"the intervention '{name}' needs '{intervention.doing}' to be intended, which it never is"
    require(bool(moments), says, "Intervention.doing")
    return [(id, row) for row, id in moments[:ORIGINS]]


CHECKS = (
    check_actions,
    check_intended,
    check_acting_as_intended,
    check_exploring,
    check_alternatives,
    check_interventions,
    check_effects,
)
