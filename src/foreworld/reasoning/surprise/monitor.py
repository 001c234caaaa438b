"""Everything that tells a surprising row from an ordinary one, measured when a model is fitted, and saved with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from foreworld.data.episodes import Episodes
from foreworld.data.scaling import Encoding
from foreworld.data.tabulate import tabulate
from foreworld.reasoning.held_out import only
from foreworld.reasoning.surprise.alarm import Watch
from foreworld.reasoning.surprise.expect import Expectation, Rows, fit_expectation, inputs
from foreworld.reasoning.surprise.look import look
from foreworld.reasoning.surprise.see import Distance, Seen, by_episode, see, seen_units
from foreworld.reasoning.surprise.standard import Standard, sides
from foreworld.world.build import belief_network
from foreworld.world.network import WorldNetwork

LEARN = 8_000  # Steps that a member's expectations are fitted to.
HELD_OUT = 60_000  # Steps in all that ranks and thresholds are measured on: rare alarms have to be counted.


@dataclass(frozen=True)
class Monitor:
    """What was measured.

    Attributes:
        expectation: of every channel.
        distance: of beliefs.
        standard: what turns scores into standard normal ones.
        watch: thresholds.
        complete: which observed channels were never missing in training.
    """

    expectation: Expectation
    distance: Distance
    standard: Standard
    watch: Watch
    complete: tuple[bool, ...]

    def see(self, network: WorldNetwork, encoding: Encoding, data: Episodes) -> Seen:
        """Look at trajectories."""
        return see(network, encoding, data, self.expectation, self.distance)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings, from which `from_state` makes it again."""
        measured = {"standard": self.standard.model_dump(), "watch": self.watch.model_dump()}
        return vars(self.expectation) | vars(self.distance), measured | {"complete": list(self.complete)}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> "Monitor":
        """The monitor with this state; KeyError or ValueError for what is none."""
        return cls(
            expectation=Expectation(arrays["centre"], arrays["scale"], arrays["weights"]),
            distance=Distance(arrays["offset"], arrays["whiten"]),
            standard=Standard.model_validate(settings["standard"]),
            watch=Watch.model_validate(settings["watch"]),
            complete=tuple(bool(flag) for flag in settings["complete"]),
        )


def fit_monitor(
    network: WorldNetwork, encoding: Encoding, data: Episodes, held_out: list[Int[np.ndarray, " _"]], *, seed: int
) -> Monitor:
    """Fit what each member expects to episodes it was trained on, and rank what it finds in those it left out."""
    rng = np.random.default_rng([seed, 4])
    asked = {tuple(fold.tolist()): member for member, fold in enumerate(held_out)}
    parts, found = [], {}
    for member, fold in enumerate(held_out):
        alone = belief_network(only(network, encoding, member))
        shown = excerpt(data, np.setdiff1d(np.arange(len(data)), fold), LEARN, rng)[1]
        places, left = excerpt(data, fold, HELD_OUT // len(asked), rng)
        parts.append(_fit_member(alone, encoding, shown, left))
        if asked[tuple(fold.tolist())] == member:
            seen = see(alone, encoding, left, *parts[-1])
            for place, scores in zip(places, by_episode(seen.scores, seen.table), strict=True):
                found.setdefault(place, []).append(scores[0])
    expectation, distance = (_join(one) for one in zip(*parts, strict=True))
    every, members = list(found.values()), len(held_out)
    standard, scores = Standard.fit(every, members)
    watch = Watch.fit(scores, sides(encoding.schema.observations))
    twice = [place for place, both in enumerate(every) if len(both) == 2]
    if twice:
        watch = watch.of_ensemble(scores[twice], standard.paired([every[place] for place in twice]), members)
    return Monitor(expectation, distance, standard, watch, _complete(data))


def _fit_member(
    alone: WorldNetwork, encoding: Encoding, shown: Episodes, left: Episodes
) -> tuple[Expectation, Distance]:
    """What one member expects, and how its beliefs err, from episodes it was shown; those it left out are a check."""
    looked = []
    for episodes in (shown, left):
        table = tabulate(episodes, encoding)
        looked.append((table, look(alone, encoding, table), seen_units(episodes, encoding, table)))
    distance = Distance.fit(looked[0][1])
    rows = [Rows(inputs(looks, table)[0], units, distance(looks)[0]) for table, looks, units in looked]
    return fit_expectation(*rows), distance


def _complete(data: Episodes) -> tuple[bool, ...]:
    """Which observed channels are never missing."""
    known = np.concatenate([np.isfinite(episode.observations) for episode in data])
    return tuple(np.all(known, axis=0).tolist())


def excerpt(
    data: Episodes, episodes: Int[np.ndarray, " episode"], steps: int, rng: np.random.Generator
) -> tuple[list[int], Episodes]:
    """Episodes in random order until they have so many steps between them; a longer one alone is cut short."""
    chosen, total = [], 0
    for index in rng.permutation(episodes).tolist():
        if total >= steps:
            break
        if data[index].steps:
            chosen.append(index)
            total += data[index].steps
    chosen.sort()
    cut = tuple(data[index].until(min(data[index].steps, steps)) for index in chosen)
    return chosen, Episodes(data.schema, cut)


def _join(parts: Sequence[Any]) -> Any:
    """The arrays of single members, in one with a leading axis."""
    return type(parts[0])(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
