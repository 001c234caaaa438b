"""From a model, histories and a task to a plan: search, settle the finalists on calibrated futures, and report."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.errors import QuestionError
from foreworld.reasoning.calibrate import Calibration
from foreworld.reasoning.expression import Condition
from foreworld.reasoning.forecast import encode_now
from foreworld.reasoning.individual.look import Terms
from foreworld.reasoning.individual.population import Known
from foreworld.reasoning.plan.answer import Estimate, LimitReport, PlanAnswer
from foreworld.reasoning.plan.cem import CEM
from foreworld.reasoning.plan.choose import Settled, choose, final_actions, least_excess, settle
from foreworld.reasoning.plan.futures import Rollout
from foreworld.reasoning.plan.gradient import Gradient
from foreworld.reasoning.plan.icem import ICEM
from foreworld.reasoning.plan.mppi import MPPI
from foreworld.reasoning.plan.problem import Problem, Task, build_problem
from foreworld.reasoning.plan.rollout import ModelRollout
from foreworld.reasoning.plan.search import Knots, Planner
from foreworld.reasoning.question import Do, build_plan
from foreworld.reasoning.support.judge import Support
from foreworld.reasoning.support.verdict import Verdict
from foreworld.world.build import Network, belief_network

PLANNERS: dict[str, Callable[[], Planner]] = {"cem": CEM, "icem": ICEM, "mppi": MPPI, "gradient": Gradient}
REPAIRS = 3  # And where the plan that was found turned out to widen its own futures beyond a limit.
DRAWS = (2, 40)  # Of the noise, a member: while searching, and for the answer.


@runtime_checkable
class Model(Protocol):
    """What planning needs of a world model."""

    @property
    def network(self) -> Network: ...
    @property
    def encoding(self) -> Encoding: ...
    @property
    def calibration(self) -> Calibration: ...
    @property
    def support(self) -> Support: ...
    def know(self, histories: Episodes) -> Known: ...


def make_plan(
    model: Model,
    histories: Episodes,
    task: Task,
    *,
    horizon: int,
    planner: Planner | None = None,
    do: Do | None = None,
    future: Episodes | None = None,
    logged: Plan | None = None,
    start: Float[np.ndarray, "episode step action"] | None = None,
    draws: tuple[int, int] = DRAWS,
    seed: int = 0,
) -> PlanAnswer:
    """Plan for each history; all of them in one batch.

    Args:
        model: a world model.
        histories: what was known.
        task: goal, limits, bounds.
        horizon: steps to plan.
        planner: how to search; iCEM by default.
        do, future: what is decided and known already; see `foreworld.reasoning.question.build_plan`.
        logged: what was done, to compare with.
        start: a plan to begin with, such as the one before, shifted by a step.
        draws: of the noise, a member: while searching, and for the answer.
        seed: the same seed gives the same plan.

    Raises:
        QuestionError: a task that cannot be read, or that leaves nothing to choose.
    """
    if horizon < 1:
        raise QuestionError(f"a horizon of {horizon} steps: at least one is needed")
    if not len(histories):
        raise QuestionError("there is no history to start from")
    with torch.no_grad():
        default = build_plan(histories, model.encoding.scaling, do=do, horizon=horizon, future=future)
        problem = build_problem(task, histories, default, model.encoding.scaling, _decided(histories, do, future))
        network = belief_network(model.network)
        beliefs = encode_now(network, histories, model.encoding)
        past = model.support.look_back(network, model.encoding, beliefs, histories)
        known = model.know(histories)

        def judge(plan: Plan) -> Verdict:
            individual = known.grounds(Terms.of(histories, plan, model.encoding))
            return model.support.judge(network, model.encoding, beliefs, histories, plan, individual, past)

        usual = judge(default).growth
        rollout = ModelRollout(
            network,
            model.encoding,
            model.calibration,
            beliefs,
            known,
            histories,
            default,
            usual,
            draws=draws,
            seed=seed,
        )
        starts = [problem.gather(plan) for plan in (default.actions, start) if plan is not None]
        search = planner or ICEM()
        chosen, reachable = choose(problem, rollout, search, torch.cat(starts[::-1], 1), seed)
        widest, left = usual, REPAIRS
        while True:
            plan = replace(default, actions=final_actions(problem, chosen))
            verdict = judge(plan)
            # The search takes the plan for as familiar as doing nothing; the answer is about the plan as it is.
            rollout.growth = np.maximum(usual, verdict.growth)
            compared = [plan.actions, default.actions] + ([] if logged is None else [logged.actions])
            settled = settle(problem, rollout, torch.from_numpy(np.stack(compared, 1)).float())
            broken = torch.from_numpy((settled.reach[..., 0] > 0).any(0))
            again = (reachable & broken).nonzero()[:, 0].tolist()
            if not (left and again):
                break
            left -= 1
            # As wide as any plan so far: else the search would go back and forth between two that are mistaken.
            rollout.growth = widest = np.maximum(widest, rollout.growth)
            begin = torch.cat([chosen, *starts], 1)[again]
            chosen[again], _ = choose(problem.take(again), rollout.take(again), search, begin, seed)
        limits = _report_limits(problem, rollout, search, chosen, settled, seed)
    return PlanAnswer(
        plan=plan,
        chosen=tuple(variable.name for variable in problem.chosen),
        goal=problem.goal.text,
        unit=_unit(problem),
        cost=Estimate.over_members(settled.cost[:, 0], settled.member_cost[..., 0]),
        limits=limits,
        gain=_gain(settled, 1),
        gain_over_logged=None if logged is None else _gain(settled, 2),
        verdict=verdict,
        histories=histories,
    )


def _report_limits(
    problem: Problem, rollout: Rollout, planner: Planner, chosen: Knots, settled: Settled, seed: int
) -> tuple[LimitReport, ...]:
    """How each limit is kept; where one is not, which of them cannot be kept together with the others."""
    values = settled.value[..., 0]
    kept = settled.reach[..., 0] <= 0
    impossible = np.flatnonzero(~kept.all(0)).tolist()
    reports = []
    for index, limit in enumerate(problem.limits):
        conflict, reachable = np.zeros(kept.shape[1], bool), np.full(kept.shape[1], np.nan, values.dtype)
        if impossible:
            some = problem.take(impossible), rollout.take(impossible)
            others, least = least_excess(*some, planner, chosen[impossible], index, seed)
            conflict[impossible] = others & (least > limit.bound)
            reachable[conflict] = least[conflict[impossible]]
        reports.append(
            LimitReport(
                text=limit.text,
                bound=limit.bound,
                value=values[index],
                breaking=settled.breaking[index, :, 0],
                kept=kept[index],
                conflict=conflict,
                reachable=reachable,
            )
        )
    return tuple(reports)


def _gain(settled: Settled, other: int) -> Estimate:
    """What the first plan saves against another, under the same noise."""
    return Estimate.over_members(
        settled.cost[:, other] - settled.cost[:, 0], settled.member_cost[..., other] - settled.member_cost[..., 0]
    )


def _decided(histories: Episodes, do: Do | None, future: Episodes | None) -> set[str]:
    """Actions that the user has spelled out."""
    names = [variable.name for variable in histories.schema.actions]
    decided = {name for name in names if any(name in (key, key.rpartition("@")[0]) for key in do or {})}
    for column, name in enumerate(names):
        if future is not None and any(np.isfinite(episode.actions[:, column]).any() for episode in future):
            decided.add(name)
    return decided


def _unit(problem: Problem) -> str:
    """The unit of a condition on one quantity; other goals may mix units."""
    units = {v.unit for v in (*problem.schema.targets, *problem.schema.actions) if v.name in problem.goal.names}
    return units.pop() if isinstance(problem.goal, Condition) and len(units) == 1 else ""
