import numpy as np
import pytest

from foreworld.data.table import read
from foreworld.domains import recorded
from foreworld.domains.base import Recorded
from foreworld.domains.cgm import Cgm
from foreworld.domains.hiv_trial import ARMS, HivTrial
from foreworld.domains.macro import Macro
from foreworld.errors import MissingExtraError

SOURCES = (HivTrial, Cgm, Macro)


@pytest.fixture(scope="module")
def trial() -> HivTrial:
    return HivTrial()


@pytest.fixture(scope="module")
def cgm() -> Cgm:
    return Cgm()


@pytest.fixture(scope="module")
def macro() -> Macro:
    return Macro()


def everything(domain):
    """All episodes, from the folds of the test and what the first one learns from."""
    parts = [domain.split(seed) for seed in range(5)]
    found = {e.id: e for e in parts[0][0]} | {e.id: e for _, test in parts for e in test}
    return [found[id] for id in sorted(found)]


@pytest.mark.parametrize("name", ["trial", "cgm", "macro"])
def test_parts_share_nobody_and_every_row_can_be_written_and_read_again(name, request):
    source = request.getfixturevalue(name)
    assert isinstance(source, Recorded)
    train, test = source.split(1)
    assert len(train) > len(test) > 0
    assert not {e.id for e in train} & {e.id for e in test}
    assert test.schema == source.schema
    some = test.take(range(min(len(test), 20)))
    assert read(some.to_frame(), source.schema).fingerprint == some.fingerprint


def test_every_patient_is_in_the_test_once_and_arms_are_shared_out(trial):
    tests = [trial.split(seed)[1] for seed in range(5)]
    ids = [episode.id for part in tests for episode in part]
    assert len(ids) == len(set(ids)) == 2139
    for part in tests:
        arms = np.bincount([int(episode.actions[0, 0]) for episode in part], minlength=4)
        assert np.ptp(arms) < 15


def test_the_trial_is_the_one_that_was_published(trial):
    """Numbers of patients in the arms, and mean CD4 at the start and in week 20, as in the table of lifelines."""
    patients = everything(trial)
    arm = np.array([int(episode.actions[0, 0]) for episode in patients])
    assert np.bincount(arm).tolist() == [532, 522, 524, 561] and len(ARMS) == 4
    cd4 = np.stack([episode.observations[:, 0] for episode in patients])
    assert np.isnan(cd4[:, 2]).sum() == 797 and np.isfinite(cd4[:, :2]).all()
    assert cd4[:, 0].mean() == pytest.approx(350.5, abs=0.1)
    effects = [cd4[arm == other, 1].mean() - cd4[arm == 0, 1].mean() for other in (1, 2, 3)]
    np.testing.assert_allclose(effects, [67.0, 35.9, 38.2], atol=0.1)
    ages = [cd4[arm == one, 0].mean() for one in range(4)]
    assert np.ptp(ages) < 7, "the lot made the arms alike"


def test_cgm_stretches_have_no_gaps_and_lose_nothing_but_the_second_sensor(cgm):
    stretches = everything(cgm)
    steps = np.concatenate([np.diff(episode.time) for episode in stretches])
    assert steps.min() >= 3 and steps.max() <= 10 and np.median(steps) == 5
    readings = np.concatenate([episode.observations for episode in stretches])
    assert 52_281 - len(readings) < 250
    assert readings[:, 0].min() == 40 and readings[:, 0].max() == 400
    assert np.isnan(readings[:, 1]).sum() == pytest.approx(1061, abs=20)


def test_the_hour_of_the_day_is_that_of_the_clock(cgm):
    first = cgm.split(0)[0][0]
    hour = np.arctan2(first.known_future[0, 1], first.known_future[0, 0]) * 24 / (2 * np.pi) % 24
    assert hour == pytest.approx(9 + 51 / 60)  # the table begins on 2010-03-24 at 09:51


def test_later_parts_are_later(cgm, macro):
    for source in (cgm, macro):
        for seed in range(5):
            train, test = source.split(seed)
            assert max(e.id for e in train) < min(e.id for e in test)
        assert len(source.split(4)[0]) > len(source.split(0)[0])


def test_quarters_are_those_of_the_table(macro):
    episodes = everything(macro)
    assert len(episodes) == 10 and {e.steps for e in episodes} == {19}
    time = np.concatenate([e.time for e in episodes])
    np.testing.assert_allclose(np.diff(time), 0.25)
    row = {name: index for index, name in enumerate(v.name for v in macro.schema.observations)}
    values = np.concatenate([e.observations for e in episodes])[np.flatnonzero(time == 2008.75)[0]]
    # The last quarter of 2008: GDP 13141.920 after 13324.600, unemployment 6.9, inflation -8.79.
    assert values[row["growth"]] == pytest.approx(400 * np.log(13141.92 / 13324.6))
    assert values[row["unemployment"]] == 6.9 and values[row["inflation"]] == -8.79
    rates = np.concatenate([[*e.actions[:, 0], e.pending[0]] for e in episodes])
    assert rates[np.flatnonzero(time == 1981.25)[0]] == 15.33


def test_without_the_packages_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(recorded, "find_spec", lambda name: None)
    for source in SOURCES:
        with pytest.raises(MissingExtraError, match=r"foreworld\[data\]"):
            source()
