"""A trained ensemble with all that was fitted to it: what every answer is drawn from, and judged by."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from foreworld.data.episodes import Episodes
from foreworld.data.plan import Plan
from foreworld.data.scaling import Encoding
from foreworld.data.schema import Schema
from foreworld.data.table import read
from foreworld.errors import QuestionError
from foreworld.evidence.baselines import Persistence, RidgeARX
from foreworld.reasoning.band import Band
from foreworld.reasoning.calibrate import Calibration, widened
from foreworld.reasoning.forecast import draw, encode_now
from foreworld.reasoning.imagination import Imagination
from foreworld.reasoning.individual.look import Terms, look_back, width
from foreworld.reasoning.individual.population import Known, Population
from foreworld.reasoning.pool import bounded, pool
from foreworld.reasoning.support.judge import Support
from foreworld.reasoning.support.verdict import Verdict
from foreworld.reasoning.surprise.monitor import Monitor
from foreworld.training.loop import Log
from foreworld.world.build import Network, belief_network
from foreworld.world.config import FitConfig


@dataclass(frozen=True)
class Ensemble:
    """Calibrated networks, and the baselines that they have to beat.

    Attributes:
        config: how it was built and trained.
        encoding: schema and scaling.
        network: the ensemble.
        population: how individuals differ from what the networks say.
        calibration, support: what makes its intervals honest, and tells where they are not.
        monitor: what tells a surprising row from an ordinary one; of the objective jepa.
        baselines: fitted to the same episodes, and evaluated with it always.
        log: training metrics and collapse diagnostics by step.
        about: data fingerprint and size, seed, versions.
        trained_on: what each training trajectory is known by again.
    """

    config: FitConfig
    encoding: Encoding
    network: Network
    population: Population
    calibration: Calibration
    support: Support
    monitor: Monitor | None
    baselines: dict[str, Persistence | RidgeARX]
    log: Log
    about: dict[str, Any]
    trained_on: tuple[str, ...]
    _kept: dict[str, tuple[Episodes, Known]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def schema(self) -> Schema:
        """What the columns mean."""
        return self.encoding.schema

    def follow(
        self, histories: Episodes, plan: Plan, *, members: int = 200, seed: int = 0, band: float | None = None
    ) -> Imagination:
        """What happens after each history under a plan that is already spelled out."""
        verdict = self.judge(histories, plan)
        samples = self.forecast(histories, plan, members=members, seed=seed, growth=verdict.growth)
        ends = None if band is None else Band.of(samples, self.calibration, histories, band)
        return Imagination(samples, verdict, histories, plan, band=ends)

    def judge(self, histories: Episodes, plan: Plan) -> Verdict:
        """How far histories and plan lie within what training saw: a score in [0, 1], and why it is low."""
        beliefs = encode_now(self.network, histories, self.encoding)
        individual = self.individual(histories, plan)
        return self.support.judge(self.network, self.encoding, beliefs, histories, plan, individual)

    def know(self, histories: Episodes) -> Known:
        """What each history tells of how the model errs about its individual. The last answer is kept."""
        once, place = histories.distinct()
        kept = self._kept.get("known")
        if kept is None or len(kept[0]) != len(once) or any(a is not b for a, b in zip(kept[0], once, strict=True)):
            kept = once, self.population.know(look_back(self.network, self.encoding, once))
            self._kept["known"] = kept
        return kept[1].take(place)

    def neighbours(self, histories: Episodes, plan: Plan, *, seed: int = 0) -> tuple[tuple[str | int, ...], ...]:
        """Names of the training episodes that are most like what is imagined of each history under a plan.

        `Imagination.summary` has those that are most like the history itself.

        Raises:
            QuestionError: a model without beliefs to roll out.
        """
        from foreworld.reasoning.support.alike import imagined_neighbours

        network = belief_network(self.network)
        return imagined_neighbours(network, self.encoding, self.support, histories, plan, seed=seed)

    def forecast(
        self,
        histories: Episodes,
        plan: Plan,
        *,
        members: int = 200,
        seed: int = 0,
        draws: int | None = None,
        growth: Float[np.ndarray, "episode step"] | None = None,
        individual: bool = True,
    ) -> Float[np.ndarray, "member episode step target"]:
        """Calibrated futures of the targets in native units; `members` of them, spread over the ensemble.

        They are taken from at least `draws` of each network, by default as many as the configuration says. The same
        seed means the same noise, whatever the plan. `growth` is that of the error, by default as `judge` has it.
        Unless `individual`, they are those of anybody with these beliefs.
        """
        growth = self.judge(histories, plan).growth if growth is None else growth
        draws = max(draws or self.config.draws, -(-members // self.config.members))
        drawn = self.draw(histories, plan, draws=draws, seed=seed, individual=individual)
        return bounded(self.calibrated(drawn, members, histories, growth), self.schema.targets)

    def draw(
        self, histories: Episodes, plan: Plan, *, draws: int, seed: int, individual: bool = True
    ) -> Float[np.ndarray, "network draw episode step target"]:
        """Futures of these individuals before calibration, in scaled units; readings last as held-out ones did."""
        lasting = self.calibration.persistence
        drawn = draw(self.network, histories, plan, self.encoding, draws=draws, seed=seed, persistence=lasting)
        return self.of_individuals(drawn, histories, plan) if individual else drawn

    def of_individuals(
        self, drawn: Float[np.ndarray, "network draw episode step target"], histories: Episodes, plan: Plan
    ) -> Float[np.ndarray, "network draw episode step target"]:
        """Futures of the networks, moved by what these are expected to miss about each individual."""
        shift = self.know(histories).shift(Terms.of(histories, plan, self.encoding))
        return drawn + (shift * width(drawn)).astype(drawn.dtype)

    def calibrated(
        self,
        drawn: Float[np.ndarray, "network draw episode step target"],
        members: int,
        histories: Episodes,
        growth: Float[np.ndarray, "episode step"],
    ) -> Float[np.ndarray, "member episode step target"]:
        """Futures of the networks in scaled units, as futures of the ensemble in native ones, not cut at any bounds."""
        centre, scale = self.encoding.scaling.of(self.schema.targets)
        wide = (widened(futures * scale + centre, growth, self.schema.targets) for futures in drawn)
        calibrated = np.stack([self.calibration.by_group(futures, histories) for futures in wide])
        together = calibrated.swapaxes(0, 1).reshape(-1, *drawn.shape[2:])[:members]
        averaged = pool(calibrated, members)
        # Quantiles of categories cannot be averaged; their futures are thrown together.
        continuous = [variable.kind == "continuous" for variable in self.schema.targets]
        return np.where(continuous, averaged, together)

    def individual(self, histories: Episodes, plan: Plan) -> Float[np.ndarray, "ground episode step"]:
        """How strange these individuals are, see `Known.grounds`."""
        return self.know(histories).grounds(Terms.of(histories, plan, self.encoding))

    def _read(self, data: Any, reader: Callable[[Any, Schema], Episodes] = read) -> Episodes:
        """Episodes as the model knows them: another schema may number the same categories otherwise."""
        if isinstance(data, Episodes):
            if data.schema == self.schema or not len(data):
                return data
            data = data.to_frame()
        return reader(data, self.schema)

    def _needs_jepa(self, verb: str) -> None:
        if not self.config.objective.startswith("jepa"):
            raise QuestionError(f"{verb}: only models of the objective jepa can, and this is {self.config.objective}")
