"""The world model: fit it to trajectories, ask it what happens if, save it and load it."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError

from foreworld import saving
from foreworld.data.episodes import Episodes
from foreworld.data.table import read_planned
from foreworld.ensemble import Ensemble
from foreworld.errors import QuestionError, TrainingError
from foreworld.evidence.baselines import Persistence, RidgeARX
from foreworld.reasoning.held_out import calibrate, forecast_held_out
from foreworld.reasoning.imagination import Imagination
from foreworld.reasoning.individual.fit import fit_population
from foreworld.reasoning.question import Do, build_plan
from foreworld.reasoning.recalibrate import Recalibrated, recalibrate, recognise
from foreworld.reasoning.support.fit import fit_support
from foreworld.reasoning.surprise.monitor import fit_monitor
from foreworld.training.fit import train
from foreworld.world.config import FitConfig
from foreworld.world.network import WorldNetwork

if TYPE_CHECKING:
    from foreworld.evidence.evaluate import Evaluation
    from foreworld.reasoning.effect.answer import Effect
    from foreworld.reasoning.moment import Moment
    from foreworld.reasoning.plan.answer import PlanAnswer
    from foreworld.reasoning.plan.problem import Bounds
    from foreworld.reasoning.rank import Ranking
    from foreworld.reasoning.recall import Recollection
    from foreworld.reasoning.stream import AdaptedStream
    from foreworld.reasoning.surprise.answer import Surprise

CASES = 2000  # Questions of one evaluation; more from the same episodes would hardly narrow the intervals.


@dataclass(frozen=True)
class WorldModel(Ensemble):
    """A trained, calibrated world model, which answers questions."""

    @classmethod
    def fit(
        cls,
        data: Episodes,
        *,
        seed: int = 0,
        objective: str = "jepa",
        horizon: int | None = None,
        config: FitConfig | None = None,
        checkpoint: str | Path | None = None,
        progress: bool | None = None,
        baselines: Mapping[str, Persistence | RidgeARX] | None = None,
        watch: bool = True,
    ) -> "WorldModel":
        """Train an ensemble, calibrate it on the episodes each member left out, and fit the baselines beside it.

        Args:
            data: at least two episodes.
            seed: decides everything; the same seed, thread count and device give the same bits.
            objective: what is predicted: `jepa`, or one of those that it is to be compared with, see
                `foreworld.world.build`.
            horizon: steps to look ahead; that of the configuration by default, and at most half a typical episode.
            config: every other setting; the defaults are meant to do.
            checkpoint: a folder for the state of training, from which an interrupted run resumes.
            progress: a progress bar; by default on a terminal only.
            baselines: fitted to the same data already; by default they are fitted here.
            watch: measure what `surprise` needs, too, which for small models takes longer than training.

        Raises:
            TrainingError: too few episodes, an impossible setting, a diverged loss, or a checkpoint of another run.
        """
        settings = (config or FitConfig()).model_dump() | {"objective": objective}
        if horizon is not None:
            settings["horizon"] = horizon
        try:
            config = FitConfig.model_validate(settings)
        except ValidationError as error:
            problem = error.errors()[0]
            raise TrainingError(f"{problem['loc'][0]}: {problem['msg']}, not {problem['input']!r}") from None
        state = None if checkpoint is None else Path(checkpoint)
        trained = train(data, config, seed=seed, checkpoint=state, progress=progress)
        network, encoding = trained.network, trained.encoding
        population = fit_population(network, encoding, data, trained.held_out)
        held_out = forecast_held_out(network, encoding, data, trained.held_out, population, seed=seed)
        support, growth = fit_support(network, encoding, data, trained.held_out, held_out, seed=seed)
        ahead = trained.config.horizon
        return cls(
            config=trained.config,
            encoding=encoding,
            network=network,
            population=population,
            calibration=calibrate(held_out, encoding, trained.config.members, growth),
            support=support,
            monitor=fit_monitor(network, encoding, data, trained.held_out, seed=seed)
            if watch and isinstance(network, WorldNetwork) and objective.startswith("jepa")
            else None,
            baselines={
                "persistence": Persistence.fit(data, ahead, seed=seed),
                "ridge-ARX": RidgeARX.fit(data, ahead, seed=seed),
            }
            if baselines is None
            else dict(baselines),
            log=trained.log,
            about={
                "data": data.fingerprint,
                "episodes": len(data),
                "rows": sum(episode.steps + 1 for episode in data),
                "seed": seed,
                "threads": torch.get_num_threads(),
                "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
            },
            trained_on=recognise(data),
        )

    def imagine(
        self,
        history: Any,
        do: Do | None = None,
        *,
        horizon: int | None = None,
        future: Any = None,
        members: int = 200,
        seed: int = 0,
        band: float | None = None,
    ) -> Imagination:
        """What happens after each history if these actions are taken.

        Args:
            history: episodes up to now: `Episodes`, a frame or a file with the columns of the model.
            do: actions by name, `{"insulin": 0.0, "carbs@30": 45.0}`; see `foreworld.reasoning.question.build_plan`.
            horizon: steps to look ahead; the calibrated horizon by default. Further steps are marked unsupported.
            future: planned rows after now: known-future values, and actions that `do` does not set.
            members: futures to sample.
            seed: of the sampling.
            band: a share of whole futures, 0.5, 0.8 or 0.9, that shall lie within a band at every step.

        Raises:
            DataError: a history that does not match the schema.
            QuestionError: an action or a time that does not exist, or a band that was never measured.
        """
        histories = self._read(history)
        steps = self.config.horizon if horizon is None else horizon
        if steps < 1 or members < 1:
            raise QuestionError(f"a horizon of {steps} steps and {members} members: at least one is needed of each")
        if not len(histories):
            raise QuestionError("there is no history to start from")
        rows = None if future is None else self._read(future, read_planned)
        plan = build_plan(histories, self.encoding.scaling, do=do, horizon=steps, future=rows)
        return self.follow(histories, plan, members=members, seed=seed, band=band)

    def plan(
        self,
        history: Any,
        goal: str | Mapping[str, float],
        *,
        limits: Sequence[str] = (),
        bounds: "Bounds | None" = None,
        rates: Mapping[str, float] | None = None,
        integers: Sequence[str] = (),
        every: int = 1,
        horizon: int | None = None,
        do: Do | None = None,
        future: Any = None,
        planner: str = "icem",
        seed: int = 0,
    ) -> "PlanAnswer":
        """What to do after each history, to reach a goal within limits, and how surely.

        Args:
            history: as for `imagine`.
            goal, limits, bounds, rates, integers, every: see `foreworld.reasoning.plan.problem.Task`.
            horizon: steps to plan; the calibrated horizon by default.
            do, future: what is decided and known already, as for `imagine`.
            planner: `icem`, `cem`, `mppi` or `gradient`.
            seed: the same seed gives the same plan.

        Raises:
            DataError: a history that does not match the schema.
            QuestionError: a goal or a limit that cannot be read, or that leaves nothing to choose.
        """
        from foreworld.reasoning.plan.make import PLANNERS, make_plan
        from foreworld.reasoning.plan.problem import Task

        self._needs_jepa("plan")
        if planner not in PLANNERS:
            raise QuestionError(f"there is no planner '{planner}'; there are {', '.join(PLANNERS)}")
        histories = self._read(history)
        parts = self.calibration.split(histories)
        # Where all histories are of one group, its calibration is the plan's; else that of all is.
        known = replace(self, calibration=parts[0][0]) if len(parts) == 1 else self
        return make_plan(
            known,
            histories,
            Task(goal, tuple(limits), dict(bounds or {}), dict(rates or {}), tuple(integers), every),
            horizon=self.config.horizon if horizon is None else horizon,
            planner=PLANNERS[planner](),
            do=do,
            future=None if future is None else self._read(future, read_planned),
            seed=seed,
        )

    def recall(
        self,
        trajectory: Any,
        do: Do,
        *,
        at: "Moment | Mapping[str | int, Moment]",
        horizon: int | None = None,
        members: int = 200,
        seed: int = 0,
    ) -> "Recollection":
        """What would have happened in each recorded trajectory, had this been done from a moment on.

        Args:
            trajectory: episodes with what happened before and after the moment, as for `imagine`.
            do: actions by name, as for `imagine`; times in it count from the moment. What it says nothing about is
                done as it was.
            at: the moment: a time of the time column at which every trajectory has a row, or one for each id. The
                actions of this row are the first to be changed.
            horizon: steps after the moment; by default as many as all trajectories have, up to the calibrated ones.
            members: counterfactuals to sample.
            seed: of the sampling.

        Raises:
            DataError: a trajectory that does not match the schema.
            QuestionError: an action or a moment that does not exist, or more steps than did happen.
        """
        from foreworld.reasoning.recall import recall

        self._needs_jepa("recall")
        return recall(self, self._read(trajectory), do, at=at, horizon=horizon, members=members, seed=seed)

    def surprise(self, trajectory: Any, *, budget: float | int | str = 1) -> "Surprise":
        """Which rows, and which variables in them, are not what the rows before let expect.

        Args:
            trajectory: one or many episodes: `Episodes`, a frame or a file with the columns of the model.
            budget: false alarms allowed: a number is for 1000 rows; text is a rate such as `2/500rows` or `1/week`.

        Raises:
            DataError: a trajectory that does not match the schema.
            QuestionError: a budget that cannot be read or kept, or no row with another before it.
        """
        from foreworld.reasoning.surprise.judge import surprise

        return surprise(self, self._read(trajectory), budget)

    def effect(
        self,
        history: Any,
        do: Do,
        versus: Do | None = None,
        *,
        data: Any = None,
        horizon: int | None = None,
        future: Any = None,
        confounder: str | None = None,
        seed: int = 0,
    ) -> "Effect":
        """What doing this instead of that changes, for each history and on average over them.

        Args:
            history: as for `imagine`.
            do, versus: what is compared, as for `imagine`; by default it is compared with no change.
            data: recorded episodes to correct the model on, the training data or others; the histories by default.
            horizon: steps to look ahead; the calibrated horizon by default.
            future: as for `imagine`.
            confounder: a known variable; the answer then says what something hidden and as strong would change.
            seed: of the sampling.

        Raises:
            DataError: a history that does not match the schema.
            QuestionError: an action that does not exist, or two plans that are the same.
        """
        from foreworld.reasoning.effect.estimate import effect

        self._needs_jepa("effect")
        return effect(
            self,
            self._read(history),
            do,
            versus,
            data=None if data is None else self._read(data),
            horizon=horizon,
            future=None if future is None else self._read(future, read_planned),
            confounder=confounder,
            seed=seed,
        )

    def rank(
        self,
        history: Any,
        outcome: str,
        *,
        at: int | None = None,
        do: Do | None = None,
        data: Any = None,
        horizon: int | None = None,
        future: Any = None,
        seed: int = 0,
    ) -> "Ranking":
        """Which action, and when, an outcome hangs on most.

        Args:
            history: as for `imagine`.
            outcome: a target; of a category, `variable=label`.
            at: the step at which it is looked at; the last one by default.
            do, horizon, future: the plan that actions are varied around, as for `imagine`.
            data: recorded episodes that low and high values are taken from; the histories by default.
            seed: of the sampling.

        Raises:
            DataError: a history that does not match the schema.
            QuestionError: an outcome or an action that does not exist, or a step outside the horizon.
        """
        from foreworld.reasoning.rank import rank

        self._needs_jepa("rank")
        return rank(
            self,
            self._read(history),
            outcome,
            at=at,
            do=do,
            data=None if data is None else self._read(data),
            horizon=horizon,
            future=None if future is None else self._read(future, read_planned),
            seed=seed,
        )

    def calibrate(self, data: Any, *, by: str | None = None, seed: int = 0) -> Recalibrated:
        """This model calibrated anew on trajectories that it never saw, such as those of another place or time.

        Args:
            data: at least eight trajectories: `Episodes`, a frame or a file with the columns of the model.
            by: a static column, or one with labels: intervals then hold in each of its groups. A group of fewer than
                eight trajectories is calibrated with all.
            seed: of the sampling.

        Raises:
            DataError: a trajectory that does not match the schema.
            QuestionError: too few trajectories, some that the model was trained on, or a column that makes no groups.
        """
        return recalibrate(self, self._read(data), by, seed=seed)

    def adapt(
        self, stream: Any, *, level: float = 0.9, horizon: int | None = None, members: int = 200, seed: int = 0
    ) -> "AdaptedStream":
        """Forecasts of every row of some streams from the rows before, with intervals that learn from their misses.

        Args:
            stream: what happened, in one episode or in many; each is a stream of its own.
            level: share of truths that the intervals shall hold in the long run.
            horizon: steps to look ahead from each row; the calibrated horizon by default.
            members, seed: of the sampling.

        Raises:
            DataError: a trajectory that does not match the schema.
            QuestionError: no row with another before it, or no target that is a number.
        """
        from foreworld.reasoning.stream import adapt

        return adapt(self, self._read(stream), level=level, horizon=horizon, members=members, seed=seed)

    def evaluate(self, data: Any, *, horizon: int | None = None, members: int = 200, seed: int = 0) -> "Evaluation":
        """Score the model and its baselines on recorded episodes, which should be new to it.

        Raises:
            DataError: a trajectory that does not match the schema.
            QuestionError: no episode is as long as the horizon.
        """
        from foreworld.data.plan import cut
        from foreworld.evidence.evaluate import evaluate, origins

        episodes = self._read(data)
        steps = self.config.horizon if horizon is None else horizon
        longest = max((episode.steps for episode in episodes), default=0)
        if not 1 <= steps <= longest:
            raise QuestionError(
                f"horizon: {steps} steps are looked ahead, and the longest episode has {longest} to score"
            )
        places = origins(episodes, context=1, horizon=steps, limit=CASES, seed=seed)
        cases = cut(episodes, places, steps)
        scores = evaluate({"foreworld": self, **self.baselines}, cases, members=members, seed=seed)
        return replace(scores, supported=self.judge(cases.histories, cases.plan).supported)

    def card(self) -> dict[str, Any]:
        """What the model is: schema, training data, settings, calibration and the last diagnostics; JSON-able."""
        return saving.card(self)

    def save(self, path: str | Path) -> None:
        """Write a folder of JSON and safetensors with a manifest of hashes; whole or not at all.

        Raises:
            ArtifactError: the folder holds something else, or cannot be written.
        """
        saving.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "WorldModel":
        """Read a saved model after checking every byte of it.

        Raises:
            ArtifactError: naming the file that is missing, altered or not ours.
        """
        return saving.load(Path(path))
