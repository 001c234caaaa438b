"""Trajectories and true answers from a domain: recorded behaviour, branched futures and exact effects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Cases, Plan
from foreworld.domains.base import Actions, Behaviour, Domain, Snapshot, derive_seed, join, take
from foreworld.errors import QuestionError

Origins = Sequence[tuple[str, int]]
"""(episode id, row) pairs: where a case begins."""


@dataclass(frozen=True)
class Rollout:
    """N episodes as they went.

    Attributes:
        behaviour: what was at work in them.
        observations, actions: one row more of observations than of actions.
        snapshots: the state at the rows that were asked for.
    """

    behaviour: Behaviour
    observations: Float[np.ndarray, "episode row observation"]
    actions: Float[np.ndarray, "episode step action"]
    snapshots: dict[int, Snapshot]


def collect(
    domain: Domain,
    *,
    policy: str | None = None,
    instances: Sequence[str] | None = None,
    episodes_per_instance: int = 1,
    steps: int,
    seed: int = 0,
) -> Episodes:
    """Record what a behaviour policy does and what comes of it.

    Args:
        domain: the simulator.
        policy: one of `domain.policies`; the first by default.
        instances: the patients, assets or markets to follow; all by default.
        episodes_per_instance: episodes of each. The first has the instance's name as its id (`adult#003`), the others
            a number after it (`adult#003/2`).
        steps: transitions an episode, so steps + 1 rows.
        seed: decides everything. An episode depends on the seed and its id alone, not on the other episodes.
    """
    ids = episode_ids(domain.instances if instances is None else instances, episodes_per_instance)
    return record(domain, ids=ids, policy=policy, steps=steps, seed=seed)


def episode_ids(instances: Sequence[str], episodes_per_instance: int = 1) -> list[str]:
    """The ids that episodes of these instances have, in order."""
    repeats = range(2, episodes_per_instance + 1)
    return sorted(id for name in instances for id in (name, *(f"{name}/{repeat}" for repeat in repeats)))


def record(domain: Domain, *, ids: Sequence[str], policy: str | None = None, steps: int, seed: int = 0) -> Episodes:
    """The episodes with these ids, as in `collect`."""
    return to_episodes(domain, ids, roll(domain, policy, ids, steps=steps, seed=seed))


def draw_origins(
    domain: Domain,
    *,
    policy: str | None = None,
    ids: Sequence[str],
    per_episode: int,
    rows: tuple[int, int],
    doing: str | None = None,
    seed: int = 0,
) -> list[tuple[str, int]]:
    """Origins for `branch` and `branch_effects`, drawn at random without repeats, in the order of episodes and rows.

    Args:
        domain: the simulator.
        policy: one of `domain.policies`; the first by default.
        ids: of the episodes to use, as in `collect`.
        per_episode: origins in each; fewer where there are not so many.
        rows: first and last row allowed.
        doing: only rows whose intended action has a positive value of this variable (a meal, a dose).
        seed: the same as for `branch`, or `doing` will not hold there.
    """
    first, last = rows
    behaviour = behave(domain, policy, ids, steps=last + 1, seed=seed)
    allowed = np.ones((len(ids), last + 1 - first), dtype=bool)
    if doing is not None:
        names = [variable.name for variable in domain.schema.actions]
        if doing not in names:
            raise QuestionError(f"no action '{doing}' here; there are {', '.join(names)}")
        allowed = behaviour.intended(first, last + 1)[:, :, names.index(doing)] > 0
    origins = []
    for name, row_allowed in zip(ids, allowed, strict=True):
        choices = first + np.flatnonzero(row_allowed)
        rng = np.random.default_rng(derive_seed(seed, "origins", name))
        drawn = rng.choice(choices, size=min(per_episode, len(choices)), replace=False)
        origins += [(name, int(row)) for row in np.sort(drawn)]
    return origins


def branch(
    domain: Domain,
    *,
    policy: str | None = None,
    origins: Origins,
    horizon: int,
    alternatives: int = 4,
    seed: int = 0,
) -> Cases:
    """True answers to *what happens if we do something else from here on?*

    The behaviour policy runs up to each origin, exactly as in `collect` with the same policy and seed. From there the
    simulator follows other plans, each with new chance. A plan is drawn by `domain.alternatives` from what the policy
    intended at the origin, never from what it later did in answer to observations: such a plan would tell the future.

    Args:
        domain: the simulator.
        policy: one of `domain.policies`; the first by default.
        origins: (episode id, row) pairs, ids as in `collect`.
        horizon: steps to go on.
        alternatives: plans for each origin.
        seed: of the histories, the plans and the chance that follows.

    Returns:
        Cases in the order origin, alternative; `plan.actions` are the branched actions.
    """
    histories, start, intended = _histories(domain, policy, origins, horizon, seed)
    case = [index for index in range(len(origins)) for _ in range(alternatives)]
    names = [instance_of(origins[index][0]) for index in case]
    words = [(*origins[index], place % alternatives) for place, index in enumerate(case)]
    plans = domain.alternatives(names, intended[case], [derive_seed(seed, "plan", *word) for word in words])
    domain.restore(take(start, case), seeds=[derive_seed(seed, "branch", *word) for word in words])
    return _cases(domain, histories.take(case), plans)


def branch_effects(
    domain: Domain,
    *,
    interventions: Sequence[str],
    policy: str | None = None,
    origins: Origins,
    horizon: int,
    seed: int = 0,
) -> tuple[Cases, ...]:
    """True effects, free of chance: what the policy intended, with and without interventions, under the same chance.

    Arguments as for `branch`; `interventions` are some of `domain.interventions`.

    Returns:
        Cases with each of them, and last those without any; case by case the same origins and the same chance, so that
        a difference is an effect.
    """
    for name in interventions:
        if name not in domain.interventions:
            raise QuestionError(f"no intervention '{name}' here; there are {', '.join(domain.interventions)}")
    histories, start, intended = _histories(domain, policy, origins, horizon, seed)
    names = [instance_of(id) for id, _ in origins]
    plans = [domain.interventions[name].rewrite(names, intended) for name in interventions]
    found = []
    for plan in (*plans, intended):
        domain.restore(start)
        found.append(_cases(domain, histories, plan))
    return tuple(found)


def instance_of(id: str) -> str:
    """The instance that an episode is about."""
    return id.partition("/")[0]


def behave(domain: Domain, policy: str | None, ids: Sequence[str], *, steps: int, seed: int) -> Behaviour:
    """A policy, by default the first, at work in the episodes with these ids."""
    seeds = [derive_seed(seed, "policy", id) for id in ids]
    return domain.behaviour(policy or domain.policies[0], [instance_of(id) for id in ids], steps=steps, seeds=seeds)


def roll(
    domain: Domain,
    policy: str | None,
    ids: Sequence[str],
    *,
    steps: int,
    stop: int | None = None,
    seed: int,
    keep: Sequence[int] = (),
) -> Rollout:
    """Simulate the episodes with these ids, of so many steps, up to row `stop`; and keep the states at some rows."""
    behaviour = behave(domain, policy, ids, steps=steps, seed=seed)
    seeds = [derive_seed(seed, "chance", id) for id in ids]
    observations = [domain.reset([instance_of(id) for id in ids], steps=steps, seeds=seeds)]
    actions, snapshots, kept = [], {}, set(keep)
    for step in range(steps if stop is None else stop):
        if step in kept:
            snapshots[step] = domain.snapshot()
        actions.append(behaviour.act(step, observations[-1]))
        observations.append(domain.step(actions[-1]))
    return Rollout(behaviour, np.stack(observations, axis=1), np.stack(actions, axis=1), snapshots)


def to_episodes(domain: Domain, ids: Sequence[str], rollout: Rollout) -> Episodes:
    rows = rollout.observations.shape[1]
    static = domain.static([instance_of(id) for id in ids])
    episodes = [
        Episode(
            id=id,
            time=np.arange(rows) * domain.step_time,
            observations=rollout.observations[index],
            actions=rollout.actions[index],
            static=static[index],
            known_future=np.empty((rows, 0)),
            pending=np.full(rollout.actions.shape[2], np.nan),
        )
        for index, id in enumerate(ids)
    ]
    return Episodes(domain.schema, tuple(episodes))


def _histories(
    domain: Domain, policy: str | None, origins: Origins, horizon: int, seed: int
) -> tuple[Episodes, Snapshot, Actions]:
    """For each origin: the history, the state, and what the policy intended to do next."""
    ids = sorted({id for id, _ in origins})
    rows = sorted({row for _, row in origins})
    rollout = roll(domain, policy, ids, steps=rows[-1] + horizon, stop=rows[-1] + 1, seed=seed, keep=rows)
    episodes = to_episodes(domain, ids, rollout)
    places = [(ids.index(id), row) for id, row in origins]
    histories = Episodes(domain.schema, tuple(episodes[index].until(row) for index, row in places))
    start = join([take(rollout.snapshots[row], [index]) for index, row in places])
    intended = np.stack([rollout.behaviour.intended(row, row + horizon)[index] for index, row in places])
    return histories, start, intended


def _cases(domain: Domain, histories: Episodes, plans: Actions) -> Cases:
    """Follow the plans from the domain's present state; histories learn what is done in their last row."""
    targets = list(domain.schema.target_indices)
    horizon = plans.shape[1]
    truth = np.stack([domain.step(plans[:, step])[:, targets] for step in range(horizon)], axis=1)
    last = np.array([episode.time[-1] for episode in histories])
    time = last[:, None] + np.arange(1, horizon + 1) * domain.step_time
    asked = tuple(replace(episode, pending=plan[0]) for episode, plan in zip(histories, plans, strict=True))
    return Cases(
        histories=Episodes(domain.schema, asked, histories.backend),
        plan=Plan(time, plans, np.empty((*time.shape, 0))),
        truth=truth,
        group=tuple(instance_of(str(episode.id)) for episode in histories),
    )
