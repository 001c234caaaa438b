"""The dirty-data battery: what a table is like, and what must become of it. `docs/data.md` prints this list.

Every case is the clean table with some columns changed, and goes through each loader that can hold it: `ok` is accepted
(what it means, what must hold of the episodes), `no` is refused (column, rows and words of the error).
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from .cases import CLEAN, TYPED, at, gaps, glucose, kind, labels, no, ok, same

ALL = tuple(range(1, 9))
NAN, INF = float("nan"), float("inf")
BERLIN = ZoneInfo("Europe/Berlin")
SPRING = [datetime(2026, 3, 29, hour, tzinfo=UTC).astimezone(BERLIN) for hour in range(4)]
NAIVE = [datetime(2026, 1, 1) + timedelta(hours=hour) for hour in range(4)]
JANUARY = NAIVE[0].replace(tzinfo=UTC).timestamp()
ISO = [moment.isoformat() for moment in NAIVE]
WIDE = {f"c{index}": [float(index), 2.0, 3.0, 4.0] * 2 for index in range(5000)}
LONG = {name: [f"n{row}a" if name == "mood" else row for row in range(1001)] for name in CLEAN}
OLD = [datetime(1969, 12, 31, 23, 59, 59, 500000) + timedelta(hours=hour) for hour in range(4)]
ZONES = [ISO[0] + "Z", "2026-01-01T03:00:00+02:00", "2026-01-01 02:00:00.0+0000", "2025-12-31T22:00:00-05"]
SOME_ZONES = [ISO[0] + "Z", ISO[1], ISO[2] + "Z", ISO[3] + "+01:00"]
CLOCK_BACK = [ISO[0], ISO[1], ISO[1], ISO[2]]
CLOSE = pa.array([0, 1, 2000, 3000] * 2, pa.timestamp("ns"))
DAYS = [date(2026, 1, day) for day in ALL]
HOURS = [timedelta(hours=hour) for hour in range(4)]
DICTIONARY = pa.array(CLEAN["mood"]).dictionary_encode()
AS_BINARY, AS_LABEL = {"kinds": {"glucose": "binary"}}, {"kinds": {"glucose": "categorical"}}
END, POSITIVE = {"terminated": "end"}, {"bounds": {"insulin": (0.0, None)}}
ODD_NAMES = ("血糖 (mmol/L) 🩸", 'a,"b";c', "<img src=x onerror=alert(1)>", "two\nlines", "a.b")
READ, MISSING, BINARY, LABELS = "read", "missing stays missing", "a binary variable", "a categorical variable"
SECONDS = "seconds since 1970 UTC"


def stamps(unit: str) -> pa.Array:
    return pa.array(NAIVE * 2, pa.timestamp("us")).cast(pa.timestamp(unit))


CASES = (
    ok("nothing wrong", READ, same),
    # Missing, extreme and impossible values
    ok("missing as NaN", MISSING, lambda e: gaps(e) == [1, 1], glucose=[5.5, NAN, 7.0, 8.0] * 2),
    ok("missing as null", MISSING, lambda e: gaps(e) == [1, 1], glucose=[5.5, None, 7.0, 8.0] * 2),
    ok("missing label", MISSING, lambda e: gaps(e) == [2, 2], mood=["good", None, "bad", ""] * 2),
    ok("missing action", MISSING, lambda e: np.isnan(e[0].actions[1, 0]), insulin=[0.0, None, 1.0, 0.0] * 2),
    no("infinite value", "glucose", (3, 7), "infinite", glucose=[5.5, 6.0, INF, 8.0] * 2),
    no("negative infinite action", "insulin", (4, 8), "infinite", insulin=[0.0, 1.0, 0.0, -INF] * 2),
    no("no value in a column", "glucose", (), "no row has a value", glucose=[None] * 8),
    no("only NaN in a column", "glucose", (), "no row has a value", glucose=[NAN] * 8),
    ok("no value in a column, at predict", MISSING, lambda e: gaps(e) == [4, 4], glucose=[None] * 8, predict=True),
    ok("no label in a column, at predict", MISSING, lambda e: gaps(e) == [4, 4], mood=[None] * 8, predict=True),
    ok("constant column", READ, lambda e: glucose(e) == [[5.0] * 4] * 2, glucose=[5.0] * 8),
    ok("value of 1e29", READ, lambda e: glucose(e)[0][1] == 1e29, glucose=[5.5, 1e29, 7.0, 8.0] * 2),
    no("value of 1e308", "glucose", (2, 6), "beyond 1e30", glucose=[5.5, 1e308, 7.0, 8.0] * 2),
    no("integer beyond 2^53", "glucose", (2, 6), "beyond 2^53", glucose=[1, 2**53 + 1, 3, 4] * 2),
    no("integer beyond 64 bits", "glucose", (2, 6), "2^53", glucose=pa.array([1, 2**63, 3, 4] * 2, pa.uint64())),
    no("value outside its bounds", "glucose", (4, 8), "outside", roles={"bounds": {"glucose": (0.0, 7.5)}}),
    ok("value on its bounds", READ, same, roles={"bounds": {"glucose": (4.5, 9.0), "insulin": (0.0, None)}}),
    no(
        "value outside its bounds, at predict",
        "insulin",
        (1,),
        "outside",
        insulin=[-1, *range(7)],
        roles=POSITIVE,
        predict=True,
    ),
    no("bounds in the wrong order", "glucose", (), "not below", roles={"bounds": {"glucose": (9.0, 0.0)}}),
    no("bounds of a label", "mood", (), "continuous", roles={"bounds": {"mood": (0.0, 1.0)}}),
    # Numbers, truth values and labels
    no("text among numbers", "glucose", (3,), "'abc' is", glucose=[5.5, 6.0, "abc", 8.0, 4.5, 5.0, 6.0, 9.0]),
    no("true/false among numbers", "glucose", (2, 6), "is", glucose=[5.5, True, 7.5, 8] * 2, loaders=("csv", "pandas")),
    no("decimal commas", "glucose", ALL, "'5,5' is not a number", glucose=["5,5", "6,2", "7,5", "8,0"] * 2),
    no("some decimal commas", "glucose", (2, 6), "'6,2' is not a number", glucose=["5.5", "6,2", "7.5", "8.0"] * 2),
    no("numbers as text", "glucose", ALL, "as text", glucose=["5.5", "6.2", "7.5", "8.0"] * 2, loaders=TYPED),
    no("a number among labels", "mood", (4, 8), "'3.5' in a column of text", mood=["low", "low", "<3", "3.5"] * 2),
    no("dates as a variable", "glucose", ALL, "'2026-01-01' is not a number", glucose=DAYS, loaders=("csv",)),
    no("dates as a variable, typed", "glucose", (), "values of type date32", glucose=DAYS, loaders=TYPED),
    no("lists in cells", "glucose", (), "cannot be a variable", glucose=[[1.0, 2.0]] * 8, loaders=TYPED),
    no("more than 1,000 labels", "mood", (), "1001 different labels", change=LONG),
    ok("true/false", BINARY, lambda e: kind(e) == "binary", glucose=[True, False, False, True] * 2),
    ok("true/false with gaps", BINARY, lambda e: gaps(e) == [1, 1], glucose=[True, None, False, True] * 2),
    ok("0 and 1", "a continuous variable", lambda e: kind(e) == "continuous", glucose=[0, 1, 1, 0] * 2),
    ok("0 and 1 declared binary", BINARY, lambda e: kind(e) == "binary", glucose=[0, 1, None, 0] * 2, roles=AS_BINARY),
    no("2 declared binary", "glucose", (3, 7), "2 in a binary column", glucose=[0, 1, 2, 0] * 2, roles=AS_BINARY),
    no("yes declared binary", "glucose", ALL, "'yes' in a binary column", glucose=["yes", "no"] * 4, roles=AS_BINARY),
    ok(
        "integers declared labels",
        LABELS,
        lambda e: labels(e) == ("1", "20"),
        glucose=[1, 20, None, 1] * 2,
        roles=AS_LABEL,
    ),
    no(
        "fractions declared labels", "glucose", (2, 6), "1.5", glucose=[1, 1.5, 2, 3] * 2, roles=AS_LABEL, loaders=TYPED
    ),
    ok("dictionary column", LABELS, lambda e: e.schema.observations[1].categories == ("bad", "good"), mood=DICTIONARY),
    ok("nullable integers", MISSING, lambda e: gaps(e) == [1, 1], glucose=pa.array([5, None, 7, 8] * 2, pa.int32())),
    ok("decimal type", READ, same, glucose=[Decimal(str(value)) for value in CLEAN["glucose"]]),
    ok("32-bit floats", READ, same, glucose=pa.array(CLEAN["glucose"], pa.float32())),
    no(
        "label unseen in training, at predict",
        "mood",
        (2, 6),
        "'great' is not one",
        mood=["bad", "great", "good", "bad"] * 2,
        predict=True,
    ),
    no(
        "numbers became text, at predict",
        "glucose",
        (1, 5),
        "'high' is",
        glucose=["high", 6.0, 7.0, 8.0] * 2,
        predict=True,
    ),
    no("numbers became true/false, at predict", "glucose", None, "number", glucose=[True, False] * 4, predict=True),
    no("labels became numbers, at predict", "mood", None, "0.5", mood=[0.5, 1.5] * 4, predict=True),
    # Ids and the order of rows
    ok("unsorted rows", READ, same, order=[3, 0, 2, 1, 7, 5, 6, 4]),
    ok("interleaved ids", READ, same, order=[0, 4, 1, 5, 2, 6, 3, 7]),
    ok("time runs backwards", READ, same, order=[3, 2, 1, 0, 7, 6, 5, 4]),
    no("same id and time twice", "time", (3, 7), "'a' at 1 in rows 2 and 3", time=[0, 1, 1, 3] * 2),
    no("missing id", "id", (2, 8), "the id is missing", id=["a", None, "a", "a", "b", "b", "b", None]),
    no("empty id", "id", (2, 8), "the id is missing", id=["a", "", "a", "a", "b", "b", "b", ""]),
    ok("integer ids", READ, lambda e: [x.id for x in e] == [9, 10], id=[9] * 4 + [10] * 4),
    ok(
        "whole ids stored as floats",
        "integer ids",
        lambda e: [x.id for x in e] == [9, 10],
        id=[9.0] * 4 + [10.0] * 4,
        loaders=TYPED,
    ),
    ok("ids with leading zeros", "text ids", lambda e: [x.id for x in e] == ["007", "7"], id=["007"] * 4 + ["7"] * 4),
    no("fractional ids", "id", ALL, "1.5 is no id", id=[1.5] * 8, loaders=TYPED),
    no("true/false ids", "id", (), "not true/false", id=[True] * 4 + [False] * 4, loaders=TYPED),
    ok("episodes of one row", READ, lambda e: [x.steps for x in e] == [0] * 8, id=[f"p{row}" for row in ALL]),
    ok("one row", READ, lambda e: (len(e), e[0].steps, e[0].pending[0]) == (1, 0, 2.5), order=[3]),
    no("no rows", None, (), "no rows", order=[]),
    no("static value that changes", "weight", (3,), "'a'", weight=[70.0, 70.0, 71.0, 70.0] + [82.5] * 4),
    ok(
        "static value in some rows",
        "it holds for all",
        lambda e: e[0].static[0] == 70,
        weight=[None, 70, 70, None] + [82.5] * 4,
    ),
    ok("static value in no row", MISSING, lambda e: np.isnan(e[0].static[0]), weight=[None] * 4 + [82.5] * 4),
    ok(
        "end marked in the last row",
        "why it ended",
        lambda e: [x.terminated for x in e] == [True, False],
        end=[0, 0, 0, 1] + [0] * 4,
        roles=END,
    ),
    no("end marked in the middle", "end", (2,), "goes on after the row that ends it", end=[0, 1] + [0] * 6, roles=END),
    # Time
    no("missing time", "time", (2, 6), "the time is missing", time=[0.0, None, 2.0, 3.0] * 2),
    no("infinite time", "time", (4, 8), "infinite", time=[0.0, 1.0, 2.0, INF] * 2),
    ok("irregular time", READ, lambda e: e[0].time.tolist() == [-1.5, 0, 0.1, 99], time=[-1.5, 0, 0.1, 99] * 2),
    no("nanoseconds since 1970 as integers", "time", ALL, "2^53", time=[10**18 + row * 10**9 for row in range(8)]),
    no(
        "time that is no time",
        "time",
        (3, 7),
        "'noon' is neither",
        time=["2026-01-01", "2026-01-02", "noon", "2026-01-03"] * 2,
    ),
    no(
        "a date that does not exist",
        "time",
        (3, 7),
        "2026-02-30",
        time=["2026-01-01", "2026-01-02", "2026-02-30", "2026-03-03"] * 2,
    ),
    ok("ISO 8601 text without zone", SECONDS, at(0, 1, 2, 3), time=ISO * 2),
    ok("ISO 8601 text with several zones", SECONDS, at(0, 1, 2, 3), time=ZONES * 2),
    no("a zone in some rows only", "time", (2, 6), "has no time zone", time=SOME_ZONES * 2),
    ok("datetimes in seconds", SECONDS, at(0, 1, 2, 3), time=stamps("s")),
    ok("datetimes in milliseconds", SECONDS, at(0, 1, 2, 3), time=stamps("ms")),
    ok("datetimes in microseconds", SECONDS, at(0, 1, 2, 3), time=stamps("us")),
    ok("datetimes in nanoseconds", SECONDS, at(0, 1, 2, 3), time=stamps("ns")),
    ok("dates", SECONDS, at(0, 24, 48, 72), time=[date(2026, 1, day) for day in (1, 2, 3, 4)] * 2),
    ok("datetimes before 1970", SECONDS, lambda e: e[0].time[0] == -0.5, time=OLD * 2),
    no("times closer than a microsecond", "time", (2, 6), "same id and time", time=CLOSE),
    ok(
        "clocks go forward, with zone",
        "steps of an hour",
        lambda e: np.diff(e[0].time).tolist() == [3600] * 3,
        time=SPRING * 2,
    ),
    no("clocks go back, without zone", "time", (3, 7), "same id and time", time=CLOCK_BACK * 2),
    no("durations as time", "time", None, "time", time=HOURS * 2),
    no("datetimes where numbers were, at predict", "time", (), "number is expected", time=ISO * 2, predict=True),
    # Columns
    ok(
        "further columns", "not looked at", same, extra=[INF, "abc", *[None] * 6], note=[["list"]] * 8, loaders=("csv",)
    ),
    no("a column is missing", "glucose", (), "no column 'glucose'. The table has 'id', 'time', 'mood'", glucose=None),
    no("a column is called otherwise", "glucose", (), "did you mean 'Glucose' for", glucose=None, Glucose=[1.0] * 8),
    no(
        "a blank in a name",
        "glucose",
        (),
        "did you mean ' glucose ' for",
        glucose=None,
        change={" glucose ": [1.0] * 8},
    ),
    no("two columns are missing, at predict", None, (), "'glucose', 'hour'", glucose=None, hour=None, predict=True),
    no("one column in two roles", "hour", (), "more than one role", roles={"actions": ["insulin", "hour"]}),
    no("no observation", None, (), "at least one observation", roles={"observations": []}),
    no("a target that is no observation", "insulin", (), "targets", roles={"targets": ["insulin"]}),
    no("a unit of an unknown column", "glucse", (), "units", roles={"units": {"glucse": "mmol/L"}}),
    ok(
        "odd names",
        READ,
        lambda e: len(e) == 2,
        change=dict.fromkeys(ODD_NAMES, [1.0] * 8),
        roles={"observations": ODD_NAMES},
    ),
    ok("5,000 columns", READ, lambda e: e[1].observations[1, 4999] == 2, change=WIDE, roles={"observations": [*WIDE]}),
)
