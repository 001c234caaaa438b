import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from foreworld import cli_options as options
from foreworld.cli import app
from foreworld.errors import ForeworldError, QuestionError

NAMES = st.text(min_size=1, max_size=12).map(str.strip).filter(lambda name: name and not set(name) & set("\r\n\x00"))
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_any_column_names_survive_the_way_through_the_command_line(names: list[str]) -> None:
    assert options.columns("--act", [options.joined(names)]) == names


def test_columns_come_in_one_word_or_in_many() -> None:
    assert options.columns("--act", ["insulin, carbs", '"rate, U/h"']) == ["insulin", "carbs", "rate, U/h"]
    assert options.columns("--act", None) == []


@pytest.mark.parametrize("text", ["", ",", "a,,b", "a,", '"a', '"a"b', "a\nb"])
def test_columns_that_are_no_names_are_refused(text: str) -> None:
    with pytest.raises(QuestionError, match="^--act: "):
        options.columns("--act", [text])


@given(
    NAMES.filter(lambda name: "=" not in name),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_bounds_read_as_written(name: str, low: float | None, high: float | None) -> None:
    text = f"{name}={'' if low is None else low}:{'' if high is None else high}"
    if low is None and high is None:
        with pytest.raises(QuestionError, match="NAME=LOW:HIGH"):
            options.bounds([text])
    else:
        assert options.bounds([text]) == {name: (low, high)}


@pytest.mark.parametrize("text", ["x", "x=", "=1:2", "x=1", "x=a:b", "x=nan:1", "x=0:inf", "x=1:2:3", "x=:"])
def test_bounds_that_make_no_sense_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(QuestionError, match="--bounds: .*NAME=LOW:HIGH"):
        options.bounds([text])


def test_interventions_are_numbers_or_words() -> None:
    given = ["insulin=0", "carbs@30=45", "basal=hold", "mode = night shift", "label=a=b", "rate=1e-3"]
    assert options.interventions(given) == {
        "insulin": 0.0,
        "carbs@30": 45.0,
        "basal": "hold",
        "mode": "night shift",
        "label": "a=b",
        "rate": 1e-3,
    }


def test_saying_it_twice_is_refused() -> None:
    with pytest.raises(QuestionError, match="'glucose' is given twice, as 'mg/dL' and as 'mmol/L'"):
        options.units(["glucose=mg/dL", "glucose=mmol/L"])


def test_kinds_are_one_of_three() -> None:
    assert options.kinds(["ward=categorical", "alive=binary"]) == {"ward": "categorical", "alive": "binary"}
    with pytest.raises(QuestionError, match="'ward' is one of continuous, binary, categorical, not 'nominal'"):
        options.kinds(["ward=nominal"])


@given(st.sampled_from([options.units, options.kinds, options.bounds, options.interventions]), st.lists(WORDS))
def test_garbage_is_read_or_refused_and_never_fails_otherwise(parse, words: list[str]) -> None:
    try:
        found = parse(words)
    except ForeworldError:
        return
    assert len(found) == len(words)
    for value in found.values():
        assert not (isinstance(value, tuple) and any(number is not None and math.isnan(number) for number in value))


@given(st.sampled_from(["--observe", "--act", "--unit", "--bounds", "--kind"]), WORDS)
def test_garbage_on_the_command_line_is_one_line_and_exit_code_2(option: str, word: str) -> None:
    words = ["fit", "there is no such file.csv", "--id", "a", "--time", "b", "--observe", "c", "--out", "model"]
    done = CliRunner().invoke(app, [*words, f"{option}={word}"])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable()
