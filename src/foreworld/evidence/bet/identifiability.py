"""Question 2: are the true latents found up to a linear map? (Klindt, LeCun and Balestriero, arXiv 2605.26379)

Two Gaussian latents behind four mixings; the same with actions; and laws that are not Gaussian, where the guarantee
ends and a linear map must fail. Beside the contenders stands `isotropic`, the setting of the theorem: an encoder of
single rows (with a memory, slower features than the latents are predicted more easily), as many dimensions as latents,
SIGReg, no grounding. For it alone the map from latents to beliefs is square, and its distance from an orthogonal one is
told.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.evidence.bet import contenders, states
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.systems import latents
from foreworld.model import WorldModel

QUESTION = "identifiability"
(ISOTROPIC,) = contenders.THEOREM


def pieces(scale: Scale) -> dict[str, dict[str, Any]]:
    """What is asked, by name."""
    found: dict[str, dict[str, Any]] = {f"{name}": {"mixing": name} for name in scale.mixings}
    found |= {f"{name}, with actions": {"mixing": name, "pushed": True} for name in scale.mixings}
    sweep = {f"swirl, shape {shape:g}": {"mixing": "swirl", "shape": shape} for shape in scale.shapes if shape != 2.0}
    return found | sweep


def run(contender: str, piece: str, scale: Scale, *, seed: int, changes: Mapping[str, Any] | None = None) -> Rows:
    """Train behind one mixing, and probe."""
    rows, episodes = scale.worlds
    drawn = [
        latents(**pieces(scale)[piece], rows=rows, episodes=count, seed=number)
        for count, number in ((episodes, 3000 + seed), (episodes // 2, 4000 + seed))
    ]
    fitted = contenders.fit(contender, drawn[0][0], 12, states.uncalibrated(scale), seed=seed, changes=changes)
    found = Rows()
    assert fitted.model is not None
    states.score(found, QUESTION, piece, fitted.model, drawn[0], drawn[1], seed=seed)
    if contender == ISOTROPIC:
        found.one(QUESTION, piece, "orthogonality", orthogonality(fitted.model, *drawn[1]))
    return found


def orthogonality(model: WorldModel, data: Episodes, state: Float[np.ndarray, "episode row 2"]) -> float:
    """|M'M - I| / sqrt(2) of the linear map M from standardised latents to beliefs; 0 if orthogonal."""
    beliefs = states.encoded(model, data)[:, :, states.SETTLING :, -2:].flatten(1, 2).double().numpy()
    z = state[:, states.SETTLING :].reshape(-1, 2)
    z = (z - z.mean(0)) / z.std(0)
    found = []
    for s in beliefs:
        map = np.linalg.lstsq(z, (s - s.mean(0)) / s.std(0), rcond=None)[0]
        found.append(np.linalg.norm(map.T @ map - np.eye(2)) / np.sqrt(2))
    return float(np.mean(found))
