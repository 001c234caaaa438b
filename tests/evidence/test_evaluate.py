"""Evaluations: where they forecast from, and whether their tables say what happened."""

import json
from dataclasses import replace

import narwhals as nw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Cases, Plan
from foreworld.data.schema import Schema, Variable
from foreworld.evidence import evaluate as module
from foreworld.evidence.evaluate import evaluate, origins, subset
from foreworld.evidence.evaluation import METRICS, Evaluation

from . import systems


class Gaussian:
    """Knows the answers up to a Gaussian error, and claims the same error, or another."""

    def __init__(self, cases: Cases, sigma: float, claimed: float | None = None, shift: float = 0.0):
        self.sigma, self.claimed, self.shift = sigma, sigma if claimed is None else claimed, shift
        rng = np.random.default_rng(1)
        truth = np.nan_to_num(cases.truth)
        self.centre = {
            (history.id, history.time[-1]): truth[index] + rng.normal(0, sigma, truth[index].shape) + shift
            for index, history in enumerate(cases.histories)
        }

    def forecast(self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0) -> np.ndarray:
        centre = np.stack([self.centre[history.id, history.time[-1]] for history in histories])
        return centre + np.random.default_rng(seed).normal(0, self.claimed, (members, *centre.shape))


def two_targets(cases: Cases) -> Cases:
    """The same cases with a second target, without a unit."""
    variables = (*cases.histories.schema.variables, Variable(name="speed", role="observation", target=True))
    schema = Schema(id="run", time="minute", time_unit="min", variables=variables)
    histories = tuple(
        replace(history, observations=np.repeat(history.observations, 2, axis=1)) for history in cases.histories
    )
    return replace(cases, histories=Episodes(schema, histories), truth=np.repeat(cases.truth, 2, axis=2))


@pytest.fixture(scope="module")
def cases() -> Cases:
    cases = two_targets(systems.cases(systems.episodes(12, 60, seed=0), 4, limit=400))
    cases.truth[np.random.default_rng(0).random(cases.truth.shape) < 0.1] = np.nan
    cases.truth[:, 3, 1] = np.nan
    return cases


@pytest.fixture(scope="module")
def found(cases) -> Evaluation:
    forecasters = {
        "good": Gaussian(cases, 1.0),
        "worse": Gaussian(cases, 2.0),
        "overconfident": Gaussian(cases, 1.0, claimed=0.3),
        "biased": Gaussian(cases, 1.0, shift=3.0),
    }
    return evaluate(forecasters, cases, members=100)


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 7),
    st.one_of(st.none(), st.integers(1, 40)),
    st.integers(0, 5),
)
def test_origins_have_history_and_future_and_are_spread(rows, context, horizon, stride, limit, seed):
    data = Episodes(systems.schema(), tuple(systems.episodes(1, count, seed=0)[0] for count in rows))
    found = origins(data, context=context, horizon=horizon, stride=stride, limit=limit, seed=seed)
    possible = [(k, row) for k, count in enumerate(rows) for row in range(context - 1, count - horizon)]
    assert set(found) <= set(possible) and sorted(set(found)) == found
    if limit is None:
        for k in {k for k, _ in possible}:
            own = [row for index, row in found if index == k]
            assert own and np.all(np.diff(own) == stride)
            last = rows[k] - horizon - 1
            assert own[0] - (context - 1) < stride and last - own[-1] < stride
    else:
        everything = origins(data, context=context, horizon=horizon, stride=stride, seed=seed)
        assert len(found) == min(limit, len(everything))
        gaps = np.diff([everything.index(origin) for origin in found])
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_strided_origins_begin_at_different_times_of_day():
    data = systems.episodes(20, 60, seed=0)
    first = {}
    for episode, row in origins(data, context=1, horizon=2, stride=12):
        first.setdefault(episode, row)
    assert len(set(first.values())) > 5


def test_scores_are_those_that_a_gaussian_must_have(found):
    crps = found.by_step("crps").mean
    np.testing.assert_allclose(crps[0, :3], 1 / np.sqrt(np.pi), rtol=0.12)
    np.testing.assert_allclose(crps[1, :3], 2 / np.sqrt(np.pi), rtol=0.12)
    np.testing.assert_allclose(found.by_step("rmse").mean[:3, :3, 0].mean(axis=1), [1.0, 2.0, 1.0], rtol=0.1)
    np.testing.assert_allclose(found.overall("bias").mean[:, 0], [0.0, 0.0, 0.0, 3.0], atol=0.2)
    np.testing.assert_allclose(found.overall("coverage_90").mean[:2], 0.9, atol=0.05)
    assert (found.overall("coverage_90").mean[2] < 0.5).all()
    np.testing.assert_allclose(found.overall("width_80").mean[:3, 0], np.array([1.0, 2.0, 0.3]) * 2.563, rtol=0.05)


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_hold_the_mean_and_what_was_not_observed_has_none(found, metric):
    mean, low, high = found.by_step(metric)
    known = np.isfinite(mean)
    assert not known[:, 3, 1].any() and known[:, :3].all()
    assert (low[known] <= mean[known]).all() and (mean[known] <= high[known]).all()
    assert (high[known] - low[known] < 10).all()


