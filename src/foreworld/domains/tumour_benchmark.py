"""The tumour benchmark of counterfactual forecasting (Bica 2020; Melnychuk 2022), under two protocols by name.

A doctor treats large tumours more: on each day, chemotherapy and radiotherapy are given independently, each with
probability sigmoid(gamma / 13 (mean diameter of the last 15 days - 6.5)). Training patients are recorded under this
policy; test patients are asked about every day, under treatments that the doctor did not choose.

- `corrected`: the doctor looks at the patient.
- `released`: as in the public generators, where test patients are another matter. There the doctor of test patient i
  looks at row i of the table of test rows as it is being filled. A patient fills several hundred rows, so that one
  thousand patients are treated by the histories of the first few, each cut off at the day its row is about. Training
  patients are not concerned. Published tables are all of this protocol.

The two must not be mixed in one table. Random numbers are ours, so sets agree with the public ones in distribution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.domains.tumour_model import (
    CHEMO_DOSE,
    CHEMO_LEFT,
    LARGEST,
    LETHAL,
    NOISE,
    RADIO_DOSE,
    Patients,
    diameter_of,
    draw_patients,
    first_diameter,
    grow,
    settle,
    volume_of,
)

Protocol = Literal["released", "corrected"]
Plans = Literal["sliding", "random"]
DAYS = 60  # volumes of a patient
WINDOW = 15  # days that the doctor looks back
AHEAD = 5  # days planned in a question of several steps
PLANS = 10  # for each day
SEEDS = (10, 101, 1010, 10101, 101010)
OPTIONS = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)  # (chemo, radio)


@dataclass(frozen=True)
class Histories:
    """What happened to N patients: volumes (cm^3) and treatments (0 or 1) up to recovery, death or day 59.

    Attributes:
        patients: who they are; only `kind` is known to a forecaster.
        volume: NaN after the end.
        treated: chemo and radio of each day; zero after the end.
        concentration: of the drug, right after each day's dose.
        days: number of transitions.
    """

    patients: Patients
    volume: Float[np.ndarray, "patient row"]
    treated: Float[np.ndarray, "patient day 2"]
    concentration: Float[np.ndarray, "patient day"]
    days: Int[np.ndarray, " patient"]

    @property
    def asked(self) -> Bool[np.ndarray, "patient day"]:
        """Days from which there is a next one: the origins of all questions."""
        return np.arange(DAYS - 1) < self.days[:, None]

    @property
    def evening(self) -> Float[np.ndarray, "patient day"]:
        """Concentration that the evening before each day left, which half of is there when a dose is decided on."""
        return np.pad(self.concentration[:, :-1], ((0, 0), (1, 0)))


@dataclass(frozen=True)
class Questions:
    """What comes after each day of each patient, under several plans.

    Attributes:
        histories: of the patients. A question at day t is told volumes 0 to t and treatments 0 to t - 1.
        plans: (chemo, radio) of day t and the days after.
        outcome: volumes from day t + 1 on; NaN where no question is asked. Those of the next day are never scored if
            there are later ones.
    """

    histories: Histories
    plans: Float[np.ndarray, "patient day plan step 2"]
    outcome: Float[np.ndarray, "patient day plan step"]

    @property
    def scored(self) -> slice:
        """The steps that count: the only one, or all after the first."""
        return slice(0 if self.outcome.shape[-1] == 1 else 1, None)


Ask = Callable[[Histories, slice], Questions]
"""Histories of a slice of the test patients -> the questions about them."""


@dataclass(frozen=True)
class Chance:
    """All random numbers of N patients' factual days."""

    noise: Float[np.ndarray, "patient longer"]
    treat: Float[np.ndarray, "patient day 2"]
    recover: Float[np.ndarray, "patient day"]

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator) -> "Chance":
        noise = rng.normal(0, NOISE, (count, DAYS + AHEAD + 1))
        return cls(noise, rng.random((count, DAYS - 1, 2)), rng.random((count, DAYS - 1)))

    def of(self, index: slice) -> "Chance":
        return Chance(self.noise[index], self.treat[index], self.recover[index])


