"""HIV: CD4 cell counts of 2,139 patients under four treatments drawn by lot (ACTG 175). Real, and randomised."""

from collections.abc import Mapping, Sequence

import numpy as np

from foreworld.data.episodes import Episode, Episodes
from foreworld.data.schema import Kind, Schema, Variable
from foreworld.domains.base import About, FitBaseline, Study, split
from foreworld.domains.recorded import columns, numbers

ARMS = ("zidovudine", "zidovudine + didanosine", "zidovudine + zalcitabine", "didanosine")
WEEKS = (0.0, 20.0, 96.0)
# Name, kind and unit of the facts known at the start, by their column in the table.
FACTS: dict[str, tuple[str, Kind, str]] = {
    "age": ("age", "continuous", "years"),
    "wtkg": ("weight", "continuous", "kg"),
    "karnof": ("karnofsky", "continuous", "points"),
    "preanti": ("prior_treatment", "continuous", "days"),
    "gender": ("male", "binary", ""),
    "race": ("non_white", "binary", ""),
    "hemo": ("haemophilia", "binary", ""),
    "homo": ("homosexual_activity", "binary", ""),
    "drugs": ("injected_drugs", "binary", ""),
    "symptom": ("symptomatic", "binary", ""),
}

SCHEMA = Schema(
    id="patient",
    time="week",
    time_unit="weeks",
    variables=(
        Variable(name="cd4", role="observation", unit="cells/mm3", low=0, target=True),
        Variable(name="cd8", role="observation", unit="cells/mm3", low=0),
        Variable(name="arm", role="action", kind="categorical", categories=ARMS),
        *(Variable(name=name, role="static", kind=kind, unit=unit) for name, kind, unit in FACTS.values()),
    ),
)


class HivTrial:
    """Three visits a patient: CD4 and CD8 at the start and in week 20, CD4 in week 96 (not known for 797).

    The action is the arm that the lot assigned, taken or not: what is estimated is the effect of assigning it.
    """

    about = About(
        name="hiv-trial",
        field="medicine",
        summary="CD4 counts of 2,139 HIV patients in a trial of four randomised treatments",
        source="AIDS Clinical Trials Group study 175 (Hammer 1996), as in lifelines",
        licence="MIT (lifelines)",
        extra="data",
        distribution="lifelines",
    )
    schema = SCHEMA
    baselines: Mapping[str, FitBaseline] = {}
    study = Study(steps=2, first=1, horizon=1)

    def __init__(self):
        table = columns("the HIV trial", "lifelines", "datasets", "ACTG175.csv")
        values = {name: numbers(column) for name, column in table.items() if name}
        unknown = np.full_like(values["cd40"], np.nan)
        cd4 = np.stack([values[name] for name in ("cd40", "cd420", "cd496")], axis=1)
        cd8 = np.stack([values["cd80"], values["cd820"], unknown], axis=1)
        facts = np.stack([values[name] for name in FACTS], axis=1)
        self._arm = {f"{int(id):06d}": int(arm) for id, arm in zip(values["pidnum"], values["arms"], strict=True)}
        self._episodes = {
            id: Episode(
                id=id,
                time=np.array(WEEKS),
                observations=np.stack([cd4[row], cd8[row]], axis=1),
                actions=np.full((2, 1), float(arm)),
                static=facts[row],
                known_future=np.empty((3, 0)),
                pending=np.full(1, np.nan),
            )
            for row, (id, arm) in enumerate(self._arm.items())
        }

    def split(self, seed: int) -> tuple[Episodes, Episodes]:
        """Part `seed` of five of each arm for the test, the other patients to learn from."""
        train, test = split([f"{arm}#{id}" for id, arm in self._arm.items()], seed)
        return self._of(train), self._of(test)

    def _of(self, names: Sequence[str]) -> Episodes:
        ids = sorted(name.partition("#")[2] for name in names)
        return Episodes(SCHEMA, tuple(self._episodes[id] for id in ids))
