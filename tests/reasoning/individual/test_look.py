"""Looks from past rows: nothing is known that came later, and histories that begin alike share what is the same."""

from dataclasses import replace

import numpy as np
import pytest

from foreworld.data.episodes import Episodes
from foreworld.data.plan import cut
from foreworld.reasoning.forecast import draw
from foreworld.reasoning.individual import look as module
from foreworld.reasoning.individual.look import LOOKS, Looks, Terms, families, leads_of, look_back, together
from foreworld.world.network import WorldNetwork

from ...simulated import encoding_of, episodes, tiny

DATA = episodes([25, 1, 2, 80, 13])
ENCODING = encoding_of(DATA)
NETWORK = WorldNetwork(tiny(members=2), ENCODING, seed=1).requires_grad_(False)


def until(*places: tuple[int, int]) -> Episodes:
    return Episodes(DATA.schema, tuple(DATA[index].until(row) for index, row in places))


def missed(looks: Looks, history: int) -> dict[tuple[int, int], np.ndarray]:
    """What one history knows, by row and lead."""
    if not len(looks.row):
        return {}
    known = looks.known(slice(history, history + 1))[0]
    places = looks.places[history]
    return {
        (int(looks.row[places[place]]), int(looks.leads[lead])): looks.missed[places[place], lead]
        for place, lead in zip(*np.nonzero(known.any(-1)), strict=True)
    }


def test_steps_ahead_begin_with_the_first_and_end_with_the_horizon() -> None:
    assert leads_of(1).tolist() == [1] and leads_of(4).tolist() == [1, 2, 3, 4]
    long = leads_of(36)
    assert long[0] == 1 and long[-1] == 36 and len(long) == module.LEADS


def test_a_history_knows_of_what_came_in_it_alone() -> None:
    looks = look_back(NETWORK, ENCODING, DATA)
    for index, episode in enumerate(DATA):
        found = missed(looks, index)
        assert all(row + lead <= episode.steps for row, lead in found)
        assert bool(found) == (episode.steps > 0)


def test_what_is_missed_is_what_came_less_the_mean_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FUTURES", 4000)
    looks, cases = look_back(NETWORK, ENCODING, DATA.take([3])), cut(DATA, [(3, 40)], 4)
    place = looks.row[looks.places[0]].tolist().index(40)
    drawn = draw(NETWORK, cases.histories, cases.plan, ENCODING, draws=2000, seed=5)[..., 0]
    centre, scale = (part[0] for part in ENCODING.scaling.of(DATA.schema.targets))
    expected = ((cases.truth[0, :, 0] - centre) / scale - drawn.mean((0, 1))[0]) / np.sqrt(drawn.var(1).mean(0))[0]
    np.testing.assert_allclose(looks.missed[looks.places[0, place], :, 0], expected, atol=0.1)


def test_categories_are_not_missed() -> None:
    assert np.isnan(look_back(NETWORK, ENCODING, DATA).missed[..., 1:]).all()


def test_what_comes_later_changes_nothing() -> None:
    """The misses that a shorter history knows are those that it would know alone, at the same rows."""
    both = look_back(NETWORK, ENCODING, until((3, 70), (3, 20)))
    alone = look_back(NETWORK, ENCODING, until((3, 20)))
    first, second = missed(both, 1), missed(alone, 0)
    assert first.keys() == second.keys() and len(first) > 20
    for key, value in first.items():
        np.testing.assert_allclose(value, second[key], atol=1e-4)


def test_histories_that_begin_alike_share_their_looks() -> None:
    looks = look_back(NETWORK, ENCODING, until(*[(3, row) for row in range(40, 80)]))
    assert len(looks.row) < 80 and (looks.places >= 0).sum() > 20 * 40
    other = replace(DATA[3], observations=DATA[3].observations + 1)
    longest, whose = families(Episodes(DATA.schema, (DATA[3], other, DATA[3].until(5), other.until(7))))
    assert len(longest) == 2 and whose.tolist() == [0, 1, 0, 1]


def test_looks_are_spread_over_the_whole_history() -> None:
    looks = look_back(NETWORK, ENCODING, until((3, 79)))
    rows = looks.row[looks.places[0][looks.places[0] >= 0]]
    assert LOOKS / 2 < len(rows) <= LOOKS and rows[0] == 0 and rows[-1] >= 79 - looks.apart[0]


