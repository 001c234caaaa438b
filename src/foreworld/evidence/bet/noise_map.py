"""Question 1: the true state behind a nuisance of any loudness and persistence.

Known from the literature: latent prediction without labels wins where the nuisance is loud and fast, and fails where
it is loud and slow, since what stays the same is easily predicted (arXiv 2211.10831). The bar: one default
configuration of ours reads R2 >= 0.9 over the whole map from encoded and from imagined states, and no contender is
above it by more than 0.02 anywhere.
"""

from collections.abc import Mapping
from typing import Any

from foreworld.evidence.bet import contenders, states
from foreworld.evidence.bet.rows import Rows
from foreworld.evidence.bet.scale import Scale
from foreworld.evidence.bet.systems import oscillator

QUESTION = "map"


def place(amplitude: float, persistence: float) -> str:
    """A place on the map in words."""
    return f"amplitude {amplitude:g}, persistence {persistence:g}"


def run(contender: str, where: str, scale: Scale, *, seed: int, changes: Mapping[str, Any] | None = None) -> Rows:
    """Train on one place of the map, and probe."""
    spots = {place(a, p): (a, p) for a in scale.grid[0] for p in scale.grid[1]}
    amplitude, persistence = spots[where]
    rows, episodes = scale.worlds
    drawn = [
        oscillator(amplitude, persistence, rows=rows, episodes=count, seed=number, world=seed)
        for count, number in ((episodes, 1000 + seed), (episodes // 2, 2000 + seed))
    ]
    fitted = contenders.fit(contender, drawn[0][0], 12, states.uncalibrated(scale), seed=seed, changes=changes)
    found = Rows()
    assert fitted.model is not None
    states.score(found, QUESTION, where, fitted.model, drawn[0], drawn[1], seed=seed)
    for name, value in fitted.facts.items():
        found.one("cost", where, name, value)
    return found