def recorded(count: int, gamma: float | int, seed: int, part: Literal["train", "validation"] = "train") -> Histories:
    """Patients to learn from, of both protocols: nobody is treated on day 0; the doctor looks at the days before."""
    patients, start, chance, _ = _draw(count, seed, 0 if part == "train" else 4)
    return _live(patients, start, chance, gamma, today=False)


def one_step(count: int, gamma: float | int, seed: int, protocol: Protocol) -> Questions:
    """Test patients with all four treatments on each day, under the same noise. What was done comes first."""
    patients, start, chance, _ = _draw(count, seed, 1)

    def ask(histories: Histories, index: slice) -> Questions:
        done = (histories.treated @ [1, 2]).astype(int)[..., None]
        rank = np.arange(len(OPTIONS))
        order = np.where(rank == 0, done, rank - (rank <= done))
        plans = OPTIONS[order][:, :, :, None, :]
        dose = CHEMO_LEFT * histories.evening[..., None] + CHEMO_DOSE * plans[..., 0, 0]
        outcome = grow(
            np.broadcast_to(histories.volume[:, :-1, None], dose.shape),
            dose,
            RADIO_DOSE * plans[..., 0, 1],
            histories.patients.theta[:, None, None, :],
            chance.noise[index, 1:DAYS, None],
        )
        # Only what did happen stays between recovery and death.
        outcome[:, :, 0] = histories.volume[:, 1:]
        return Questions(histories, plans, outcome[..., None])

    return _test(patients, start, chance, gamma, protocol, ask)


def several_steps(count: int, gamma: float | int, seed: int, protocol: Protocol, plans: Plans) -> Questions:
    """Test patients with ten plans on each day: the day's treatment as it was, then five planned days.

    `sliding`: chemo on exactly one of the five, or radio on exactly one. `random`: both by the toss of a coin. Nobody
    dies or recovers under a plan; where a volume turns negative before the last day, the question is dropped.
    """
    patients, start, chance, rng = _draw(count, seed, 2 if plans == "sliding" else 3)
    if plans == "sliding":
        planned = np.zeros((1, 1, PLANS, AHEAD, 2))
        for day in range(AHEAD):
            planned[:, :, day, day, 0] = planned[:, :, AHEAD + day, day, 1] = 1
        planned = np.broadcast_to(planned, (count, DAYS - 1, PLANS, AHEAD, 2))
    else:
        planned = rng.integers(0, 2, (count, DAYS - 1, PLANS, AHEAD, 2)).astype(float)

    def ask(histories: Histories, index: slice) -> Questions:
        chosen = planned[index]
        shape = chosen.shape[:3]
        today = np.broadcast_to(histories.treated[:, :, None, None], (*shape, 1, 2))
        volume = np.broadcast_to(histories.volume[:, 1:, None], shape)
        dose = np.broadcast_to(histories.concentration[:, :, None], shape)
        theta, volumes = histories.patients.theta[:, None, None, :], [volume]
        for step in range(AHEAD):
            dose = CHEMO_LEFT * dose + CHEMO_DOSE * chosen[..., step, 0]
            noise = chance.noise[index, 2 + step : DAYS + 1 + step, None]
            volumes.append(grow(volumes[-1], dose, RADIO_DOSE * chosen[..., step, 1], theta, noise))
        outcome = np.stack(volumes, axis=-1)
        outcome[np.isnan(outcome).any(-1)] = np.nan
        return Questions(histories, np.concatenate([today, chosen], axis=3), outcome)

    return _test(patients, start, chance, gamma, protocol, ask)


def _draw(
    count: int, seed: int, place: int
) -> tuple[Patients, Float[np.ndarray, " patient"], Chance, np.random.Generator]:
    rng = np.random.default_rng([seed, place])
    patients = draw_patients(count, rng)
    start = volume_of(first_diameter(patients.stage, rng.random(count)))
    return patients, start, Chance.draw(count, rng), rng


def _test(
    patients: Patients, start: np.ndarray, chance: Chance, gamma: float | int, protocol: Protocol, ask: Ask
) -> Questions:
    """Live through the test patients, and ask."""
    everyone = slice(0, len(start))
    levels = None if protocol == "corrected" else _wrong_rows(patients, start, chance, gamma, ask)
    return ask(_live(patients, start, chance, gamma, today=True, levels=levels), everyone)


