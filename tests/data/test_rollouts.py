"""Episodes recorded in real Gymnasium environments and read from a real Minari dataset."""

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from foreworld.data.gymnasium import from_gymnasium
from foreworld.data.minari import from_minari
from foreworld.data.table import read
from foreworld.errors import DataError, MissingExtraError


class Counter(gym.Env):
    """Counts its steps in every kind of space, and ends after five of them."""

    observation_space = spaces.Dict(
        {"place": spaces.Discrete(7, start=1), "flags": spaces.MultiBinary(2), "x": spaces.Box(0, 9, (1, 2))}
    )
    action_space = spaces.MultiDiscrete([2, 3])

    def _observe(self) -> dict[str, Any]:
        flags = np.array([self.count % 2, 1], dtype=np.int8)
        return {"place": self.count + 1, "flags": flags, "x": np.full((1, 2), self.count, dtype=np.float32)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.count = 0
        return self._observe(), {}

    def step(self, action: Any):
        self.count += 1
        return self._observe(), float(self.count), self.count == 5, False, {}


def test_pendulum_is_recorded_as_it_was_played():
    data = from_gymnasium(
        gym.make("Pendulum-v1"),
        lambda observation: -0.5 * observation[2:],
        episodes=2,
        seed=3,
        observation_names=["cos", "sin", "speed"],
        action_names=["torque"],
        reward="reward",
        targets=["cos", "sin"],
        units={"torque": "N m"},
        dt=0.05,
        time_unit="s",
    )
    env = gym.make("Pendulum-v1")
    for index, episode in enumerate(data):
        observation, _ = env.reset(seed=3 + index)
        assert np.isnan(episode.observations[0, 3])
        for step in range(episode.steps):
            np.testing.assert_array_equal(episode.observations[step, :3], observation)
            np.testing.assert_array_equal(episode.actions[step], np.float64(-0.5 * observation[2:]))
            observation, reward, *_ = env.step(-0.5 * observation[2:])
            assert episode.observations[step + 1, 3] == reward
        assert (episode.steps, episode.terminated, episode.truncated) == (200, False, True)
        assert np.isnan(episode.pending).all()
    torque = data.schema.actions[0]
    assert (torque.low, torque.high, torque.unit, data.schema.time_unit) == (-2.0, 2.0, "N m", "s")
    assert [variable.name for variable in data.schema.targets] == ["cos", "sin"]
    np.testing.assert_allclose(data[0].time[-1], 10.0)


def test_cartpole_has_labels_for_actions_and_ends_for_a_reason():
    data = from_gymnasium(gym.make("CartPole-v1"), episodes=3, seed=0)
    again = from_gymnasium(gym.make("CartPole-v1"), episodes=3, seed=0)
    assert data.fingerprint == again.fingerprint
    assert data.fingerprint != from_gymnasium(gym.make("CartPole-v1"), episodes=3, seed=1).fingerprint
    assert data.schema.actions[0].categories == ("0", "1")
    assert [variable.name for variable in data.schema.observations] == ["obs0", "obs1", "obs2", "obs3"]
    assert all(episode.terminated and not episode.truncated for episode in data)
    assert read(data.to_frame(), data.schema).fingerprint == data.fingerprint


def test_every_kind_of_space_has_columns():
    data = from_gymnasium(Counter(), episodes=1, seed=0)
    assert [(v.name, v.kind) for v in data.schema.variables] == [
        ("flags0", "binary"),
        ("flags1", "binary"),
        ("place", "categorical"),
        ("x0", "continuous"),
        ("x1", "continuous"),
        ("action0", "categorical"),
        ("action1", "categorical"),
    ]
    steps = np.arange(6.0)
    expected = np.stack([steps % 2, np.ones(6), steps, steps, steps], axis=1)
    np.testing.assert_array_equal(data[0].observations, expected)
    assert data.schema.observations[2].categories == ("1", "2", "3", "4", "5", "6", "7")


def test_episodes_can_be_cut_short():
    data = from_gymnasium(Counter(), episodes=2, seed=0, max_steps=3)
    assert [(e.steps, e.terminated, e.truncated) for e in data] == [(3, False, True)] * 2
    whole = from_gymnasium(Counter(), episodes=1, seed=0, max_steps=5)[0]
    assert (whole.terminated, whole.truncated) == (True, False)


def test_recordings_that_make_no_table_are_refused():
    pendulum = gym.make("Pendulum-v1")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"episodes": 0}, "no episode"),
        ({"observation_names": ["a", "b"]}, "2 observation names are given for 3 columns"),
        ({"policy": lambda _: np.array([2.5], dtype=np.float32)}, "2.5 is outside the bounds"),
        ({"targets": ["action0"]}, "not among the observations"),
    ]
    base: dict[str, Any] = {"episodes": 1, "seed": 0, "max_steps": 2}
    for options, says in cases:
        with pytest.raises(DataError, match=says) as caught:
            from_gymnasium(pendulum, **base | options)
        assert caught.value.source == "Pendulum-v1"
    counter = Counter()
    counter.action_space = spaces.Text(3)
    with pytest.raises(DataError, match="have no columns"):
        from_gymnasium(counter, episodes=1, seed=0)


def played(env: gym.Env, seed: int) -> dict[str, Any]:
    """One episode as Minari wants it, by random actions."""
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    record: dict[str, Any] = {
        "observations": [observation],
        "actions": [],
        "rewards": [],
        "terminations": [],
        "truncations": [],
    }
    while not record["terminations"] or not (record["terminations"][-1] or record["truncations"][-1]):
        action = env.action_space.sample()
        observation, reward, terminated, truncated, _ = env.step(action)
        for key, value in zip(record, (observation, action, reward, terminated, truncated), strict=True):
            record[key].append(value)
    return record


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_minari_dataset_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    env = gym.make("CartPole-v1")
    records = [played(env, seed) for seed in range(3)]
    buffers = [EpisodeBuffer(id=index, **record) for index, record in enumerate(records)]
    dataset = minari.create_dataset_from_buffers("cartpole/random-v0", buffer=buffers, env=env)
    data = from_minari("cartpole/random-v0", reward="reward", dt=0.02, time_unit="s")
    assert data.fingerprint == from_minari(dataset, reward="reward", dt=0.02, time_unit="s").fingerprint
    for episode, record in zip(data, records, strict=True):
        np.testing.assert_array_equal(episode.observations[:, :4], record["observations"])
        np.testing.assert_array_equal(episode.actions[:, 0], record["actions"])
        np.testing.assert_array_equal(episode.observations[1:, 4], record["rewards"])
        assert (episode.terminated, episode.truncated) == (True, False)
    with pytest.raises(DataError, match="^cartpole/other-v0: there is no such dataset"):
        from_minari("cartpole/other-v0")
    always: dict[str, Any] = records[0] | {"terminations": [True] * len(records[0]["actions"])}
    late = [EpisodeBuffer(id=0, **always)]
    broken = minari.create_dataset_from_buffers("cartpole/broken-v0", buffer=late, env=env)
    with pytest.raises(
        DataError, match="^cartpole/broken-v0, rows 1, 2, .*episode 0 goes on after the step that ends it"
    ):
        from_minari(broken)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    for module, call in (
        ("minari", lambda: from_minari("a/b-v0")),
        ("gymnasium", lambda: from_gymnasium(Counter(), episodes=1, seed=0)),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=r"pip install 'foreworld\[gym\]'"):
            call()
