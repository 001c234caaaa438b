"""Checks of branching: what a snapshot keeps, and what new seeds change. All that is called *true* rests on them."""

import numpy as np

from foreworld.domains.base import join, take
from foreworld.domains.collect import roll
from foreworld.testing.trial import Trial, require, same

REDRAWS = 3


def check_snapshots(trial: Trial) -> None:
    """Arrays with one entry an episode along their first axis."""
    for row, snapshot in trial.rollout.snapshots.items():
        for name, values in snapshot.items():
            says = f"'{name}' in the snapshot of row {row} is no array with one entry an episode"
            fits = isinstance(values, np.ndarray) and values.ndim > 0 and len(values) == len(trial.ids)
            require(fits, says, "Snapshot")


def check_replay(trial: Trial) -> None:
    """From a snapshot an episode goes on bit by bit: after having gone on, again, and from within the replay."""
    domain, rollout = trial.domain, trial.rollout
    early, late = trial.moments
    for attempt in ("", "for the second time "):
        domain.restore(rollout.snapshots[early])
        seen = trial.follow(rollout.actions[:, early:late])
        says = f"restored {attempt}from row {early}, episodes do not go on as they did"
        require(same(seen, rollout.observations[:, early + 1 : late + 1]), says, "Domain.restore")
    inner = domain.snapshot()
    for start in (inner, rollout.snapshots[late]):
        domain.restore(start)
        seen = trial.follow(rollout.actions[:, late:])
        says = f"restored from a snapshot of row {late}, episodes do not go on as they did"
        require(same(seen, rollout.observations[:, late + 1 :]), says, "Domain.snapshot")


def check_replay_elsewhere(trial: Trial) -> None:
    """A snapshot is all that is needed: it does not matter what was simulated in between, nor which episodes."""
    domain, rollout = trial.domain, trial.rollout
    early = trial.moments[0]
    roll(domain, None, trial.ids[::-1], steps=trial.steps, seed=trial.seed + 1)
    domain.restore(rollout.snapshots[early])
    seen = trial.follow(rollout.actions[:, early:])
    says = "restored after other episodes were simulated, episodes do not go on as they did"
    require(same(seen, rollout.observations[:, early + 1 :]), says, "Domain.restore")


def check_take_and_join(trial: Trial) -> None:
    """Episodes of different moments go on side by side, in any order, one of them twice."""
    domain, rollout = trial.domain, trial.rollout
    early, late = trial.moments
    length = trial.steps - late
    picked = [(late, len(trial.ids) - 1), (late, 0), (early, 1), (early, 1)]
    domain.restore(join([take(rollout.snapshots[row], [place]) for row, place in picked]))
    seen = trial.follow(np.stack([rollout.actions[place, row : row + length] for row, place in picked]))
    for index, (row, place) in enumerate(picked):
        expected = rollout.observations[place, row + 1 : row + 1 + length]
        says = f"taken out at row {row} and joined with others, episode '{trial.ids[place]}' does not go on as it did"
        require(same(seen[index], expected), says, "take, join")


def check_new_chance(trial: Trial) -> None:
    """New seeds change the future where anything is left to chance; the same ones give the same; the past stays."""
    domain, rollout = trial.domain, trial.rollout
    early = trial.moments[0]
    plan = rollout.actions[:, early:]
    futures = []
    for purpose in ("first", "first", *(f"other {number}" for number in range(REDRAWS))):
        domain.restore(rollout.snapshots[early], seeds=trial.seeds(purpose))
        futures.append(trial.follow(plan))
    require(same(futures[0], futures[1]), "the same new seeds do not give the same future", "Domain.restore")
    settled = all(same(future, futures[0]) for future in futures)
    if trial.deterministic:
        require(settled, "new seeds change the future of a world that is said to be deterministic", "check_domain")
    else:
        says = "new seeds change nothing; say deterministic=True if nothing is left to chance after the beginning"
        require(not settled, says, "Domain.restore")
    domain.restore(rollout.snapshots[early])
    says = "after new seeds the snapshot does not replay as it did: its own chance was overwritten"
    require(same(trial.follow(plan), rollout.observations[:, early + 1 :]), says, "Domain.restore")


def check_new_chance_keeps_the_past(trial: Trial) -> None:
    """New seeds redraw what is to come and not what is: two states stay two states."""
    domain, rollout = trial.domain, trial.rollout
    early, late = trial.moments
    plan = rollout.actions[:, late:]
    futures = []
    for row in (early, late):
        domain.restore(rollout.snapshots[row], seeds=trial.seeds("new"))
        futures.append(trial.follow(plan))
    says = f"with new seeds the states of rows {early} and {late} have the same future: the present was not kept"
    require(not same(*futures), says, "Domain.restore")


def check_new_chance_is_an_episodes_own(trial: Trial) -> None:
    """What new seeds give an episode depends on its own seed, not on those beside it."""
    domain, rollout = trial.domain, trial.rollout
    early = trial.moments[0]
    seeds, plan = trial.seeds("new"), rollout.actions[:, early:]
    domain.restore(rollout.snapshots[early], seeds=seeds)
    together = trial.follow(plan)
    domain.restore(take(rollout.snapshots[early], [-1]), seeds=seeds[-1:])
    says = f"the new chance of episode '{trial.ids[-1]}' depends on what is simulated beside it"
    require(same(trial.follow(plan[-1:]), together[-1:]), says, "Domain.restore")


CHECKS = (
    check_snapshots,
    check_replay_elsewhere,
    check_replay,
    check_take_and_join,
    check_new_chance,
    check_new_chance_keeps_the_past,
    check_new_chance_is_an_episodes_own,
)
