from datetime import date, timedelta

import numpy as np
import pytest

from foreworld.data.plan import Plan, cut
from foreworld.domains.index import HALF_LIVES, SPANS, Index
from foreworld.domains.index_baselines import Garch, Har
from foreworld.errors import MissingExtraError

NAMES = [variable.name for variable in Index.schema.observations]


@pytest.fixture(scope="module")
def domain() -> Index:
    return Index()


@pytest.fixture(scope="module")
def parts(domain):
    return domain.split(0)


def column(episode, name):
    return episode.observations[:, NAMES.index(name)]


def on(episode, day):
    return int(np.flatnonzero(episode.time == (date.fromisoformat(day) - date(1970, 1, 1)).days)[0])


def test_returns_are_those_that_are_on_record(parts):
    _, test = parts
    crash = next(episode for episode in test if episode.id == "2020")
    # The close fell from 2711.02 to 2386.13 on Black Monday 2020, after 2741.38 and 2480.64 in the week before.
    row = on(crash, "2020-03-16")
    assert column(crash, "return")[row] == pytest.approx(100 * np.log(2386.13 / 2711.02), abs=1e-3)
    assert column(crash, "return_5")[row] == pytest.approx(100 * np.log(2386.13 / 2746.56), abs=1e-3)


def test_longer_returns_and_volatilities_come_from_the_days(parts):
    for episode in (parts[0][3], parts[1][5]):
        daily, rows = column(episode, "return"), np.arange(260, 300)
        for span in SPANS:
            expected = [daily[row - span + 1 : row + 1].sum() for row in rows]
            np.testing.assert_allclose(column(episode, f"return_{span}")[rows], expected, atol=1e-9)
        for days in HALF_LIVES:
            keep, losses = 0.5 ** (1 / days), np.minimum(daily, 0) ** 2
            squares = np.exp(2 * column(episode, f"downside_{days}"))
            np.testing.assert_allclose(squares[rows], keep * squares[rows - 1] + (1 - keep) * losses[rows])


def test_the_calendar_is_right(parts):
    episode = parts[1][4]
    days = [date(1970, 1, 1) + timedelta(days=float(day)) for day in episode.time]
    weekday, gap = episode.known_future.T
    assert weekday.tolist() == [day.weekday() for day in days]
    assert np.array_equal(gap[1:], np.diff(episode.time))
    assert gap.min() == 1 and (gap[weekday == 0] >= 3).all()


def test_nothing_of_the_test_years_is_learnt_from(domain, parts):
    train, test = parts
    last_known = max(episode.time[-1] for episode in train)
    first_asked = min(episode.time[domain.study.first] for episode in test)
    assert last_known < first_asked == (date(2015, 1, 2) - date(1970, 1, 1)).days
    assert all(np.isfinite(episode.observations).all() for part in parts for episode in part)
    stretches = [set(episode.time) for episode in train]
    assert sum(map(len, stretches)) == len(set.union(*stretches))


def test_every_day_of_the_test_years_is_asked_about_once(domain, parts):
    asked = [e.time[domain.study.first : len(e.time) - domain.study.horizon + 1] for e in parts[1]]
    days = np.concatenate(asked)
    assert (np.diff(days) > 0).all()
    assert [str(episode.id) for episode in parts[1]] == [str(year) for year in range(2015, 2023)]
    # 2,012 trading days until 28 December 2022, after the last of which too little is on record.
    assert len(days) == 2012 - domain.study.horizon + 1


@pytest.fixture(scope="module")
def baselines(domain, parts):
    return {name: fit(parts[0], domain.study.horizon) for name, fit in domain.baselines.items()}


def test_fitted_parameters_are_those_the_field_knows(baselines):
    garch, ewma, har = baselines["GJR-GARCH-t"], baselines["EWMA"], baselines["HAR"]
    assert isinstance(garch, Garch) and isinstance(ewma, Garch) and isinstance(har, Har)
    # Bad news alone raises volatility, which is persistent, and tails are heavy.
    assert garch.alpha < 0.03 < 0.1 < garch.gamma < 0.2
    assert 0.97 < garch.alpha + garch.gamma / 2 + garch.beta < 1
    assert 5 < garch.freedom < 10
    assert ewma.beta == pytest.approx(0.94, abs=0.02)
    sizes, losses = har.weights[1:5], har.weights[5:]
    assert losses.sum() > sizes.sum() and (har.weights >= 0).all()
    assert har.drawn.std() == pytest.approx(1, abs=0.05)


def test_baselines_are_wide_in_a_crisis_and_add_their_days_up(domain, parts, baselines):
    test = parts[1]
    places = [(2, on(test[2], "2017-10-20")), (5, on(test[5], "2020-03-20"))]
    cases = cut(test, places, domain.study.horizon)
    for forecaster in baselines.values():
        samples = forecaster.forecast(cases.histories, cases.plan, members=400, seed=0)
        assert samples.shape == (400, 2, 20, 4)
        calm, crisis = samples[..., 0, 0].std(0)
        assert 0.2 < calm < 0.8 and 3 < crisis < 10
        daily = samples[..., 0]
        for index, span in enumerate(SPANS, start=1):
            np.testing.assert_allclose(samples[..., span - 1, index], daily[..., :span].sum(-1), atol=1e-9)
            # One day ahead, all but that day of a longer return has happened.
            known = test[2].observations[places[0][1] - span + 2 : places[0][1] + 1, 0].sum()
            np.testing.assert_allclose(samples[:, 0, 0, index], known + daily[:, 0, 0], atol=1e-9)


def test_garch_forgets_a_crisis_at_the_rate_of_its_persistence(parts, baselines):
    garch, steps = baselines["GJR-GARCH-t"], 40
    history = cut(parts[1], [(5, on(parts[1][5], "2020-03-20"))], 5).histories
    time = history[0].time[-1] + 1.0 + np.arange(steps)
    plan = Plan(time[None], np.empty((1, steps, 0)), np.empty((1, steps, 2)))
    variance = garch.forecast(history, plan, members=20_000, seed=0)[:, 0, :, 0].var(0)
    persistence = garch.alpha + garch.gamma / 2 + garch.beta
    long_run = garch.omega / (1 - persistence)
    expected = long_run + persistence ** np.arange(steps) * (variance[0] - long_run)
    np.testing.assert_allclose(variance[-1], expected[-1], rtol=0.15)
    assert long_run < variance[-1] < variance[0]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("foreworld.domains.index.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foreworld\[index\]'"):
        Index()
