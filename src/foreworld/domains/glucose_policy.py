"""What the virtual patients do all day: basal-bolus therapy with exploration, and other plans they could have followed.

Insulin in the `random` policy never looks at glucose, so that a dose and the glucose after it have no common cause
except the meal it belongs to. `confounded` adds what clinics do: more insulin where the reading is high. In both a low
reading is treated with sugar: without it virtual patients fall to a glucose of zero and, in this model, stay there.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

STEP = 5  # min
DAY = 24 * 60 // STEP  # steps
BASAL, BOLUS, CARBS = 0, 1, 2  # columns of the actions
BOLUS_INCREMENT, BASAL_INCREMENT = 0.05, 0.025  # U and U/h, as pumps have them

BASAL_FACTORS = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
BASAL_SHARES = np.array([0.1, 0.2, 0.45, 0.15, 0.1])
BASAL_HOURS = (1.0, 4.0)
# Breakfast, lunch, dinner and three snacks: earliest and latest hour, probability, grams at 70 kg.
MEALS = (
    (6.0, 9.0, 1.0, 45.0),
    (11.0, 14.0, 1.0, 70.0),
    (17.0, 20.0, 1.0, 80.0),
    (9.5, 10.5, 0.3, 15.0),
    (14.5, 16.5, 0.3, 15.0),
    (20.5, 23.0, 0.3, 15.0),
)
SIZE_SPREAD, BOLUS_SPREAD = 0.25, 0.4  # standard deviations of the logarithm
BOLUS_MEDIAN = 0.7  # of carbohydrate / carbohydrate ratio
MISSED, LATE = 0.1, 0.15  # probabilities
LATE_MINUTES = (15, 60)
CORRECTIONS_A_DAY = 3.0
CORRECTION_RANGE = (0.5, 2.0)
CHECKS_A_DAY = 6.0
HIGH, GOAL = 180.0, 140.0  # mg/dL
LOW, SUGAR = 54.0, 15.0  # mg/dL; g at 70 kg, eaten every 15 minutes while the reading is low
LOW_CHECK = 15 // STEP  # steps


@dataclass(frozen=True)
class Therapy:
    """What one patient's doctor has written down.

    Attributes:
        basal: steady basal rate (U/h).
        carb_ratio: carbohydrate covered by one unit (g/U).
        correction: insulin against a glucose 50 mg/dL too high (U).
        appetite: size of meals, one at 70 kg.
    """

    basal: float
    carb_ratio: float
    correction: float
    appetite: float


def round_to(dose, increment: float):
    """The nearest dose that a pump can give, without the dust of binary fractions."""
    return np.round(np.round(np.asarray(dose) / increment) * increment, 6)


def schedule(therapy: Therapy, steps: int, rng: np.random.Generator) -> Float[np.ndarray, "step action"]:
    """A plan of basal (U/h), bolus (U) and carbohydrate (g) that never looks at glucose.

    Step 0 is midnight. A longer plan from an equal generator begins with the shorter one.
    """
    basal, meals, corrections, sizes = rng.spawn(4)
    actions = np.zeros((steps, 3))
    actions[:, BASAL] = basal_rates(therapy, steps, basal)
    for day in range(0, steps, DAY):
        for earliest, latest, probability, grams in MEALS:
            served = day + int(meals.uniform(earliest, latest) * 60 / STEP)
            size = np.round(grams * therapy.appetite * meals.lognormal(0, SIZE_SPREAD))
            dose = size / therapy.carb_ratio * BOLUS_MEDIAN * meals.lognormal(0, BOLUS_SPREAD)
            late = meals.integers(*LATE_MINUTES, endpoint=True) // STEP
            eats, injects, delayed = meals.random(3) < (probability, 1 - MISSED, LATE)
            injected = served + late * delayed
            if eats and served < steps:
                actions[served, CARBS] += size
            if eats and injects and injected < steps:
                actions[injected, BOLUS] += dose
    corrects = corrections.random(steps) < CORRECTIONS_A_DAY / DAY
    actions[:, BOLUS] += corrects * therapy.correction * sizes.uniform(*CORRECTION_RANGE, size=steps)
    actions[:, BOLUS] = round_to(actions[:, BOLUS], BOLUS_INCREMENT)
    return actions


def basal_rates(therapy: Therapy, steps: int, rng: np.random.Generator) -> Float[np.ndarray, " step"]:
    """The steady rate times a factor that changes every few hours."""
    shortest, longest = (int(hours * 60 / STEP) for hours in BASAL_HOURS)
    pieces = -(-steps // shortest)
    durations, levels = rng.spawn(2)
    lengths = durations.integers(shortest, longest, size=pieces, endpoint=True)
    factors = levels.choice(BASAL_FACTORS, size=pieces, p=BASAL_SHARES)
    return round_to(therapy.basal * np.repeat(factors, lengths)[:steps], BASAL_INCREMENT)


def check_times(steps: int, rng: np.random.Generator) -> Bool[np.ndarray, " step"]:
    """When a patient of the `confounded` policy looks at the reading."""
    return rng.random(steps) < CHECKS_A_DAY / DAY


@dataclass(frozen=True)
class Therapies:
    """Behaviour of N episodes: a schedule, sugar when the reading is low and, at `checks`, insulin when it is high."""

    schedule: Float[np.ndarray, "episode step action"]
    checks: Bool[np.ndarray, "episode step"]
    correction: Float[np.ndarray, " episode"]
    sugar: Float[np.ndarray, " episode"]

    def act(
        self, step: int, observations: Float[np.ndarray, "episode observation"]
    ) -> Float[np.ndarray, "episode action"]:
        """Basal (U/h), bolus (U) and carbohydrate (g) after the readings (mg/dL) of a step."""
        actions, reading = self.schedule[:, step].copy(), observations[:, 0]
        too_high = np.where(self.checks[:, step] & (reading > HIGH), reading - GOAL, 0)
        actions[:, BOLUS] = round_to(actions[:, BOLUS] + self.correction * too_high / 50, BOLUS_INCREMENT)
        if step % LOW_CHECK == 0:
            actions[:, CARBS] += np.where(reading < LOW, self.sugar, 0)
        return actions

    def intended(self, start: int, stop: int) -> Float[np.ndarray, "episode step action"]:
        """The schedule alone, without sugar and extra insulin."""
        return self.schedule[:, start:stop]


def alternative(
    therapy: Therapy, actions: Float[np.ndarray, "step action"], rng: np.random.Generator
) -> Float[np.ndarray, "step action"]:
    """Another insulin plan with the same meals, drawn from what the `random` policy does now and then.

    One of, throughout the plan: no insulin at all; the basal rate at half or at twice the steady rate; all boluses
    halved or doubled, if there are any; or one correction more, now. The policy does each of them for up to four hours.
    """
    changed = actions.copy()
    match rng.choice(["suspend", "basal", "correct"] + ["boluses"] * bool(actions[:, BOLUS].any())):
        case "suspend":
            changed[:, [BASAL, BOLUS]] = 0
        case "basal":
            changed[:, BASAL] = round_to(therapy.basal * rng.choice([0.5, 2.0]), BASAL_INCREMENT)
        case "boluses":
            changed[:, BOLUS] *= rng.choice([0.5, 2.0])
        case "correct":
            changed[0, BOLUS] += therapy.correction * rng.uniform(*CORRECTION_RANGE)
    changed[:, BOLUS] = round_to(changed[:, BOLUS], BOLUS_INCREMENT)
    return changed