def test_a_paired_difference_sees_what_separate_intervals_hide(found):
    difference = found.difference("good", "overconfident")
    assert (difference.high < 0).all()
    own = found.overall("crps")
    assert difference.high[0] - difference.low[0] < (own.high - own.low)[[0, 2], 0].sum()
    np.testing.assert_allclose(difference.mean, own.mean[0] - own.mean[2])
    with pytest.raises(ValueError, match="root"):
        found.difference("good", "worse", "rmse")


@pytest.mark.parametrize("backend", ["pyarrow", "pandas", "polars"])
def test_the_frame_is_long_and_agrees_with_the_scores(found, backend):
    frame = nw.from_native(replace(found, backend=backend).to_frame())
    assert len(frame) == len(METRICS) * 4 * 4 * 2
    assert " ".join(frame.columns) == "forecaster target step lead metric unit value low high cases"
    row = frame.filter(
        nw.col("forecaster") == "worse", nw.col("target") == "position", nw.col("step") == 2, nw.col("metric") == "rmse"
    )
    assert row["value"].to_list() == [found.by_step("rmse").mean[1, 1, 0]]
    assert (row["lead"].to_list(), row["unit"].to_list()) == ([10.0], ["cm"])
    assert row["cases"].to_list() == [int(np.isfinite(found.crps[1, :, 1, 0]).sum())]
    shares = frame.filter(nw.col("metric") == "coverage_50")["unit"].unique().to_list()
    assert shares == ["fraction"]


def test_the_table_reads_as_people_write(found):
    rows = found.table(steps=(1, 4))
    assert list(rows[0]) == ["forecaster", "target", "unit", "5 min", "20 min", "all steps"]
    assert [(row["forecaster"], row["target"]) for row in rows[3:5]] == [("biased", "position"), ("good", "speed")]
    mean, low, high = (
        float(part) for part in rows[0]["5 min"].replace("[", "").replace("]", "").replace(",", "").split()
    )
    assert low < mean < high and mean == pytest.approx(found.by_step("crps").mean[0, 0, 0], rel=0.01)
    assert rows[4]["20 min"] == "not observed"
    with pytest.raises(ValueError, match="between 1 and 4"):
        found.table(steps=(5,))


def test_json_holds_the_same_numbers_and_null_for_what_is_not_known(found):
    read = json.loads(found.to_json())
    assert read["scores"]["good"]["position"]["crps"]["steps"][2][0] == found.by_step("crps").mean[0, 2, 0]
    assert read["scores"]["good"]["speed"]["crps"]["steps"][3] == [None, None, None]
    assert (read["episodes"], read["units"], read["time_unit"]) == (12, {"position": "cm", "speed": ""}, "min")


def test_more_cases_than_fit_at_once_are_all_scored_in_order(cases, found, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 37)
    again = evaluate({"good": Gaussian(cases, 1.0)}, cases, members=100)
    np.testing.assert_allclose(again.error[0], found.error[0], atol=0.8)
    assert np.isfinite(again.crps).sum() == np.isfinite(cases.truth).sum()
    part = evaluate({"good": Gaussian(cases, 1.0)}, subset(cases, range(37)), members=100)
    np.testing.assert_array_equal(part.crps, again.crps[:, :37])


class Wrong:
    def __init__(self, shape: tuple[int, ...], value: float):
        self.shape, self.value = shape, value

    def forecast(self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0) -> np.ndarray:
        return np.full((members, len(histories), *self.shape), self.value)


def test_answers_that_are_none_are_refused_by_name(cases):
    with pytest.raises(ValueError, match="'lazy' answers in shape"):
        evaluate({"lazy": Wrong((2, 2), 0.0)}, cases)
    with pytest.raises(ValueError, match="'silent' answers with numbers that are not finite"):
        evaluate({"silent": Wrong((4, 2), np.nan)}, cases)
    with pytest.raises(ValueError, match="no cases"):
        evaluate({}, subset(cases, []))
