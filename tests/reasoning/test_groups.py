"""Groups are told apart by one column that is known when a question is asked."""

from dataclasses import replace

import numpy as np
import pytest

from foreworld.data.episodes import Episodes
from foreworld.errors import QuestionError
from foreworld.reasoning.groups import Groups

from ..simulated import SCHEMA, episodes

DATA = episodes([6, 5, 4, 7, 8, 9, 5, 6, 4, 5, 6, 7], missing=0.0)


def sized(sizes: list[float]) -> Episodes:
    """Episodes with these values of the static column."""
    made = [replace(episode, static=np.array([float(size)])) for episode, size in zip(DATA, sizes, strict=False)]
    return Episodes(SCHEMA, tuple(made))


def test_few_different_numbers_are_groups_each() -> None:
    groups = Groups.fit("size", sized([1, 2, 1, 4, 2, 4]))
    assert groups.labels == ("1", "2", "4")
    assert groups.of(sized([4, 1, 2])).tolist() == [2, 0, 1]


def test_many_different_numbers_are_cut_into_thirds_of_the_trajectories() -> None:
    groups = Groups.fit("size", sized(list(range(12))))
    assert np.bincount(groups.of(sized(list(range(12))))).tolist() == [4, 4, 4]
    assert groups.labels[0].startswith("below ") and groups.labels[2].startswith("from ")
    assert groups.of(sized([-100, 100])).tolist() == [0, 2]


def test_a_missing_value_is_in_no_group() -> None:
    groups = Groups.fit("size", sized([1, 2, 1]))
    assert groups.of(sized([np.nan, 2])).tolist() == [-1, 1]


def test_of_an_observed_label_the_last_row_counts() -> None:
    groups = Groups.fit("mode", DATA)
    assert groups.labels == ("idle", "on", "safe")
    assert groups.of(DATA).tolist() == [int(episode.observations[-1, 2]) for episode in DATA]
    assert Groups.fit("alarm", DATA).labels == ("false", "true")


@pytest.mark.parametrize(
    ("column", "said"),
    [("colour", "is no column of this model"), ("level", "neither static"), ("pump", "neither static")],
)
def test_a_column_that_makes_no_groups_is_refused_with_those_that_do(column: str, said: str) -> None:
    with pytest.raises(QuestionError, match=said) as caught:
        Groups.fit(column, DATA)
    assert "alarm, mode, size" in str(caught.value)


def test_a_column_without_a_value_makes_no_groups() -> None:
    with pytest.raises(QuestionError, match="no trajectory has a value"):
        Groups.fit("size", sized([np.nan] * 4))


def test_the_same_after_a_round_trip() -> None:
    groups = Groups.fit("size", sized(list(range(12))))
    assert Groups.model_validate_json(groups.model_dump_json()) == groups
