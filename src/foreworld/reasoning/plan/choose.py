"""Search for plans, settle the finalists on calibrated futures, and go on where the search was mistaken."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foreworld.reasoning.limit import goal_cost
from foreworld.reasoning.plan.futures import Rollout
from foreworld.reasoning.plan.problem import Problem
from foreworld.reasoning.plan.search import Knots, Planner, Scores, evaluator, quantities, rough_reach

CORRECTIONS = 2  # Further searches, where the one before was mistaken about a limit.


@dataclass(frozen=True)
class Settled:
    """Plans on fully calibrated futures.

    Attributes:
        cost, member_cost: expected cost, of the ensemble and of each member.
        value, breaking: of each limit, see `LimitReport`.
        reach: how far each limit is from being kept, in its native units; not above zero where it is.
    """

    cost: Float[np.ndarray, "episode candidate"]
    member_cost: Float[np.ndarray, "member episode candidate"]
    value: Float[np.ndarray, "limit episode candidate"]
    breaking: Float[np.ndarray, "limit episode candidate"]
    reach: Float[np.ndarray, "limit episode candidate"]


@dataclass(frozen=True)
class Found:
    """What a search came to, by episode.

    Attributes:
        knots: of the best plan.
        reachable: whether some candidate keeps all limits.
        broken: whether the best plan breaks any.
        mistaken: where it does, how much the few futures of the search miss of each limit, at the most over finalists.
    """

    knots: Float[Tensor, "episode 1 knot chosen"]
    reachable: Bool[Tensor, " episode"]
    broken: Bool[Tensor, " episode"]
    mistaken: Float[Tensor, "episode limit"]


def choose(
    problem: Problem, rollout: Rollout, planner: Planner, start: Knots, seed: int
) -> tuple[Float[Tensor, "episode 1 knot chosen"], Bool[Tensor, " episode"]]:
    """Search, and of the finalists and the starts take the best on fully calibrated futures.

    Where the best breaks a limit there after all, the search is told by how much it was mistaken at the most, and goes
    on from it: were it told of the best alone, it would find another on the border, as often beyond it as within.

    Returns:
        The knots of the best plan, and whether any candidate keeps all limits.
    """
    found = _search(problem, rollout, planner, start, seed, None)
    for _ in range(CORRECTIONS):
        again = found.broken.nonzero()[:, 0].tolist()
        if not again:
            break
        begin = torch.cat([found.knots, start], 1)[again]
        better = _search(problem.take(again), rollout.take(again), planner, begin, seed, found.mistaken[again])
        for name, values in vars(better).items():
            getattr(found, name)[again] = values
    return found.knots, found.reachable


def _search(
    problem: Problem,
    rollout: Rollout,
    planner: Planner,
    start: Knots,
    seed: int,
    offset: Float[Tensor, "episode limit"] | None,
) -> Found:
    """The best of finalists and starts, all of them settled; `offset` is what the search is to add to each limit."""
    found = planner.search(problem, evaluator(problem, rollout, offset), start, torch.Generator().manual_seed(seed))
    knots = torch.cat([found, start], 1)
    settled = settle(problem, rollout, problem.expand(knots))
    order, episodes = _scores(settled).total().argmin(1), torch.arange(len(knots))
    best = knots[episodes, order][:, None]
    reach = torch.from_numpy(settled.reach).movedim(0, -1)
    broken, mistaken = (reach[episodes, order] > 0).any(-1), torch.zeros_like(reach[:, 0])
    if broken.any():
        mistaken = (reach[:, : found.shape[1]] - rough_reach(problem, rollout, found)).amax(1)
    return Found(best, (reach <= 0).all(-1).any(1), broken, mistaken)


def settle(problem: Problem, rollout: Rollout, actions: Float[Tensor, "episode candidate step action"]) -> Settled:
    """Costs and limits of some plans."""
    futures = rollout.settle(actions)
    values = quantities(problem, futures.pooled, actions)
    cost = goal_cost(problem.goal, values).mean(0)
    flat = futures.by_member.flatten(0, 1)
    members = goal_cost(problem.goal, quantities(problem, flat, actions))
    members = members.expand(len(flat), *cost.shape).unflatten(0, futures.by_member.shape[:2]).mean(1)
    shape = (len(problem.limits), *cost.shape)

    def stack(parts: list[Tensor]) -> np.ndarray:
        return np.array([part.expand_as(cost).numpy() for part in parts], np.float32).reshape(shape)

    return Settled(
        cost=cost.numpy(),
        member_cost=members.numpy(),
        value=stack([limit.value(values) for limit in problem.limits]),
        breaking=stack([limit.broken(values).float().mean(0) for limit in problem.limits]),
        reach=stack([limit.reach(values) for limit in problem.limits]),
    )


def final_actions(
    problem: Problem, knots: Float[Tensor, "episode 1 knot chosen"]
) -> Float[np.ndarray, "episode step action"]:
    """All actions in double precision, projected once more: a float32 can lie beyond a bound by its last digit."""
    return problem.expand(problem.project(knots.double()))[:, 0].numpy()


def _scores(settled: Settled) -> Scores:
    return Scores(torch.from_numpy(settled.cost), torch.from_numpy(settled.reach).movedim(0, -1).clamp_min(0))


def least_excess(
    problem: Problem, rollout: Rollout, planner: Planner, start: Knots, index: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Whether all limits but one can be kept, and how small the one can then be made: its excess becomes the goal."""
    rest = replace(problem, limits=problem.limits[:index] + problem.limits[index + 1 :])
    evaluate = evaluator(problem, rollout)

    def without(knots: Knots) -> Scores:
        scores = evaluate(knots)
        others = [column for column in range(len(problem.limits)) if column != index]
        return Scores(scores.excess[..., index], scores.excess[..., others])

    knots = torch.cat([planner.search(rest, without, start, torch.Generator().manual_seed(seed)), start], 1)
    settled = settle(problem, rollout, problem.expand(knots))
    values = torch.from_numpy(settled.value)
    excess = _scores(settled).excess
    others = torch.cat([excess[..., :index], excess[..., index + 1 :]], -1)
    order = Scores(values[index], others).total().argmin(1)
    episodes = torch.arange(len(order))
    return (others[episodes, order] <= 1e-6).all(-1).numpy(), values[index][episodes, order].numpy()
