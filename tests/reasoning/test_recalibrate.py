"""A model calibrated anew holds what it says elsewhere, in every group, at every step and for whole futures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.plan import cut
from foreworld.data.schema import Schema, Variable
from foreworld.errors import QuestionError
from foreworld.model import WorldModel
from foreworld.reasoning.calibrate import Calibration
from foreworld.reasoning.conformal import misses
from foreworld.reasoning.pool import pool
from foreworld.reasoning.recalibrate import Recalibrated, ends, recognise

from ..simulated import tiny

SCHEMA = Schema(
    id="run",
    time="t",
    variables=(
        Variable(name="level", role="observation", target=True),
        Variable(name="push", role="action"),
        Variable(name="kind", role="static", kind="categorical", categories=("calm", "wild", "rare")),
    ),
)
STEADY = {"calm": 0.5, "wild": 0.5, "rare": 0.5}
NOISY = {"calm": 0.3, "wild": 1.5, "rare": 0.3}


def runs(kinds: list[str], rows: int, seed: int, noise: dict[str, float] = NOISY) -> Episodes:
    """A leaky level that a push raises, with noise by kind."""
    made = []
    for index, kind in enumerate(kinds):
        rng = np.random.default_rng([seed, index])
        push, level = rng.choice([0.0, 1.0], rows), np.zeros(rows)
        level[0] = rng.normal(5, 2)
        for row in range(1, rows):
            level[row] = 0.8 * level[row - 1] + 2 * push[row - 1] + rng.normal(0, noise[kind])
        made.append(
            Episode(
                id=index,
                time=np.arange(rows, dtype=float),
                observations=level[:, None],
                actions=push[:-1, None],
                static=np.array([float(SCHEMA.static[0].categories.index(kind))]),
                known_future=np.zeros((rows, 0)),
                pending=push[-1:],
            )
        )
    return Episodes(SCHEMA, tuple(made))


KINDS = ["calm", "wild"] * 20 + ["rare"] * 3


@pytest.fixture(scope="module")
def model() -> WorldModel:
    """Trained where all kinds are alike."""
    data = runs(["calm", "wild", "rare"] * 8, 40, 0, STEADY)
    return WorldModel.fit(data, config=tiny(steps=100, cases=1500), progress=False, baselines={})


@pytest.fixture(scope="module")
def found(model: WorldModel) -> Recalibrated:
    return model.calibrate(runs(KINDS, 40, 1), by="kind")


def coverage(model: WorldModel, data: Episodes, share: float = 0.9, seed: int = 0) -> np.ndarray:
    """By kind and step."""
    cases = cut(data, [(index, row) for index in range(len(data)) for row in range(0, 35, 5)], 4)
    parts = []
    for start in range(0, len(cases.truth), 40):
        some = cases.histories.take(range(start, min(start + 40, len(cases.truth))))
        parts.append(model.forecast(some, cases.plan.take(slice(start, start + 40)), members=50, seed=seed + start))
    low, _, high = ends(np.concatenate(parts, 1), share)
    inside = ((cases.truth >= low) & (cases.truth <= high))[..., 0]
    kinds = np.array([episode.static[0] for episode in cases.histories])
    return np.stack([inside[kinds == kind].mean(0) for kind in np.unique(kinds)])


def test_intervals_hold_in_every_group(model: WorldModel, found: Recalibrated) -> None:
    new = runs(["calm", "wild"] * 60, 40, 2)
    for share in (0.5, 0.9):
        before, after = (coverage(each, new, share) for each in (model, found.model))
        assert before[0].mean() > share + 0.02 and before[1].mean() < share - 0.05
        np.testing.assert_allclose(after, share, atol=0.08)


def test_what_is_told_of_it_is_what_new_trajectories_show(model: WorldModel, found: Recalibrated) -> None:
    told = found.summary()
    assert told["by"] == "kind" and told["trajectories"] == 43
    calm, wild, rare = told["groups"]
    assert calm["own"] and wild["own"] and not rare["own"] and rare["trajectories"] == 3
    assert calm["covered_90%_before"] > 0.95 and wild["covered_90%_before"] < 0.75
    assert calm["covered_90%_after"] == pytest.approx(0.9, abs=0.04)
    assert wild["covered_90%_after"] == pytest.approx(0.9, abs=0.04)
    shares = told["targets"]["level"]
    np.testing.assert_allclose(shares["coverage"]["80%"]["after"], 0.8, atol=0.06)
    assert shares["band_90%"]["after"] == pytest.approx(0.9, abs=0.06)


def test_a_group_that_is_too_small_has_the_calibration_of_all(found: Recalibrated) -> None:
    calibration = found.model.calibration
    assert set(calibration.parts) == {"calm", "wild"}
    both = runs(["rare", "wild", "calm", "rare"], 10, 3)
    places = {id(part): where.tolist() for part, where in calibration.split(both)}
    assert places[id(calibration)] == [0, 3]
    assert places[id(calibration.parts["wild"])] == [1] and places[id(calibration.parts["calm"])] == [2]


def test_one_question_has_the_same_answer_alone_and_among_others(found: Recalibrated) -> None:
    data = runs(["rare", "wild", "calm"], 20, 3)
    together = found.model.imagine(data, horizon=3).samples
    for index in range(3):
        np.testing.assert_allclose(
            found.model.imagine(data.take([index]), horizon=3).samples[:, 0], together[:, index], rtol=1e-4
        )


def test_calibration_of_members_is_that_of_their_average() -> None:
    drawn = np.random.default_rng(0).normal(3, 2, (3, 50, 8, 2, 1))
    number = [[0.7], [0.3]]
    factors = [[[1.5] * 8], [[0.6] * 8]]
    calibration = Calibration(pivot=number, slope=number, shift=number, factors=factors, cases=1, episodes=1)
    before = np.stack([calibration.apply(member) for member in drawn])
    after = calibration.apply(pool(drawn, 50))
    np.testing.assert_allclose(np.sort(pool(before, 50), 0), np.sort(after, 0), atol=1e-9)


def test_a_band_holds_whole_futures(model: WorldModel, found: Recalibrated) -> None:
    new = runs(["calm", "wild"] * 60, 40, 4)
    cases = cut(new, [(index, row) for index in range(120) for row in (10, 20, 30)], 4)
    answer = found.model.follow(cases.histories, cases.plan, band=0.9)
    assert answer.band is not None
    held = ((cases.truth >= answer.band.low) & (cases.truth <= answer.band.high)).all(1)
    assert held.mean() == pytest.approx(0.9, abs=0.04)
    low, middle, high = ends(answer.samples, 0.9)
    assert (misses(low, middle, high, cases.truth) <= 1).all(1).mean() < 0.87
    narrow = found.model.follow(cases.histories, cases.plan, band=0.5).band
    assert narrow is not None and (narrow.high <= answer.band.high + 1e-9).all()
    frame = answer.to_frame().to_pydict()
    np.testing.assert_allclose(frame["band05"], answer.band.low[..., 0].ravel())
    assert "band05" not in model.follow(cases.histories, cases.plan).to_frame().column_names


def test_saved_and_loaded_it_is_the_same(found: Recalibrated, tmp_path: Path) -> None:
    found.model.save(tmp_path / "model")
    loaded = WorldModel.load(tmp_path / "model")
    assert loaded.calibration == found.model.calibration and loaded.trained_on == found.model.trained_on
    assert "by kind: calm, wild" in (tmp_path / "model" / "README.md").read_text()
    data = runs(["wild", "rare"], 20, 3)
    first, second = (each.imagine(data, band=0.8) for each in (found.model, loaded))
    np.testing.assert_array_equal(first.samples, second.samples)
    assert first.band is not None and second.band is not None
    np.testing.assert_array_equal(first.band.low, second.band.low)


def test_what_cannot_be_calibrated_is_refused(model: WorldModel) -> None:
    fresh = runs(KINDS, 40, 5)
    with pytest.raises(QuestionError, match="at least 8 trajectories with 4 rows after the first, and 7 of 7"):
        model.calibrate(fresh.take(range(7)))
    with pytest.raises(QuestionError, match="'colour' is no column of this model; groups can be made by: kind"):
        model.calibrate(fresh, by="colour")
    old = runs(["calm", "wild", "rare"] * 8, 40, 0, STEADY)
    with pytest.raises(QuestionError, match="trained on 24 of these 24 trajectories"):
        model.calibrate(old)
    with pytest.raises(QuestionError, match="bands hold a share of 0.5, 0.8, 0.9"):
        model.imagine(fresh, band=0.7)
    unmeasured = replace(model, calibration=model.calibration.model_copy(update={"band": []}))
    with pytest.raises(QuestionError, match="calibrate it anew"):
        unmeasured.imagine(fresh, band=0.9)


def test_a_trajectory_is_known_again_by_its_beginning() -> None:
    data = runs(["calm", "wild"], 40, 6)
    longer = runs(["calm", "wild"], 60, 6)
    renamed = replace(data[0], id="another")
    assert recognise(Episodes(SCHEMA, (renamed, data[1]))) == recognise(data)
    assert recognise(data.take([0]))[0] == recognise(Episodes(SCHEMA, (data[0].until(20),)))[0]
    assert not set(recognise(data)) & set(recognise(runs(["calm", "wild"], 40, 7)))
    assert len(recognise(longer)) == 2


def test_a_stream_from_another_world_is_held_in_the_long_run(model: WorldModel) -> None:
    stream = runs(["calm", "wild", "wild"], 400, 8, {"calm": 0.5, "wild": 2.0})
    answer = model.adapt(stream, horizon=2)
    told = answer.summary()["coverage"]["level"]
    np.testing.assert_allclose(told["adapted"], 0.9, atol=0.03)
    np.testing.assert_allclose(np.nanmean(answer.covered[:, 150:], axis=(0, 1))[:, 0], 0.9, atol=0.02)
    assert max(told["calibrated"]) < 0.8
    frame = answer.to_frame().to_pandas()
    assert list(frame)[:7] == ["run", "t", "step", "ahead", "variable", "q05", "q95"]
    assert len(frame) == 3 * (399 + 398) and frame["seen"].notna().all()
    truth = {(run.id, step): run.observations[step, 0] for run in stream for step in range(400)}
    np.testing.assert_allclose(frame["seen"], [truth[key] for key in zip(frame["run"], frame["step"], strict=True)])
    assert frame["covered"].mean() == pytest.approx(np.mean(told["adapted"]), abs=1e-3)
    assert (frame["t"] == frame["step"]).all()


def test_the_beginning_of_a_stream_is_told_alike_whatever_comes_after(model: WorldModel) -> None:
    whole = runs(["wild"], 60, 9)
    short = Episodes(SCHEMA, (whole[0].until(30),))
    first, second = (model.adapt(each, horizon=3) for each in (whole, short))
    np.testing.assert_allclose(first.low[:, :28], second.low[:, :28], rtol=1e-4)
    with pytest.raises(QuestionError, match="nothing to forecast"):
        model.adapt(Episodes(SCHEMA, (whole[0].until(0),)))
    with pytest.raises(QuestionError, match="between 0 and 1"):
        model.adapt(whole, level=1.2)
