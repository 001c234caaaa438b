"""What counts as a hallucination, and as knowing whom to trust: known answers."""

import numpy as np

from foreworld.domains.collect import branch, draw_origins
from foreworld.domains.tumour import Tumour
from foreworld.evidence.bet import hallucination, trust
from foreworld.evidence.bet.asking import Answer, fewer, noisy, patchy
from foreworld.evidence.bet.rows import Rows

DOMAIN = Tumour()
ASKED = draw_origins(DOMAIN, ids=DOMAIN.instances[:6], per_episode=2, rows=(20, 60), seed=1)
CASES = branch(DOMAIN, origins=ASKED, horizon=12, alternatives=2, seed=1)


def answer(samples: np.ndarray, malformed: float = 0.0) -> Answer:
    shape = samples.shape[1:3]
    return Answer(samples, samples, np.full(shape, malformed), np.ones(shape, bool), samples.std(0))


def test_the_simulator_itself_breaks_nothing() -> None:
    told = np.repeat(CASES.truth[None], 5, axis=0)
    assert hallucination.invariants_broken(DOMAIN, told, CASES).max() == 0


def test_a_tumour_that_comes_back_is_counted_where_it_does_and_in_the_futures_that_say_so() -> None:
    told = np.repeat(CASES.truth[None], 4, axis=0)
    told[:, 3] = 0.0
    told[0, 3, 7:] = 0.05
    broken = hallucination.invariants_broken(DOMAIN, told, CASES)
    assert broken[3, 7] == 0.25 and np.delete(broken, 3, axis=0).max() == 0
    assert np.delete(broken[3], 7).max() == 0


def test_a_step_in_which_the_truth_itself_breaks_it_is_not_asked_about() -> None:
    spoilt = noisy(CASES, 0.0, np.zeros(len(DOMAIN.schema.observations)), 0)
    for episode in spoilt.histories:
        episode.observations[-1, 0] = 1e-3  # From here no tumour grows to what was seen next.
    told = np.repeat(CASES.truth[None], 4, axis=0)
    assert hallucination.invariants_broken(DOMAIN, told, spoilt).max() == 0
    told[0, :, 3] = 12.9
    assert hallucination.invariants_broken(DOMAIN, told, spoilt)[:, 3].max() == 0.25


def test_confidently_wrong_is_farther_outside_than_the_interval_is_wide() -> None:
    samples = np.random.default_rng(0).uniform(0, 1, (4000, 1, 1, 1))
    for truth, wrong in ((0.5, 0), (1.9, 0), (2.1, 1), (-0.9, 0), (-1.1, 1)):
        assert hallucination.confidently_wrong(samples, np.full((1, 1, 1), truth))[0, 0] == wrong


def test_rates_of_all_kinds_come_together_and_unread_text_counts() -> None:
    rows = Rows()
    told = np.repeat(CASES.truth[None], 50, axis=0) + np.random.default_rng(0).normal(0, 1e-3, (50, 1, 1, 1))
    told = np.clip(told, 0, 13)
    hallucination.score(rows, "here", answer(told, malformed=0.5), CASES, np.arange(len(CASES.truth)), DOMAIN)
    found = rows.table().to_pandas()
    assert set(found.metric) >= {"rate", "rate, without bounds", "broken", "wrong", "malformed", "rate, supported"}
    means = found[found.horizon == 0].groupby("metric").value.mean()
    assert means["malformed"] == 0.5 and means["rate"] >= 0.5
    assert sorted(found[found.metric == "rate"].horizon.unique()) == [0, 3, 6, 9, 12]


def test_the_share_of_the_gap_is_one_for_the_true_order_and_zero_for_none() -> None:
    risk = np.random.default_rng(0).exponential(size=2000)
    assert trust.share_recovered(risk, risk) == 1
    assert trust.share_recovered(risk, -risk) < 0
    assert abs(trust.share_recovered(risk, np.random.default_rng(1).random(2000))) < 0.1
    assert trust.aurc(np.array([3.0, 1.0, 2.0]), np.array([3.0, 1.0, 2.0])) == np.mean([1, 1.5, 2])


def test_histories_are_disturbed_and_answers_are_not() -> None:
    schema = CASES.histories.schema
    for other in (noisy(CASES, 0.5, np.ones(2), 0), patchy(CASES, 0.3, 0)):
        np.testing.assert_array_equal(other.truth, CASES.truth)
        seen = np.concatenate([episode.observations for episode in other.histories])
        before = np.concatenate([episode.observations for episode in CASES.histories])
        assert not np.array_equal(seen, before, equal_nan=True)
        low = schema.observations[0].low
        assert low is not None and np.nanmin(seen[:, 0]) >= low
    missing = np.isnan(np.concatenate([episode.observations for episode in patchy(CASES, 0.3, 0).histories])).mean()
    assert abs(missing - 0.3) < 0.05


def test_fewer_cases_are_among_the_others() -> None:
    some, places = fewer(CASES, 5)
    assert len(places) == 5 and some.group == tuple(CASES.group[place] for place in places)
    np.testing.assert_array_equal(some.truth, CASES.truth[places])
