"""Who is compared: the world model, its ablations, the other objectives, and the floors that everybody must beat."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Forecaster
from foreworld.domains.base import Domain
from foreworld.evidence.baselines import Persistence, RidgeARX
from foreworld.evidence.bet.boosted import Boosted
from foreworld.evidence.bet.budget import matched, training_flops
from foreworld.evidence.bet.scale import Scale
from foreworld.model import WorldModel
from foreworld.training.fit import fitting
from foreworld.world.config import FitConfig

Family = Literal["jepa", "ablation", "generative", "next_token", "floor"]


@dataclass(frozen=True)
class Contender:
    """One of those who are compared.

    Attributes:
        family: what it is an example of. `ablation` is for the world model without one of its parts.
        words: what it does, in a line.
        settings: of `FitConfig`, where it is a network.
        slow: its futures cost so much that it answers fewer cases.
        everywhere: it is asked all questions, or else those of a domain alone (3 to 6).
    """

    family: Family
    words: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False
    everywhere: bool = True

    @property
    def network(self) -> bool:
        return "objective" in self.settings


def _network(
    family: Family, words: str, objective: str, *, slow: bool = False, everywhere: bool = True, **settings: Any
) -> Contender:
    return Contender(family, words, {"objective": objective, **settings}, slow, everywhere)


CONTENDERS: dict[str, Contender] = {
    "jepa": _network("jepa", "predicts the next belief, from which all that is observed is read (the default)", "jepa"),
    "jepa, no grounding": _network(
        "ablation", "the readout is a probe that beliefs do not hear of", "jepa", grounding=False
    ),
    "jepa, targets alone": _network(
        "ablation", "nothing but the targets is read from beliefs", "jepa", observed_weight=0.0
    ),
    "jepa, squared error": _network("ablation", "squared error in place of the energy score", "jepa", score="squared"),
    "jepa, EMA target": _network("ablation", "a slow copy of the encoder gives the target", "jepa_ema"),
    "generative": _network("generative", "predicts every channel of the next observations", "generative"),
    "generative, grounded": _network("generative", "the same, and the targets once more", "generative_grounded"),
    "generative, gated": _network("generative", "the same, with gates on the belief", "generative_gated"),
    "next token": _network("next_token", "a transformer over quantile bins", "next_token", slow=True),
    "next token, text": _network(
        "next_token", "a transformer over digits", "next_token_text", slow=True, everywhere=False
    ),
    "GRU-Gaussian": _network("floor", "a recurrent network with a Gaussian head", "gru_gaussian"),
    "LightGBM": Contender("floor", "boosted trees, quantiles of each target directly"),
    "ridge-ARX": Contender("floor", "a linear model, tuned"),
    "persistence": Contender("floor", "the last value seen: no plan has an effect"),
}
THEOREM = {
    "jepa, isotropic": _network(
        "ablation",
        "the setting of the theorem: one row is encoded, as many dimensions as latents, SIGReg, no grounding",
        "jepa_memoryless",
        latent=2,
        regulariser="sigreg",
        regulariser_weight=0.02,
        grounding=False,
        score="squared",
    )
}
"""Beside the contenders in question 2."""
FIELD = "field: "
"""How the baselines of a domain's own field are named, after the name of the domain's."""


def names(scale: Scale) -> list[str]:
    """The contenders of a run."""
    return [
        name
        for name, contender in CONTENDERS.items()
        if scale.ablations or contender.family != "ablation" or name == "jepa, no grounding"
    ]


def field_of(domain: Domain) -> list[str]:
    """Those that the field of a domain adds."""
    return [FIELD + name for name in domain.baselines]


def of(name: str) -> Contender:
    """A contender by name."""
    return (CONTENDERS | THEOREM).get(name) or Contender("floor", "what the field would use")


@dataclass(frozen=True)
class Fitted:
    """A trained contender.

    Attributes:
        forecaster: answers questions.
        facts: `parameters`, `parameters_share`, `flops` and `seconds` of training, where they are known.
    """

    forecaster: Forecaster
    facts: dict[str, float]

    @property
    def model(self) -> WorldModel | None:
        """The world model behind it, if there is one."""
        return self.forecaster if isinstance(self.forecaster, WorldModel) else None


def configuration(name: str, scale: Scale, data: Episodes, horizon: int, **changes: Any) -> FitConfig:
    """The settings of a network for some data, with hidden layers that make its size equal to that of `jepa`."""
    size = {"members": scale.members, "steps": scale.steps, "batch": scale.batch, "anchors": scale.anchors}
    size |= {"draws": scale.draws, "cases": scale.calibration, "horizon": horizon}
    config = FitConfig.model_validate(size | dict(of(name).settings) | changes)
    config = fitting(config, np.array([episode.steps for episode in data]))
    return matched(config, data)[0]


def fit(
    name: str,
    data: Episodes,
    horizon: int,
    scale: Scale,
    *,
    seed: int,
    domain: Domain | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Fitted:
    """Train a contender.

    Args:
        name: one of `names(scale, domain)`.
        data: to learn from.
        horizon: steps to look ahead.
        scale: of the run.
        seed: of everything random.
        domain: for the contenders of its field.
        changes: of the settings of a network: what tuning chose, or what a question asks for.
    """
    began = time.perf_counter()
    forecaster: Forecaster
    facts: dict[str, float] = {}
    if of(name).network:
        config = configuration(name, scale, data, horizon, **(changes or {}))
        facts = matched(config, data)[1]
        each = training_flops(config, data)
        began = time.perf_counter()
        quick = {"persistence": Persistence.fit(data, config.horizon, seed=seed)}
        model = WorldModel.fit(
            data, seed=seed, objective=config.objective, config=config, progress=False, baselines=quick, watch=False
        )
        forecaster, facts["flops"] = model, each * model.log[-1]["step"]
    elif name == "LightGBM":
        forecaster = Boosted.fit(data, horizon, seed=seed)
    elif name.startswith(FIELD):
        assert domain is not None
        forecaster = domain.baselines[name.removeprefix(FIELD)](data, horizon)
    else:
        kind = {"ridge-ARX": RidgeARX, "persistence": Persistence}[name]
        forecaster = kind.fit(data, horizon, seed=seed)
    return Fitted(forecaster, facts | {"seconds": time.perf_counter() - began})