def test_misses_that_share_their_steps_count_as_those_that_fit_side_by_side() -> None:
    looks = look_back(NETWORK, ENCODING, until((3, 16), (3, 2)))
    (long, short), leads = looks.weight(slice(None)), looks.leads
    np.testing.assert_allclose(long, 1 / leads)  # A look from every row.
    np.testing.assert_allclose(short, 1 / np.minimum(leads, 2))


def test_of_a_history_with_many_looks_every_other_is_left_out() -> None:
    histories = until((3, 40), (3, 12))
    looks, few = look_back(NETWORK, ENCODING, histories), look_back(NETWORK, ENCODING, histories, 20)
    assert (few.places >= 0).sum(1).tolist() == [20, 12] and few.apart.tolist() == [2, 1]
    np.testing.assert_array_equal(few.row[few.places[0]], np.arange(0, 40, 2))
    for here, there in ((few.places[0], looks.places[0, :40:2]), (few.places[1, :12], looks.places[1, :12])):
        np.testing.assert_allclose(few.missed[here], looks.missed[there], atol=1e-5)


def test_fewer_of_many_looks_are_those_that_fewer_would_have_been() -> None:
    histories = until((3, 79), (3, 20), (0, 1))
    many, few = look_back(NETWORK, ENCODING, histories).fewer(10), look_back(NETWORK, ENCODING, histories, 10)
    assert many.apart.tolist() == few.apart.tolist() and many.places.shape == few.places.shape
    for one, other in zip(many.places, few.places, strict=True):
        np.testing.assert_array_equal(one < 0, other < 0)
        np.testing.assert_array_equal(many.row[one[one >= 0]], few.row[other[other >= 0]])


def test_the_usual_leads_are_among_all_steps() -> None:
    usual, every = look_back(NETWORK, ENCODING, DATA), look_back(NETWORK, ENCODING, DATA, every_step=True)
    assert every.leads.tolist() == list(range(1, NETWORK.config.horizon + 1))
    same = every.at(usual.leads)
    for name in ("expected", "deviation", "missed"):
        np.testing.assert_array_equal(getattr(same, name), getattr(usual, name))
    for name in ("steps", "common", "own", "row"):
        np.testing.assert_array_equal(getattr(same.facts, name), getattr(usual.facts, name))


def test_each_look_is_of_a_history_that_has_it() -> None:
    looks = look_back(NETWORK, ENCODING, until((3, 40), (4, 12), (3, 20)))
    for look, history in enumerate(looks.whose()):
        assert look in looks.places[history]
    assert set(looks.whose()) == {0, 1}  # The third begins as the first does.


def test_sets_of_histories_can_be_put_together() -> None:
    parts = [look_back(NETWORK, ENCODING, until(place)) for place in ((3, 30), (1, 0), (0, 20))]
    joined = together(parts)
    for index, part in enumerate(parts):
        one, other = missed(joined, index), missed(part, 0)
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_terms_are_leaky_sums_of_what_was_done_and_of_what_is_planned() -> None:
    histories = until((3, 30))
    cases = cut(DATA, [(3, 30)], 4)
    facts = Terms.of(histories, cases.plan, ENCODING)
    later = Terms.of(until((3, 33)), cut(DATA, [(3, 33)], 4).plan, ENCODING)
    width = (facts.common.shape[2] - 1) // 2
    assert (facts.common[..., 0] == 1).all()
    np.testing.assert_array_equal(facts.between(np.array([1, 3]))[:, 0], [1, 0.5, 0, 0])
    # After three steps of the plan the sums are those that a history of three more rows begins with, and one action.
    np.testing.assert_allclose(facts.common[0, 2, 1 + width :], later.common[0, 0, 1 : 1 + width], rtol=1e-4, atol=1e-5)


def test_facts_about_an_individual_do_not_stand_among_what_is_missed_about_everybody() -> None:
    history, cases = until((3, 30)), cut(DATA, [(3, 30)], 4)
    other = Episodes(DATA.schema, (replace(history[0], static=history[0].static + 1),))
    one, two = (Terms.of(some, cases.plan, ENCODING) for some in (history, other))
    np.testing.assert_array_equal(one.row, two.row)
