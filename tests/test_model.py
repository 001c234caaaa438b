"""The whole way: any mixture of columns in, honest answers out, the same bits after saving, loading and shuffling."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.errors import ArtifactError, DataError, QuestionError, TrainingError
from foreworld.model import WorldModel

from .simulated import SCHEMA, episodes, pushed, tiny

DATA = episodes([14, 1, 2, 22, 9, 12, 16])
HISTORY = episodes([12, 1, 20], seed=50)
ROLES: dict[str, Any] = {
    "id": "device",
    "time": "minute",
    "observations": ["level", "alarm", "mode", "hum"],
    "actions": ["dose", "rate", "pump"],
    "static": ["size"],
    "known_future": ["hour"],
}


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return WorldModel.fit(DATA, config=tiny(), progress=False)


def future(history: Episodes = HISTORY, steps: int = 4) -> pa.Table:
    """The hours to come, and nothing else."""
    columns: dict[str, list] = {"device": [], "minute": [], "hour": []}
    for episode in history:
        columns["device"] += [episode.id] * steps
        columns["minute"] += [episode.time[-1] + 5.0 * step for step in range(1, steps + 1)]
        columns["hour"] += [50.0 + step for step in range(steps)]
    return pa.table(columns)


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    names = rng.permutation(table.column_names).tolist()
    return table.take(rng.permutation(len(table))).select(names)


def test_every_kind_of_column_gaps_and_short_histories(model: WorldModel) -> None:
    answer = model.imagine(HISTORY, {"dose@5": 30.0, "pump": "b"}, future=future())
    assert answer.samples.shape == (200, 3, 4, 3) and np.isfinite(answer.samples).all()
    assert answer.samples[..., 0].min() >= 0  # The level has a lower bound.
    assert set(np.unique(answer.samples[..., 1])) <= {0, 1} and set(np.unique(answer.samples[..., 2])) <= {0, 1, 2}
    assert np.isfinite(answer.plan.actions).all() and answer.plan.actions[0, :, 2].tolist() == [1.0] * 4
    frame = answer.to_frame("pandas")
    assert len(frame) == 3 * 4 * 5 and not frame.isna().any(axis=None)


def test_the_same_seed_gives_the_same_model(model: WorldModel) -> None:
    again = WorldModel.fit(DATA, config=tiny(), progress=False)
    assert again.card() == model.card() and again.calibration == model.calibration
    one, two = (fitted.imagine(HISTORY, future=future()) for fitted in (model, again))
    np.testing.assert_array_equal(one.samples, two.samples)


def test_a_saved_model_gives_the_same_bits(model: WorldModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = WorldModel.load(tmp_path / "model")
    for question in ({}, {"do": {"dose": 5.0}, "horizon": 4, "members": 31, "seed": 7}):
        one, two = (fitted.imagine(HISTORY, future=future(), **question) for fitted in (model, loaded))
        np.testing.assert_array_equal(one.samples, two.samples)
        np.testing.assert_array_equal(one.supported, two.supported)
    assert loaded.card() == model.card() and loaded.log == model.log and loaded.encoding == model.encoding
    for name, baseline in model.baselines.items():
        plan = model.imagine(HISTORY, future=future()).plan
        np.testing.assert_array_equal(
            baseline.forecast(HISTORY, plan, members=20), loaded.baselines[name].forecast(HISTORY, plan, members=20)
        )
    loaded.save(tmp_path / "again")
    for file in (tmp_path / "model").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_the_model_card_tells_what_it_is(model: WorldModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    for fact in ("7 episodes (76 rows", "| dose | action | continuous | g |", "steps of 5 min", "rank:"):
        assert fact in card
    facts = model.card()
    assert facts["about"]["data"] == DATA.fingerprint and facts["calibration"]["horizon"] == model.config.horizon
    assert set(facts["diagnostics"]) > {"rank", "std_min", "validation"}


def test_what_was_not_saved_by_this_version_is_refused(model: WorldModel, tmp_path: Path) -> None:
    from foreworld.artifacts import read_artifact, write_artifact

    model.save(tmp_path / "model")
    files = read_artifact(tmp_path / "model", "world-model")
    for change in ({"config.json": b"{}"}, {"calibration.json": b"[]"}, {"scaling.json": b"not json"}):
        write_artifact(tmp_path / "other", files | change, "world-model", {})
        with pytest.raises(ArtifactError, match="not a model that this version of foreworld can read"):
            WorldModel.load(tmp_path / "other")
    del files["log.json"]
    write_artifact(tmp_path / "other", files, "world-model", {})
    with pytest.raises(ArtifactError, match="not a model"):
        WorldModel.load(tmp_path / "other")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_rows_and_columns_does_not_matter(model: WorldModel, seed: int) -> None:
    table = HISTORY.to_frame()
    plain = model.imagine(table, {"dose": 3.0}, future=future())
    other = model.imagine(shuffled(table, seed), {"dose": 3.0}, future=shuffled(future(), seed))
    np.testing.assert_array_equal(plain.samples, other.samples)
    assert plain.to_frame() == other.to_frame()


@pytest.mark.parametrize("backend", ["pyarrow", "pandas", "polars"])
def test_a_frame_of_any_kind_is_the_history_it_holds(model: WorldModel, backend: str) -> None:
    table = replace(HISTORY, backend=backend).to_frame()
    one, two = model.imagine(HISTORY, future=future()), model.imagine(table, future=future())
    np.testing.assert_array_equal(one.samples, two.samples)
    assert type(two.to_frame()) is type(table)


def test_the_training_table_in_another_order_gives_the_same_model() -> None:
    table = pushed(6, 15, 0).to_frame()
    roles: dict[str, Any] = {"id": "run", "time": "t", "observations": ["level"], "actions": ["push"]}
    one, two = (
        WorldModel.fit(Episodes.from_frame(frame, **roles), config=tiny(steps=5))
        for frame in (table, shuffled(table, 3))
    )
    history = pushed(2, 9, 5)
    np.testing.assert_array_equal(one.imagine(history).samples, two.imagine(history).samples)


def test_episodes_that_number_the_same_labels_otherwise_are_understood(model: WorldModel) -> None:
    """A history that holds one label only is read with categories of its own; here the codes are even turned round."""
    turned = tuple(v.model_copy(update={"categories": v.categories[::-1]}) for v in SCHEMA.variables)
    mode, pump = np.array([0, 0, 1, 0]), np.array([0, 0, 1])

    def turn(episode: Episode) -> Episode:
        return replace(
            episode,
            observations=np.where(mode, 2 - episode.observations, episode.observations),
            actions=np.where(pump, 1 - episode.actions, episode.actions),
            pending=np.where(pump, 1 - episode.pending, episode.pending),
        )

    schema = SCHEMA.model_copy(update={"variables": turned})
    other = Episodes(schema, tuple(turn(episode) for episode in HISTORY))
    one, two = (model.imagine(history, future=future()) for history in (HISTORY, other))
    np.testing.assert_array_equal(one.samples, two.samples)


def test_a_history_of_other_columns_is_refused(model: WorldModel) -> None:
    with pytest.raises(DataError, match="no column"):
        model.imagine(pushed(1, 5, 0))
    with pytest.raises(DataError, match="no column 'level'"):
        model.imagine(HISTORY.to_frame().drop(["level"]), future=future())
    unknown = HISTORY.to_frame().to_pandas().replace({"pump": {"a": "c"}})
    with pytest.raises(DataError, match="column 'pump'.* is not one of the categories"):
        model.imagine(unknown, future=future())


def test_the_future_needs_the_columns_known_in_advance_and_takes_actions(model: WorldModel) -> None:
    with pytest.raises(QuestionError, match="future values of hour are needed"):
        model.imagine(HISTORY)
    with pytest.raises(DataError, match="no column 'hour'"):
        model.imagine(HISTORY, future=future().drop(["hour"]))
    planned = future().append_column("rate", pa.array([40.0] * 12))
    answer = model.imagine(HISTORY, future=planned)
    assert answer.plan.actions[:, 1:, 1].tolist() == [[40.0] * 3] * 3
    assert answer.plan.known_future[..., 0].tolist() == [[50.0, 51.0, 52.0, 53.0]] * 3


def test_an_answer_to_many_is_the_answer_to_each(model: WorldModel) -> None:
    together = model.imagine(HISTORY, {"dose": 2.0}, future=future())
    for index, episode in enumerate(HISTORY):
        alone = model.imagine(Episodes(SCHEMA, (episode,)), {"dose": 2.0}, future=future())
        np.testing.assert_allclose(alone.samples[:, 0], together.samples[:, index], rtol=1e-3, atol=1e-3)


def test_the_horizon_is_the_calibrated_one_and_further_steps_are_not_supported(model: WorldModel) -> None:
    assert model.imagine(HISTORY, future=future()).plan.horizon == model.config.horizon == 4
    further = model.imagine(HISTORY, horizon=7, future=future(steps=7))
    assert further.samples.shape[2] == 7 and not further.supported[:, 4:].any()


@pytest.mark.parametrize("members", [1, 3, 200])
def test_as_many_futures_as_asked_for(model: WorldModel, members: int) -> None:
    answer = model.imagine(HISTORY, future=future(), members=members)
    assert len(answer.samples) == members and len(np.unique(answer.samples[:, 0, 3, 0])) > members // 2


def test_model_and_baselines_are_evaluated_together(model: WorldModel) -> None:
    evaluation = model.evaluate(episodes([30, 25], seed=90), members=20)
    assert {row["forecaster"] for row in evaluation.to_frame().to_pylist()} == {"foreworld", "persistence", "ridge-ARX"}


@pytest.mark.parametrize("horizon", [0, 20])
def test_no_episode_that_can_be_scored(model: WorldModel, horizon: int) -> None:
    with pytest.raises(QuestionError, match=f"{horizon} steps are looked ahead, and the longest episode has 19"):
        model.evaluate(episodes([20, 8], seed=90), horizon=horizon)


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"horizon": 0}, "a horizon of 0 steps"),
        ({"members": 0}, "0 members"),
        ({"do": {"doze": 1.0}}, "did you mean 'dose'"),
        ({"do": {"dose": 101.0}}, "outside its bounds"),
    ],
)
def test_questions_that_make_no_sense(model: WorldModel, question: dict[str, Any], says: str) -> None:
    with pytest.raises(QuestionError, match=says):
        model.imagine(HISTORY, future=future(), **question)


def test_no_history(model: WorldModel) -> None:
    with pytest.raises(QuestionError, match="no history"):
        model.imagine(Episodes(SCHEMA, ()))


@pytest.mark.parametrize(("settings", "says"), [({"objective": "prophecy"}, "objective"), ({"horizon": 0}, "horizon")])
def test_settings_that_do_not_exist(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        WorldModel.fit(DATA, **settings)


def test_the_effect_of_an_action_is_found() -> None:
    """Pushing for four steps lifts the level by 2 (1 + 0.8 + 0.64 + 0.512) = 5.9 over not pushing."""
    model = WorldModel.fit(pushed(40, 40, 0), config=tiny(steps=150, batch=8, latent=8, hidden=24), progress=False)
    history = pushed(20, 20, 1)
    pushing, resting = (model.imagine(history, {"push": push}, members=100) for push in (1.0, 0.0))
    effect = (pushing.samples - resting.samples).mean(axis=(0, 1))[:, 0]
    assert (np.diff(effect) > 0).all()
    assert effect[-1] == pytest.approx(5.9, rel=0.3)
    assert pushing.supported.mean() > 0.8
