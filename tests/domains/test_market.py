import itertools
from dataclasses import replace

import numpy as np
import pytest
from pams.order import LIMIT_ORDER, MARKET_ORDER, Order

from foreworld.domains import market_policy as habits
from foreworld.domains.base import join, take
from foreworld.domains.collect import branch, collect
from foreworld.domains.market import Market
from foreworld.domains.market_baselines import Walk
from foreworld.domains.market_book import Ranked
from foreworld.errors import MissingExtraError, QuestionError

NAMES = ("large#002", "mid#001", "small#004")


@pytest.fixture(scope="module")
def domain() -> Market:
    return Market()


def follow(domain, plan):
    return np.stack([domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def random_plan(domain, steps):
    return domain.behaviour("programmes", NAMES, steps=steps, seeds=[0, 1, 2]).intended(0, steps)


def test_a_restored_state_goes_on_bit_by_bit(domain):
    plan = random_plan(domain, 40)
    plan[0, 12:16, habits.HALT] = 1
    domain.reset(NAMES, steps=40, seeds=[3, 4, 5])
    follow(domain, plan[:, :14])  # one of the markets is halted, with a crossed book
    early = domain.snapshot()
    middle = follow(domain, plan[:, 14:24])
    late = domain.snapshot()
    rest = follow(domain, plan[:, 24:30])
    domain.restore(early)
    assert np.array_equal(follow(domain, plan[:, 14:24]), middle)
    domain.restore(join([take(late, [2, 0]), take(early, [1, 1])]))
    mixed = np.stack([plan[2, 24:30], plan[0, 24:30], plan[1, 14:20], plan[1, 14:20]])
    observed = follow(domain, mixed)
    assert np.array_equal(observed[:2], rest[[2, 0]])
    assert np.array_equal(observed[2:], middle[[1, 1], :6])


def test_new_chance_parts_from_the_next_minute_and_is_the_same_for_the_same_seed(domain):
    domain.reset(NAMES, steps=20, seeds=[0, 1, 2])
    plan = np.zeros((3, 8, 3))
    follow(domain, plan)
    start = domain.snapshot()
    old = follow(domain, plan)
    new = []
    for _ in range(2):
        domain.restore(start, seeds=[7, 8, 9])
        new.append(follow(domain, plan))
    assert np.array_equal(new[0], new[1])
    assert (new[0][:, 0, 0] != old[:, 0, 0]).all()


def test_an_episode_does_not_depend_on_those_beside_it(domain):
    together = collect(domain, instances=NAMES, steps=12, seed=5)
    alone = collect(domain, instances=NAMES[1:2], steps=12, seed=5)
    assert np.array_equal(together[1].observations, alone[0].observations)
    assert np.array_equal(together[1].actions, alone[0].actions)


def test_buying_raises_the_price_selling_lowers_it_and_more_does_more(domain):
    names = [name for name in NAMES for _ in range(2)]
    domain.reset(names, steps=22, seeds=range(6))
    calm = np.zeros((6, 10, 3))
    follow(domain, calm)
    start, ends = domain.snapshot(), []
    for share in (-0.2, 0.0, 0.1, 0.2):
        plan = calm.copy()
        plan[..., habits.ORDERS] = np.round(share * domain.static(names)[:, :1])
        domain.restore(start)
        ends.append(follow(domain, plan)[:, 4:, 0].mean(1))
    sold, nothing, bought, much = ends
    assert (sold < nothing).all() and (nothing < much).all()
    assert nothing.mean() < bought.mean() < much.mean()


def test_a_halt_collects_orders_and_ends_in_an_auction(domain):
    plan = np.zeros((3, 14, 3))
    plan[:, 5:10, habits.HALT] = 1
    plan[:, 6, habits.ORDERS] = 5  # not taken
    domain.reset(NAMES, steps=14, seeds=[0, 1, 2])
    observed = follow(domain, plan)
    assert (observed[:, 5:10, 5] == 0).all() and (observed[:, 5:10, 0] == observed[:, 4:5, 0]).all()
    assert (observed[:, 10, 5] > observed[:, :5, 5].mean(1)).all()


def test_the_price_follows_the_news(domain):
    plan = np.zeros((3, 25, 3))
    plan[:, 2, habits.NEWS] = [3.0, 3.0, -3.0]
    domain.reset(NAMES, steps=25, seeds=[0, 1, 2])
    told = follow(domain, plan)
    domain.reset(NAMES, steps=25, seeds=[0, 1, 2])
    untold = follow(domain, 0 * plan)
    assert np.array_equal(told[:, :2], untold[:, :2])
    moved = (told - untold)[:, -5:, 0].mean(1)
    assert np.array_equal(np.sign(moved), [1, 1, -1]) and (abs(moved) > 1.5).all() and (abs(moved) < 4.5).all()


@pytest.mark.parametrize("policy", ["programmes", "momentum"])
def test_invariants_hold_while_policies_are_at_work(domain, policy):
    data = collect(domain, policy=policy, instances=NAMES, steps=60, seed=1)
    for episode in data:
        assert all(holds for holds in domain.invariants(episode.observations, episode.actions).values())
        assert np.isfinite(episode.observations).all() and (episode.observations[:, 2:] >= 0).all()
        assert (domain.cost(episode.observations) >= 0).all()


def test_invariants_notice_what_cannot_be(domain):
    observations, actions = np.zeros((3, 4, 6)), np.zeros((3, 3, 3))
    observations[0, 2, 0] = 20.0
    actions[1:, 1, habits.HALT] = 1
    observations[1, 2, 0] = 0.5
    observations[2, :, 0], observations[2, 2, 5] = np.nan, 1
    limit, still, untraded = domain.invariants(observations, actions).values()
    assert limit.tolist() == [False, True, True]
    assert still.tolist() == [True, False, True]
    assert untraded.tolist() == [True, True, False]


def test_the_momentum_trader_follows_the_price_and_the_other_does_not(domain):
    rising = np.zeros((3, 6))
    rising[:, 1] = 1.0  # the mid-quote is above the price
    for policy, follows in (("programmes", False), ("momentum", True)):
        behaviour = domain.behaviour(policy, NAMES, steps=200, seeds=[0, 1, 2])
        done = np.stack([behaviour.act(step, rising) for step in range(200)], axis=1)[..., habits.ORDERS]
        changed = done != behaviour.intended(0, 200)[..., habits.ORDERS]
        assert changed.any() == follows
        assert (done[changed] > 0).all()


def test_a_longer_schedule_begins_with_the_shorter():
    short, long = (habits.schedule(30.0, steps, np.random.default_rng(4)) for steps in (50, 90))
    # Programmes are drawn piece by piece, minutes one by one.
    assert np.array_equal(short, long[:50])


def test_thin_markets_move_more_under_the_same_orders(domain):
    thin = domain.shifted("thin")
    assert np.array_equal(thin.static(NAMES)[:, 0], domain.static(NAMES)[:, 0] // 2)
    assert thin.instances == domain.instances and thin.schema == domain.schema
    plan = np.zeros((3, 8, 3))
    plan[..., habits.ORDERS] = 6
    moved = []
    for market in (domain, thin):
        market.reset(NAMES, steps=8, seeds=[0, 1, 2])
        moved.append(follow(market, plan)[:, 3:, 0].mean(1))
    assert moved[1].mean() > moved[0].mean()
    with pytest.raises(QuestionError, match="no shift 'calm'"):
        domain.shifted("calm")


def test_baselines_know_the_plan_or_not(domain):
    train = collect(domain, instances=NAMES, steps=60, seed=2)
    cases = branch(domain, origins=[(NAMES[0], 30)], horizon=8, alternatives=2, seed=2)
    buying = cases.plan.actions.copy()
    buying[..., habits.ORDERS] = [[6.0], [-6.0]]
    asked = replace(cases.plan, actions=buying)
    for fit, sees in ((Walk.fit, False), (Walk.fit_impact, True)):
        samples = fit(train, 8).forecast(cases.histories, asked, members=300, seed=0)
        assert samples.shape == (300, 2, 8, 1) and np.isfinite(samples).all()
        assert (samples[:, 0].mean() > samples[:, 1].mean() + 0.3) == sees


@pytest.mark.parametrize("bad", [(0, np.nan), (1, 11.0)])
def test_impossible_actions_are_refused(domain, bad):
    domain.reset(NAMES[:1], steps=2, seeds=[0])
    actions = np.zeros((1, 3))
    actions[0, bad[0]] = bad[1]
    with pytest.raises(QuestionError, match="must be known"):
        domain.step(actions)


def test_unknown_names_are_refused(domain):
    with pytest.raises(QuestionError, match="no market 'huge#000'"):
        domain.reset(["huge#000"], steps=5, seeds=[0])
    with pytest.raises(QuestionError, match="no policy 'greedy'"):
        domain.behaviour("greedy", NAMES, steps=5, seeds=[0, 1, 2])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("foreworld.domains.market.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'foreworld\[market\]'"):
        Market()


def test_orders_rank_as_those_of_the_package():
    """Every pair of orders of one side: market orders, better and worse prices, earlier and later ones."""
    for buy in (True, False):
        asked = [(price, placed, number) for price in (None, 99.0, 101.0) for placed in (1, 2) for number in (1, 2)]
        slow, quick = ([_order(kind, buy, *facts) for facts in asked] for kind in (Order, Ranked))
        for one, other in itertools.product(range(len(asked)), repeat=2):
            assert (slow[one] < slow[other]) == (quick[one] < quick[other])
            assert (slow[one] > slow[other]) == (quick[one] > quick[other])
            assert (slow[one] == slow[other]) == (quick[one] == quick[other])


def _order(kind: type[Order], buy: bool, price: float | None, placed: int, number: int) -> Order:
    name = MARKET_ORDER if price is None else LIMIT_ORDER
    return kind(0, 0, buy, name, 1, placed_at=placed, price=price, order_id=number, ttl=5)
