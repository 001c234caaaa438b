"""Episodes of a Minari dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.rollouts import Recording, Rollout, declare, flatten, to_episodes
from foreworld.errors import DataError, MissingExtraError


def from_minari(
    dataset: Any,
    *,
    observation_names: Sequence[str] | None = None,
    action_names: Sequence[str] | None = None,
    reward: str = "",
    targets: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    dt: float = 1.0,
    time_unit: str = "step",
) -> Episodes:
    """Read a Minari dataset that is on this machine; nothing is downloaded.

    Args:
        dataset: a `minari.MinariDataset`, or the id of one.
        observation_names, action_names, reward, targets, units, dt, time_unit: as in `from_gymnasium`.

    Raises:
        DataError: no such dataset here, a space that has no columns, names that do not fit, an episode that goes on
            after it has ended, infinite values, actions outside their bounds.
        MissingExtraError: Minari is not installed.
    """
    try:
        import minari
    except ImportError:
        raise MissingExtraError("reading Minari datasets", "gym") from None
    if isinstance(dataset, str):
        try:
            dataset = minari.load_dataset(dataset)
        except FileNotFoundError:
            raise DataError("there is no such dataset here; download it with minari first", source=dataset) from None
    source = dataset.spec.dataset_id
    spaces = dataset.observation_space, dataset.action_space
    recording = Recording(observation_names, action_names, reward, targets, units, dt, time_unit)
    schema = declare(*spaces, recording, source)
    rollouts = [_rollout(episode, *spaces, source) for episode in dataset.iterate_episodes()]
    return to_episodes(rollouts, schema, recording, source)


def _rollout(episode: Any, observation_space: Any, action_space: Any, source: str) -> Rollout:
    observations = flatten(observation_space, episode.observations)
    actions = flatten(action_space, episode.actions)
    if len(observations) != len(actions) + 1:
        problem = f"episode {episode.id} has {len(observations)} observations for {len(actions)} actions"
        raise DataError(problem, source=source)
    terminations, truncations = np.asarray(episode.terminations), np.asarray(episode.truncations)
    early = np.flatnonzero((terminations | truncations)[:-1])
    if len(early):
        problem = f"episode {episode.id} goes on after the step that ends it"
        raise DataError(problem, source=source, rows=(early + 1).tolist())
    return Rollout(
        observations=observations,
        actions=actions,
        rewards=np.asarray(episode.rewards, dtype=np.float64),
        terminated=bool(terminations[-1:].any()),
        truncated=bool(truncations[-1:].any()),
    )
