"""On a linear-Gaussian system: p-values are uniform, the budget is kept, faults are found and rightly named."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.errors import QuestionError
from foreworld.model import WorldModel
from foreworld.reasoning.surprise.answer import Surprise
from foreworld.testing.faults import leap, sensor_fault

from .conftest import NAMES, tanks

LENGTH, ONSET = 100, 60


@pytest.fixture(scope="module")
def usual(model: WorldModel) -> Surprise:
    """Many unseen rows in which nothing is wrong."""
    return model.surprise(tanks(80, 120, seed=1), budget=20)


def test_p_values_are_uniform_on_unseen_rows(usual: Surprise) -> None:
    for stream, p in enumerate(usual.p.T):
        for level in (0.01, 0.05, 0.2, 0.5, 0.9):
            # The standard error, of rows that are not quite independent and of ranks among half as many.
            error = np.sqrt(3 * level * (1 - level) / len(p))
            assert abs((p < level).mean() - level) < 4 * error + 0.01, (stream, level)


def test_intervals_cover_what_they_say_and_name_units(usual: Surprise) -> None:
    seen = np.concatenate([episode.observations[1:] for episode in usual.data])
    inside = (usual.low < seen) & (seen < usual.high)
    assert (abs(inside.mean(0) - 0.9) < 0.025).all()
    assert (usual.low < usual.expected).all() and (usual.expected < usual.high).all()


@pytest.mark.parametrize("budget", [5, 20])
def test_the_budget_is_kept_on_unseen_rows(model: WorldModel, budget: int) -> None:
    answer = model.surprise(tanks(80, 120, seed=2), budget=budget)
    # Its threshold rests on 4,760 held-out rows: 24 and 95 alarms.
    assert abs(1000 * answer.raised.mean() / budget - 1) < {5: 0.6, 20: 0.35}[budget]
    assert answer.summary()["budget"]["per_1000_rows"] == budget


Fault = Callable[[Episode], Episode]


def faulty(fault: Fault, seed: int = 3) -> Episodes:
    whole = tanks(20, LENGTH, seed=seed)
    return replace(whole, episodes=tuple(fault(episode) for episode in whole))


def found(answer: Surprise, within: int, *, before: int = 0) -> tuple[float, list[str]]:
    """Share of the trajectories with an alarm soon after the onset, and what the first of them names."""
    names = []
    for episode in answer.data:
        own = [a for a in answer.alarms() if a["id"] == episode.id and ONSET - before <= a["step"] < ONSET + within]
        names += [own[0]["variable"]] if own else []
    return len(names) / len(answer.data), names


@pytest.mark.parametrize(
    ("kind", "channel", "size", "within", "right"),
    [
        ("spike", 0, 5.0, 1, 0.9),
        ("bias", 1, 4.0, 1, 0.9),
        ("bias", 2, 4.0, 1, 0.9),
        ("stuck", 0, 0.0, 25, 0.7),
        ("stuck", 2, 0.0, 25, 0.7),
        ("drift", 0, 6.0, 35, 0.3),  # The belief follows the level, so that it is the others that seem to leave it.
        ("drift", 2, 6.0, 35, 0.7),
    ],
)
def test_a_fault_of_a_sensor_is_found_and_named(
    model: WorldModel, kind: str, channel: int, size: float, within: int, right: float
) -> None:
    """Also of one that is not a target; noise of the system is 0.4, of the spare sensor 0.5."""
    data = faulty(lambda episode: sensor_fault(episode, kind, channel=channel, row=ONSET, size=size, over=30))
    share, names = found(model.surprise(data, budget=5), within)
    assert share >= 0.9
    assert np.mean([name == NAMES[channel] for name in names]) >= right


def test_a_leap_is_found_at_once(model: WorldModel) -> None:
    other = tanks(20, LENGTH, seed=9)
    whole = tanks(20, LENGTH, seed=3)
    moved = [
        leap(one, replace(two, observations=two.observations + 8.0), ONSET)
        for one, two in zip(whole, other, strict=True)
    ]
    assert found(model.surprise(replace(whole, episodes=tuple(moved)), budget=5), 1)[0] == 1.0


@pytest.mark.parametrize("gain", [0.0, -2.0, 4.0])
def test_a_change_of_the_dynamics_is_found(model: WorldModel, gain: float) -> None:
    """A valve that does nothing, the contrary, or twice as much: nothing is wrong with any sensor."""
    answer = model.surprise(tanks(20, LENGTH, seed=4, gain=gain, from_row=ONSET), budget=5)
    share, names = found(answer, 30)
    assert share >= 0.9
    assert set(names) <= {"level", "spare", "belief", "all", "flow"}
    assert np.mean([name in ("level", "spare") for name in names]) > 0.6


def test_a_slow_change_is_dated(model: WorldModel) -> None:
    data = faulty(lambda episode: sensor_fault(episode, "bias", channel=1, row=ONSET, size=0.8))
    alarms = [a for a in model.surprise(data, budget=5).alarms() if a["kind"] == "gradual" and a["step"] >= ONSET]
    began = np.array([alarm["since"] / 5 for alarm in alarms if alarm["variable"] == "flow"])
    assert len(began) >= 8 and abs(np.median(began) - ONSET) <= 8


def test_many_at_once_are_judged_as_one_by_one(model: WorldModel) -> None:
    lengths = (30, 2, 100, 55)
    whole = tanks(4, 100, seed=5)
    data = replace(whole, episodes=tuple(e.until(rows - 1) for e, rows in zip(whole, lengths, strict=True)))
    together = model.surprise(data, budget=50)
    alone = [model.surprise(data.take([index]), budget=50) for index in range(4)]
    np.testing.assert_allclose(together.p, np.concatenate([one.p for one in alone]), rtol=1e-3, atol=1e-6)
    assert (together.raised == np.concatenate([one.raised for one in alone])).all()


def test_a_missing_value_has_no_p_and_raises_no_alarm(model: WorldModel) -> None:
    def holes(episode: Episode) -> Episode:
        values = episode.observations.copy()
        values[40:44, 0] = np.nan
        values[70] = np.nan
        return replace(episode, observations=values)

    answer = model.surprise(faulty(holes), budget=5)
    p = answer.p.reshape(20, LENGTH - 1, -1)
    assert np.isnan(p[:, 39:43, 0]).all() and np.isnan(p[:, 69]).all()
    assert np.isfinite(p[:, 39, 1:3]).all() and np.isfinite(p[:, 47:69]).all() and np.isfinite(answer.expected).all()
    raised = answer.raised.reshape(20, LENGTH - 1)
    assert raised[:, 39:52].mean() < 0.03 and raised[:, 69:80].mean() < 0.03


def test_no_training_data_is_needed_afterwards(model: WorldModel, tmp_path: Path) -> None:
    data = tanks(3, 60, seed=6)
    model.save(tmp_path / "model")
    again = WorldModel.load(tmp_path / "model").surprise(data, budget=50)
    now = model.surprise(data, budget=50)
    assert (again.p == now.p).all() and (again.raised == now.raised).all() and again.summary() == now.summary()
    size = sum(path.stat().st_size for path in (tmp_path / "model").glob("surprise.*"))
    assert size < 200_000


def test_what_cannot_be_asked(model: WorldModel) -> None:
    with pytest.raises(QuestionError, match="held-out rows"):
        model.surprise(tanks(2, 20, seed=7), budget="1/100000000 rows")
    with pytest.raises(QuestionError, match="no row with another before it"):
        model.surprise(tanks(2, 1, seed=7))


def test_a_row_alone_is_left_out(model: WorldModel) -> None:
    whole = tanks(2, 20, seed=8)
    answer = model.surprise(replace(whole, episodes=(whole[0].until(0), whole[1])))
    assert [episode.id for episode in answer.data] == ["tank 001"] and len(answer.p) == 19
