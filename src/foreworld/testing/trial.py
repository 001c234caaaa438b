"""What the checks share: a few short episodes of a domain, simulated once, and the words for what is wrong."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Shaped

from foreworld.data.schema import Variable
from foreworld.domains.base import Actions, Domain, derive_seed
from foreworld.domains.collect import Rollout, instance_of, roll


def require(holds: bool | np.bool_, says: str, where: str) -> None:
    """Fail with what is wrong and where the contract says so."""
    if not holds:
        raise AssertionError(f"{says} (the contract: `{where}` in foreworld.domains.base)")


@dataclass(frozen=True)
class Trial:
    """A domain on trial.

    Attributes:
        domain: the simulator.
        count: how many instances are simulated.
        steps: of an episode.
        deterministic: whether nothing is left to chance after the beginning.
        seed: of everything.
    """

    domain: Domain
    count: int
    steps: int
    deterministic: bool
    seed: int

    @cached_property
    def ids(self) -> list[str]:
        """One episode of each instance, and a second one of the first."""
        every = sorted(self.domain.instances)
        places = np.unique(np.linspace(0, len(every) - 1, self.count).round().astype(int))
        names = [every[place] for place in places]
        return [names[0], f"{names[0]}/2", *names[1:]]

    @property
    def names(self) -> list[str]:
        """The instance of each episode."""
        return [instance_of(id) for id in self.ids]

    @property
    def moments(self) -> tuple[int, int]:
        """Rows at which states are saved: an early and a late one."""
        return self.steps // 3, 2 * self.steps // 3

    @cached_property
    def rollout(self) -> Rollout:
        """The episodes under the default policy, with the states at `moments`."""
        return roll(self.domain, None, self.ids, steps=self.steps, seed=self.seed, keep=self.moments)

    @cached_property
    def worlds(self) -> dict[str, Rollout]:
        """The same episodes under every policy, and under the default one in every shift, by name."""
        domain = self.domain
        found = {f"policy '{domain.policies[0]}'": self.rollout}
        for policy in domain.policies[1:]:
            found[f"policy '{policy}'"] = roll(domain, policy, self.ids, steps=self.steps, seed=self.seed)
        for shift in domain.shifts:
            other = domain.shifted(shift)
            found[f"shift '{shift}'"] = roll(other, None, self.ids, steps=self.steps, seed=self.seed)
        return found

    def seeds(self, purpose: str) -> list[int]:
        """One for each episode."""
        return [derive_seed(self.seed, purpose, id) for id in self.ids]

    def follow(self, plan: Actions) -> Float[np.ndarray, "episode step observation"]:
        """What is observed under a plan, from the domain's present state on."""
        return np.stack([self.domain.step(plan[:, step]) for step in range(plan.shape[1])], axis=1)


def same(left: Shaped[np.ndarray, "..."], right: Shaped[np.ndarray, "..."]) -> bool:
    """Bit by bit, as far as numbers have bits that matter."""
    return left.shape == right.shape and np.array_equal(left, right)


def misfits(values: Float[np.ndarray, "*shape variable"], variables: tuple[Variable, ...]) -> list[str]:
    """What is wrong with values of these variables: not finite, out of bounds, or no category that there is."""
    found = []
    for index, variable in enumerate(variables):
        column = values[..., index]
        low, high = variable.bounds
        codes = {"binary": 2, "categorical": len(variable.categories)}.get(variable.kind, 0)
        if not np.isfinite(column).all():
            found.append(f"'{variable.name}' is not always a finite number")
        elif (column < low).any() or (column > high).any():
            found.append(f"'{variable.name}' leaves its bounds: {column.min():g} to {column.max():g}")
        elif codes and not np.isin(column, np.arange(codes)).all():
            found.append(f"'{variable.name}' is {variable.kind}, but takes other values than 0 to {codes - 1}")
    return found
