"""What a policy would have been worth to those who were treated otherwise: an estimate, and how far to trust it.

A record follows the policy for a while, to the end or up to a first departure. Who followed it to the end had the
return that is recorded. What the others would have had, nobody has seen. The world model imagines it from the very
history at the departure; that is right if what decided on the treatment is in the data, which no data can show. So the
answer is an interval for every strength of hidden selection: *at gamma, the patients who were treated otherwise at that
moment would have had any return up to gamma times as likely, or as unlikely, as the model says*. In one decision this
is the marginal sensitivity model (Tan, JASA 101, 2006), by which the odds of the treatment differ by up to gamma
between people that look the same. Its extreme means follow in closed form (Dorn and Guo, JASA 118, 2023): of returns R,

    lowest mean  = 1/gamma E[R] + (1 - 1/gamma) E[R | R in its lowest share of 1 / (1 + gamma)]

and the highest likewise. At gamma = 1 nothing is hidden. At infinity nothing is assumed, of the model neither:
departures may have had any return in the range (Manski, American Economic Review 80, 1990). The gamma at which a
conclusion is lost tells how much it rests on what is not in the data. Nor is anything assumed, at any gamma, where the
model does not vouch for what it imagines: of histories that are like none it has seen, and of futures that are longer
than those it was calibrated on, in which its errors add up unseen.

The policy must not have been chosen by this very record: it would follow the luckiest of its patients.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from foreworld.data.episodes import Episodes
from foreworld.errors import QuestionError
from foreworld.reasoning.closed_loop import Policy, follow_policy
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.plan.make import Model
from foreworld.world.build import belief_network

Return = Callable[
    [Float[np.ndarray, "path row target"], Float[np.ndarray, "path step action"]], Float[np.ndarray, " path"]
]
"""Targets and actions of whole trajectories -> what each of them is worth."""
_NORMAL_90 = 1.645  # Half of a 90% interval of a normal, in standard deviations.


@dataclass(frozen=True)
class PolicyValue:
    """What a policy is worth, and what is known of it.

    Attributes:
        low, high: the range of returns that are possible.
        recorded: the return of each episode.
        departure: the step at which each episode departs from the policy; -1 if it never does.
        imagined: returns of each departed episode under the policy, NaN for the others.
        vouched: whether the model has seen the like of the history at the departure, and the rest is no longer than it
            was calibrated for; true for the others.
    """

    low: float
    high: float
    recorded: Float[np.ndarray, " episode"]
    departure: Int[np.ndarray, " episode"]
    imagined: Float[np.ndarray, "member draw episode"]
    vouched: Bool[np.ndarray, " episode"]

    @property
    def followed(self) -> float:
        """The share of episodes that follow the policy to the end, by choice of those who acted."""
        return float((self.departure < 0).mean())

    @property
    def supported(self) -> float:
        """The share of episodes that the model is asked nothing about, or vouches for its answer."""
        return float(self.vouched.mean())

    def interval(
        self, gamma: float = np.inf, against: Float[np.ndarray, " episode"] | None = None
    ) -> tuple[float, float]:
        """The value under hidden selection of up to this strength, with 90% for chance in episodes and members.

        The two deviations are added, not their squares: the model may have learned from this very record, and then errs
        as it does.

        Args:
            gamma: 1 for none, infinity for any.
            against: returns to take the difference from, episode by episode.

        Raises:
            QuestionError: a gamma below one.
        """
        if not gamma >= 1:
            raise QuestionError(f"gamma = {gamma:g}: at least 1, which means that nothing is hidden")
        ends = []
        for sign in (-1.0, 1.0):
            values = self._extreme(gamma, sign)  # [member, episode]
            values = values if against is None else values - against
            pooled = values.mean(0)
            chance = pooled.var(ddof=1) / len(pooled) if len(pooled) > 1 else np.nan
            unsettled = values.mean(1).var(ddof=1) if len(values) > 1 else 0.0
            ends.append(float(pooled.mean() + sign * _NORMAL_90 * (np.sqrt(chance) + np.sqrt(unsettled))))
        if against is not None:
            return ends[0], ends[1]
        return max(ends[0], self.low), min(ends[1], self.high)

    @property
    def estimate(self) -> float:
        """The value if nothing is hidden and the model is right, whether it vouches for that or not."""
        return float(np.where(self.departure < 0, self.recorded, self.imagined.mean((0, 1))).mean())

    def verdict(self, gamma: float = np.inf) -> str:
        """`better` or `worse` than what was done, or `undecided`: at this gamma the data cannot tell."""
        below, above = self.interval(gamma, self.recorded)
        return "better" if below > 0 else "worse" if above < 0 else "undecided"

    def tipping(self, highest: float = 1000.0) -> float:
        """The gamma from which on it cannot be told whether the policy is better; infinity if it always can be told."""
        if self.verdict(1.0) == "undecided":
            return 1.0
        if self.verdict(highest) != "undecided":
            return np.inf if self.verdict() != "undecided" else highest
        tells, fails = 1.0, highest
        while fails / tells > 1.001:
            middle = float(np.sqrt(tells * fails))
            tells, fails = (tells, middle) if self.verdict(middle) == "undecided" else (middle, fails)
        return fails

    def _extreme(self, gamma: float, sign: float) -> Float[np.ndarray, "member episode"]:
        """The lowest (-1) or highest (1) mean return of each episode, by member."""
        anything = np.full(self.imagined[:, 0].shape, self.low if sign < 0 else self.high)
        told = anything if np.isinf(gamma) else extreme_mean(self.imagined, gamma, sign)
        return np.where(self.departure < 0, self.recorded, np.where(self.vouched, told, anything))


def extreme_mean(
    samples: Float[np.ndarray, "member draw episode"], gamma: float, sign: float
) -> Float[np.ndarray, "member episode"]:
    """The lowest (-1) or highest (1) mean over laws whose density is 1 / gamma to gamma times that of the draws."""
    draws = samples.shape[1]
    ordered = np.sort(sign * samples, axis=1)[:, ::-1]  # the extreme ones first
    share = draws / (1 + gamma)
    weights = np.clip(share - np.arange(draws), 0, 1) / share
    tail = np.einsum("d,mde->me", weights, ordered)
    return sign * (ordered.mean(1) / gamma + (1 - 1 / gamma) * tail)


def policy_value(
    model: Model,
    record: Episodes,
    policy: Policy,
    returns: Return,
    *,
    steps: int,
    low: float,
    high: float,
    draws: int = 20,
    seed: int = 0,
) -> PolicyValue:
    """The value of a policy to those whose record this is.

    Args:
        model: a world model.
        record: what was done and what came of it. An episode that ended early has no rows after its end.
        policy: deterministic, of targets and actions; see `foreworld.reasoning.closed_loop`.
        returns: of whole trajectories, of `steps` or fewer; what comes after an end must not count.
        steps: the longest trajectory.
        low, high: the range of possible returns.
        draws: imagined futures of each member and departed episode.
        seed: of the futures.

    Raises:
        QuestionError: no episode, a range that returns leave, or episodes longer than `steps`.
    """
    if not len(record):
        raise QuestionError("there is no record to judge the policy by")
    if max(episode.steps for episode in record) > steps:
        raise QuestionError(f"the record has episodes of more than {steps} steps")
    targets = list(record.schema.target_indices)
    recorded = np.array([float(returns(e.observations[None, :, targets], e.actions[None])[0]) for e in record])
    if recorded.min() < low or recorded.max() > high:
        raise QuestionError(f"recorded returns of {recorded.min():g} to {recorded.max():g} leave [{low:g}, {high:g}]")
    departure = _departures(record, policy)
    network = belief_network(model.network)
    imagined = np.full((network.config.members, draws, len(record)), np.nan)
    vouched = np.ones(len(record), dtype=bool)
    for step in sorted(set(departure[departure >= 0].tolist())):
        places = np.flatnonzero(departure == step)
        histories = Episodes(record.schema, tuple(record[int(place)].until(step) for place in places))
        rows, acted = follow_policy(
            network, model.encoding, histories, policy, steps=steps - step, draws=draws, seed=seed
        )
        flat = returns(rows.reshape(-1, *rows.shape[3:]), acted.reshape(-1, *acted.shape[3:]))
        imagined[:, :, places] = np.clip(flat, low, high).reshape(rows.shape[:3])
        beliefs = encode_now(network, histories, model.encoding)
        vouched[places] = model.support.known(beliefs) & (steps - step <= network.config.horizon)
    return PolicyValue(low, high, recorded, departure, imagined, vouched)


def _departures(record: Episodes, policy: Policy) -> Int[np.ndarray, " episode"]:
    """The first step of each episode at which something else was done than the policy does; -1 if there is none."""
    targets = list(record.schema.target_indices)
    found = np.full(len(record), -1)
    for step in range(max(episode.steps for episode in record)):
        places = np.array([place for place, e in enumerate(record) if e.steps > step and found[place] < 0], dtype=int)
        if not places.size:
            continue
        seen = np.stack([record[int(place)].observations[: step + 1, targets] for place in places]).astype(float)
        done = np.stack([record[int(place)].actions[: step + 1] for place in places]).astype(float)
        wanted = policy(seen, done[:, :step])
        found[places[~np.isclose(wanted, done[:, step], rtol=1e-9, atol=1e-12).all(1)]] = step
    return found
