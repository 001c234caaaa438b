"""True counterfactuals from a domain: a recorded moment gone through again, otherwise and with the same chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from foreworld.data.episodes import Episodes
from foreworld.domains.base import Actions, Domain, derive_seed, join, take
from foreworld.domains.collect import Origins, Rollout, instance_of, roll, to_episodes
from foreworld.errors import QuestionError


@dataclass(frozen=True)
class Replays:
    """Trajectories as they were recorded, other actions from a row on, and what these would have led to.

    Attributes:
        trajectories: as recorded, up to `horizon` rows after the moment.
        rows: the row of each moment, in its trajectory.
        actions: what is done instead; `actions[:, 0]` leaves the row of the moment.
        truth: the targets that follow, under the very chance of the recording.
    """

    trajectories: Episodes
    rows: Int[np.ndarray, " episode"]
    actions: Actions
    truth: Float[np.ndarray, "episode step target"]


def replay(
    domain: Domain,
    *,
    policy: str | None = None,
    origins: Origins,
    horizon: int,
    intervention: str | None = None,
    seed: int = 0,
) -> Replays:
    """True answers to *what would have happened in this very case, had we done something else from here on?*

    The behaviour policy runs past each origin, exactly as in `collect` with the same policy and seed: that is the
    trajectory. Then the simulator goes back to the origin and follows the other actions, with the same chance.

    Args:
        domain: the simulator.
        policy: one of `domain.policies`; the first by default.
        origins: (episode id, row) pairs, ids as in `collect`.
        horizon: rows after each origin.
        intervention: one of `domain.interventions`, applied to the recorded actions; by default a plan drawn by
            `domain.alternatives`.
        seed: of the trajectories, the plans and the chance.
    """
    if intervention is not None and intervention not in domain.interventions:
        raise QuestionError(f"no intervention '{intervention}' here; there are {', '.join(domain.interventions)}")
    ids = sorted({id for id, _ in origins})
    rows = sorted({row for _, row in origins})
    rollout = roll(domain, policy, ids, steps=rows[-1] + horizon, seed=seed, keep=rows)
    episodes = to_episodes(domain, ids, rollout)
    places = [(ids.index(id), row) for id, row in origins]
    trajectories = Episodes(domain.schema, tuple(episodes[index].until(row + horizon) for index, row in places))
    actions = _instead(domain, origins, _recorded(rollout, places, horizon), intervention, seed)
    domain.restore(join([take(rollout.snapshots[row], [index]) for index, row in places]))
    targets = list(domain.schema.target_indices)
    truth = np.stack([domain.step(actions[:, step])[:, targets] for step in range(horizon)], axis=1)
    return Replays(trajectories, np.array([row for _, row in places]), actions, truth)


def _recorded(rollout: Rollout, places: Sequence[tuple[int, int]], horizon: int) -> Actions:
    return np.stack([rollout.actions[index, row : row + horizon] for index, row in places])


def _instead(domain: Domain, origins: Origins, recorded: Actions, intervention: str | None, seed: int) -> Actions:
    names = [instance_of(id) for id, _ in origins]
    if intervention is not None:
        return domain.interventions[intervention].rewrite(names, recorded)
    return domain.alternatives(names, recorded, [derive_seed(seed, "plan", id, row) for id, row in origins])
