"""How large a run is. Everything here is the same for every contender of a run, and part of every cell's hash."""

from dataclasses import asdict, dataclass, replace
from typing import Any

DOMAINS = ("glucose", "tumour", "market", "weather", "process")


@dataclass(frozen=True)
class Scale:
    """Size of a run.

    Attributes:
        domains: of the questions that are asked in a simulator.
        policies: of each domain whose data are learnt from, at most.
        ablations: whether all ablations of the world model take part, or the one without grounding alone.
        members: networks of an ensemble.
        steps, batch, anchors: of training.
        draws: futures that each member samples of a question.
        futures: futures that are scored.
        calibration: held-out questions that intervals are calibrated on.
        cases: test questions in each setting.
        few: as many for contenders whose futures cost a hundred times as much (`slow`); always among the others' cases.
        trials: of tuning, at most as many as there are in its search space; 0 trains with the defaults.
        shifts: of each domain, at most.
        grid: nuisance amplitudes and autocorrelations of the map.
        mixings: of the latents of question 2.
        shapes: of the generalised normal laws of the latents.
        shares: of trajectories, of labels and of training steps in question 7.
        worlds: rows of an episode, and episodes, of the systems of questions 1 and 2.
    """

    domains: tuple[str, ...] = DOMAINS
    policies: int = 5
    ablations: bool = True
    members: int = 2
    steps: int = 300
    batch: int = 16
    anchors: int = 8
    draws: int = 25
    futures: int = 50
    calibration: int = 100
    cases: int = 96
    few: int = 24
    trials: int = 4
    shifts: int = 3
    grid: tuple[tuple[float, ...], tuple[float, ...]] = ((0.5, 2.0, 8.0), (0.0, 0.9, 0.999))
    mixings: tuple[str, ...] = ("shear", "bend", "swirl", "stretch")
    shapes: tuple[float, ...] = (0.5, 1.0, 2.0, 8.0)
    shares: tuple[tuple[float, ...], ...] = ((0.01, 0.1, 1.0), (0.02, 0.1, 1.0), (0.1, 0.3, 1.0))
    worlds: tuple[int, int] = (80, 60)

    def about(self) -> dict[str, Any]:
        """As JSON takes it, without what does not touch a single cell."""
        facts = asdict(self)
        for name in ("domains", "policies", "ablations", "grid", "mixings", "shapes", "shares"):
            del facts[name]
        return facts


FULL = Scale()
QUICK = replace(
    FULL,
    domains=("tumour", "glucose"),
    policies=2,
    ablations=False,
    steps=40,
    draws=10,
    futures=20,
    calibration=24,
    cases=32,
    few=6,
    trials=0,
    shifts=1,
    grid=((8.0,), (0.0, 0.999)),
    mixings=("swirl",),
    shapes=(2.0,),
    shares=((0.1, 1.0), (1.0,), (1.0,)),
    worlds=(60, 30),
)