def _wrong_rows(patients: Patients, start: np.ndarray, chance: Chance, gamma: float | int, ask: Ask) -> np.ndarray:
    """What the doctor of each test patient sees day by day in the released protocol: row i for patient i.

    The first patients' rows are enough for all: they are lived through one by one until they have filled as many rows
    as there are patients.
    """
    count = len(start)

    def fill(place: int, row: np.ndarray) -> np.ndarray:
        index = slice(place, place + 1)
        one = Patients(**{name: values[index] for name, values in vars(patients).items()})
        lived = _live(one, start[index], chance.of(index), gamma, today=True, levels=_mean_diameters(row))
        return _rows(ask(lived, index))

    empty = np.zeros((1, DAYS))
    # Of their own rows only the very first patient's is filled too late: it is empty until day 0 is over.
    rows = fill(0, np.concatenate([fill(0, empty), empty])[:1])
    place = 1
    while len(rows) < count and place < count:
        rows = np.concatenate([rows, fill(place, np.concatenate([rows[place:], empty])[:1])])
        place += 1
    return _mean_diameters(np.pad(rows, ((0, count), (0, 0)))[:count])


def _rows(questions: Questions) -> Float[np.ndarray, "case row"]:
    """The table rows of one patient: the history up to the question's day, its outcome, zeros."""
    volume = np.nan_to_num(questions.histories.volume[0])
    rows = []
    for day, outcomes in enumerate(questions.outcome[0]):
        for outcome in outcomes[np.isfinite(outcomes).all(-1)]:
            row = np.concatenate([volume[: day + 1], outcome, np.zeros(DAYS)])[:DAYS]
            rows.append(row)
    return np.array(rows).reshape(-1, DAYS)


def _mean_diameters(rows: Float[np.ndarray, "case row"]) -> Float[np.ndarray, "case day"]:
    """Mean diameter over each day but the last and the WINDOW days before it."""
    total = np.cumsum(np.pad(diameter_of(rows), ((0, 0), (1, 0))), axis=1)
    day = np.arange(DAYS - 1)
    since = np.maximum(day - WINDOW, 0)
    return (total[:, day + 1] - total[:, since]) / (day + 1 - since)


def _live(
    patients: Patients,
    start: np.ndarray,
    chance: Chance,
    gamma: float | int,
    *,
    today: bool,
    levels: np.ndarray | None = None,
) -> Histories:
    """Patients under the doctor's policy; with `levels` the doctor goes by these mean diameters, not their own."""
    count = len(start)
    volume = np.full((count, DAYS), np.nan)
    treated = np.zeros((count, DAYS - 1, 2))
    concentration = np.zeros((count, DAYS - 1))
    volume[:, 0], drug, theta = start, np.zeros(count), patients.theta
    alive = np.ones(count, bool)
    for day in range(DAYS - 1):
        if today or day > 0:
            if levels is None:
                window = diameter_of(volume[:, max(day - WINDOW, 0) : day + today])
                level = window.mean(1)
            else:
                level = levels[:, day]
            chosen = chance.treat[:, day] < treatment_probability(level, gamma)[:, None]
            treated[:, day] = chosen & alive[:, None]
        drug = CHEMO_LEFT * drug + CHEMO_DOSE * treated[:, day, 0]
        concentration[:, day] = drug
        now = volume[alive, day], drug[alive], RADIO_DOSE * treated[alive, day, 1]
        later = settle(grow(*now, theta[alive], chance.noise[alive, day + 1]), chance.recover[alive, day])
        volume[alive, day + 1] = later
        alive[alive] = (later > 0) & (later < LETHAL)
    return Histories(patients, volume, treated, concentration, np.isfinite(volume).sum(1) - 1)


def treatment_probability(level: Float[np.ndarray, "*case"], gamma: float | int) -> Float[np.ndarray, "*case"]:
    """Of chemo, and of radio, on a day: sigmoid(gamma / 13 (level - 6.5)), level a mean diameter (cm)."""
    return 1 / (1 + np.exp(-gamma / LARGEST * (level - LARGEST / 2)))
