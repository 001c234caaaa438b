"""Checks of recorded trajectories: a split that leaks nothing, and baselines that answer."""

import numpy as np

from foreworld.data.episodes import Episode, Episodes
from foreworld.domains.base import Recorded
from foreworld.testing.declared import check_about, check_study
from foreworld.testing.stated import check_baseline
from foreworld.testing.trial import require


def check_declarations(domain: Recorded, seed: int) -> None:
    """About and study are complete."""
    check_about(domain)
    check_study(domain.study, simulated=False)


def check_split(domain: Recorded, seed: int) -> None:
    """Episodes of the schema on both sides, the same for the same seed, some of them long enough to ask about."""
    where = "Recorded.split"
    parts, again = domain.split(seed), domain.split(seed)
    for part, other, what in zip(parts, again, ("learn from", "be tested on"), strict=True):
        require(isinstance(part, Episodes) and len(part) > 0, f"there is nothing to {what}", where)
        require(part.schema == domain.schema, f"what is there to {what} has another schema", where)
        require(part.fingerprint == other.fingerprint, "the same seed does not give the same split", where)
        needed = max(domain.study.first, 1) - 1 + domain.study.horizon
        says = f"of what is there to {what}, no episode has {needed} steps: too few for first row and horizon"
        require(max(episode.steps for episode in part) >= needed, says, where)


def check_no_leak(domain: Recorded, seed: int) -> None:
    """No stretch of a horizon that is asked about was learnt from. Rows before the first one asked about may be."""
    train, test = domain.split(seed)
    first, horizon = max(domain.study.first, 1), domain.study.horizon
    learnt = {stretch for episode in train for stretch in _stretches(episode, 0, horizon)}
    for episode in test:
        leaked = sum(stretch in learnt for stretch in _stretches(episode, first, horizon))
        says = f"{leaked} stretches of test episode '{episode.id}' are in what is learnt from"
        require(leaked == 0, says, "Recorded.split")


def check_baselines(domain: Recorded, seed: int) -> None:
    """What people of the field forecast with answers every question, in the right shape."""
    train, test = domain.split(seed)
    for name, fit in domain.baselines.items():
        check_baseline(
            name,
            lambda data, horizon, fit=fit: fit(train, horizon),
            test,
            domain.study.first,
            domain.study.horizon,
            seed,
        )


def _stretches(episode: Episode, first: int, length: int) -> list[bytes]:
    """Every so many rows on end, from a row on, with the static facts; stretches where nothing changes are none."""
    facts = np.repeat(episode.static[None], len(episode.time), axis=0)
    rows = np.column_stack([episode.time, episode.observations, facts])
    found = []
    for start in range(first, len(rows) - length + 1):
        part = rows[start : start + length]
        if length == 1 or (np.ptp(part[:, 1:], axis=0) > 0).any():
            found.append(part.tobytes())
    return found


CHECKS = (check_declarations, check_split, check_no_leak, check_baselines)
