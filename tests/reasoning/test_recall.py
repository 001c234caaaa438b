"""Recall: what the user asks is what is answered, the same actions give back what happened, a case is learnt."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import Plan, cut
from foreworld.data.scaling import fit_scaling
from foreworld.errors import QuestionError
from foreworld.model import WorldModel
from foreworld.reasoning.abduction import carry_over
from foreworld.reasoning.moment import rows_at
from foreworld.reasoning.recall import answer, answering
from foreworld.reasoning.response import learn_response
from foreworld.world.config import FitConfig

from ..simulated import SCHEMA, episodes, pushed, tiny


@pytest.fixture(scope="module")
def model() -> WorldModel:
    settings = {"members": 2, "horizon": 6, "steps": 240, "context": 12, "latent": 8, "hidden": 32, "noise": 2}
    return WorldModel.fit(pushed(16, 40, seed=0), config=FitConfig.model_validate(settings), progress=False)


@pytest.fixture(scope="module")
def mixed() -> WorldModel:
    """Of every kind of variable; it has no merit."""
    return WorldModel.fit(episodes([30, 25, 28, 40], missing=0.0), config=tiny(), progress=False)


def replayed(runs: Episodes, row: int, push: float, steps: int, effect: float = 2.0) -> np.ndarray:
    """What `pushed` would have given from a row on, under the same noise, where a push does so much."""
    found = []
    for run in runs:
        level, action = run.observations[:, 0], run.actions[:, 0]
        x, path = level[row], []
        for step in range(row, row + steps):
            noise = level[step + 1] - 0.8 * level[step] - effect * action[step]
            x = 0.8 * x + effect * push + noise
            path.append(x)
        found.append(path)
    return np.array(found)


def test_it_is_nearer_to_the_replayed_truth_than_a_forecast(model: WorldModel) -> None:
    runs = pushed(20, 40, seed=1)
    truth = replayed(runs, 20, 0.5, 6)
    recalled = model.recall(runs, {"push": 0.5}, at=20)
    now = Episodes(runs.schema, tuple(run.until(20) for run in runs))
    imagined = model.imagine(now, {"push": 0.5})
    error, forecast = (
        np.sqrt(np.square(found.samples.mean(0)[..., 0] - truth).mean()) for found in (recalled, imagined)
    )
    assert error < 0.5 * forecast
    low, high = recalled.quantiles([0.05, 0.95])[..., 0]
    assert ((truth >= low) & (truth <= high)).mean() > 0.8
    assert (high - low).mean() < np.diff(imagined.quantiles([0.05, 0.95]), axis=0).mean()


def test_the_same_actions_give_back_what_happened(mixed: WorldModel) -> None:
    data = episodes([20, 24], seed=7, missing=0.0)
    fact = cut(data, [(0, 9), (1, 12)], 4)
    same = answer(mixed, data, fact, fact.plan)
    np.testing.assert_allclose(same.samples, np.broadcast_to(fact.truth, same.samples.shape), atol=1e-4)


def test_what_was_not_observed_is_answered_for(mixed: WorldModel) -> None:
    data = episodes([20, 24], seed=7, missing=0.5)
    fact = cut(data, [(0, 9), (1, 12)], 4)
    assert np.isnan(fact.truth).any() and np.isnan(fact.plan.actions).any()
    found = answer(mixed, data, fact, replace(fact.plan, actions=np.nan_to_num(fact.plan.actions)))
    assert np.isfinite(found.samples).all() and (found.samples[..., 0] >= 0).all()


def test_actions_before_the_moment_and_those_not_named_stay(model: WorldModel) -> None:
    runs = pushed(3, 40, seed=2)
    found = model.recall(runs, {"push@2": 0.0}, at=10, horizon=5)
    for run, history, plan in zip(runs, found.histories, found.plan.actions, strict=True):
        np.testing.assert_array_equal(history.actions, run.actions[:10])
        np.testing.assert_array_equal(np.delete(plan, 2, axis=0), np.delete(run.actions[10:15], 2, axis=0))
        assert plan[2, 0] == 0.0
    np.testing.assert_allclose(found.samples[:, :, :2].std(0), 0, atol=1e-5)  # Nothing is different until then.
    np.testing.assert_allclose(found.samples[:, :, :2].mean(0), found.factual[:, :2], atol=1e-5)


def test_the_answer_is_a_frame_with_what_happened(mixed: WorldModel) -> None:
    data = episodes([20, 24], seed=7, missing=0.0)
    at = {episode.id: float(episode.time[8]) for episode in data}
    frame = mixed.recall(data, {"dose": 10.0}, at=at, members=20).to_frame().to_pylist()
    assert list(frame[0])[:4] == ["device", "minute", "step", "variable"] and "q95" in frame[0]
    row = next(row for row in frame if row["variable"] == "mode=on" and row["step"] == 2)
    assert row["happened"] == (data[0].observations[10, 2] == 1)
    level = next(row for row in frame if row["variable"] == "level" and row["step"] == 4)
    assert level["happened"] == pytest.approx(data[0].observations[12, 0], rel=1e-5)


def test_the_picture_shows_what_happened_too(model: WorldModel, tmp_path: Path) -> None:
    found = model.recall(pushed(2, 40, seed=2), {"push": 1.0}, at=10, members=20)
    figure = found.plot(tmp_path / "instead.png", episode=1)
    drawn = [line.get_ydata() for line in figure.axes[0].get_lines()]
    assert any(np.isin(found.factual[1, :, 0], np.asarray(values, float)).all() for values in drawn)
    assert (tmp_path / "instead.png").exists()


def test_questions_asked_together_and_apart_have_one_answer(model: WorldModel) -> None:
    runs = pushed(3, 40, seed=2)
    both = model.recall(runs, {"push": 1.0}, at=10).samples.mean(0)
    alone = model.recall(runs.take([1]), {"push": 1.0}, at=10).samples.mean(0)
    np.testing.assert_allclose(both[[1]], alone, atol=0.1)
    np.testing.assert_array_equal(alone, model.recall(runs.take([1]), {"push": 1.0}, at=10).samples.mean(0))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"do": {}, "at": 10}, "say what is done otherwise"),
        ({"do": {"push": 1.0}, "at": 10.5}, "no row at 10.5; the nearest are at 10 and 11"),
        ({"do": {"push": 1.0}, "at": 39}, "no row after 39"),
        ({"do": {"push": 1.0}, "at": "noon"}, "'noon' is not a number"),
        ({"do": {"push": 1.0}, "at": {7: 3}}, "nothing is said about '0'"),
        ({"do": {"push": 1.0}, "at": 36, "horizon": 6}, "has 3 rows after the moment, and 6 steps are asked for"),
        ({"do": {"push": 1.0}, "at": 10, "horizon": 0}, "at least one is needed"),
        ({"do": {"pull": 1.0}, "at": 10}, "there is no action 'pull'; the actions are: push"),
        ({"do": {"push@0.5": 1.0}, "at": 10}, "no step leaves at 0.5 from now"),
    ],
)
def test_what_cannot_be_asked(model: WorldModel, asked: dict, said: str) -> None:
    with pytest.raises(QuestionError, match=said):
        model.recall(pushed(2, 40, seed=2), asked.pop("do"), **asked)


def test_moments_of_dates_are_in_the_zone_of_the_table() -> None:
    schema = SCHEMA.model_copy(update={"time_kind": "datetime", "time_zone": "Europe/Paris"})
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    day = replace(episodes([4])[0], time=noon + 3600.0 * np.arange(4))
    table = Episodes(schema, (day,))
    for at in ("2026-01-31T14:00", "2026-01-31 13:00+00:00", datetime(2026, 1, 31, 13, tzinfo=UTC)):
        assert rows_at(table, at).tolist() == [1]
    with pytest.raises(QuestionError, match=r"the nearest are at 2026-01-31T13:00:00\+01:00 and"):
        rows_at(table, "2026-01-31T13:20")
    with pytest.raises(QuestionError, match="not a time such as"):
        rows_at(table, "yesterday")


def test_a_case_that_answers_half_as_strongly_is_found_out() -> None:
    """Forecasts that know the system but not the case: its response is learnt from what it did before and after."""
    strong = pushed(2, 120, seed=3)
    weak = Episodes(strong.schema, tuple(_weakened(run) for run in strong))
    scaling = fit_scaling(strong)
    for runs, share in ((strong, 1.0), (weak, 0.5)):
        found = learn_response(_futures, runs, scaling, 6, apart=[60, 60])
        sd = np.sqrt(found.covariance[:, 0, 0, 0])
        assert (np.abs(1 + found.mean[:, 0, 0] - share) < 3 * sd).all() and (sd < 0.1).all()
        drawn = found.draw(5_000, np.random.default_rng(0))[:, :, 0, 0]
        np.testing.assert_allclose(drawn.mean(0), 1 + found.mean[:, 0, 0], atol=1e-6)
        np.testing.assert_allclose(drawn.std(0), sd, rtol=0.05)


def test_what_is_sure_without_an_action_stays_sure_whatever_the_action_did() -> None:
    """All runs answer twice as strongly as is believed. What happened then tells of that, and little of rest."""
    made = pushed(40, 40, seed=4)
    runs = Episodes(made.schema, tuple(_weakened(run, share=2.0) for run in made))
    fact = cut(runs, [(index, 20) for index in range(len(runs))], 6)
    rest = replace(fact, plan=replace(fact.plan, actions=np.zeros_like(fact.plan.actions)))
    scaling = fit_scaling(runs)
    scaling.variables["push"] = scaling.variables["push"].model_copy(update={"centre": 0.0})  # Where it is at rest.
    strength = 1 + 0.8 * np.random.default_rng(0).normal(size=(400, len(runs), 1, 1))
    factual, other = (answering(_futures, each, scaling, strength) for each in (fact, rest))
    found = carry_over(factual, other, fact.truth, np.random.default_rng(1)).mean(0)[..., 0]
    truth = replayed(runs, 20, 0.0, 6, effect=4.0)
    error, forecast = (np.sqrt(np.square(guess - truth).mean()) for guess in (found, other.mean(0)[..., 0]))
    assert error < forecast


def _weakened(run: Episode, share: float = 0.5) -> Episode:
    """The same noise with half of the effect, or another share of it."""
    level = run.observations[:, 0].copy()
    for row in range(len(level) - 1):
        noise = run.observations[row + 1, 0] - 0.8 * run.observations[row, 0] - 2 * run.actions[row, 0]
        level[row + 1] = 0.8 * level[row] + 2 * share * run.actions[row, 0] + noise
    return replace(run, observations=level[:, None])


def _futures(histories: Episodes, plan: Plan, count: int) -> np.ndarray:
    """Exact forecasts of `pushed`, with the noise shared by all plans."""
    noise = 0.2 * np.random.default_rng(0).normal(size=(count, 1, plan.horizon))
    level = np.array([history.observations[-1, 0] for history in histories])[None]
    path = []
    for step in range(plan.horizon):
        level = 0.8 * level + 2 * plan.actions[None, :, step, 0] + noise[..., step]
        path.append(level)
    return np.stack(path, -1)[..., None]
