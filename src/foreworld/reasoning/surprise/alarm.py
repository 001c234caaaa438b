"""From normal scores by row to alarms that keep a budget: a test of each row, and evidence that gathers over rows.

The second is a Shiryaev-Roberts detector in its form of an e-detector (Shin, Ramdas and Rinaldo, 2022). For each stream
and each kind of change there is R' = (1 + R) e(z), where e is the likelihood ratio of the changed against the normal.
Without change R grows by one a row on average, so that R >= A comes once in A rows at most, if the scores are what they
should be. They are so only nearly. Therefore each R is first set against its own tail on held-out trajectories, then
the largest of them, and the sum over streams of each one's largest (as in Fisher's test, for what disturbs many a
little), each against how often it raises an alarm there. A row, the largest R and the sum have equal shares of the
budget; what all three raise together is counted last. After an alarm the evidence starts anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict

from foreworld.reasoning.surprise.normal_scores import PRIOR, TAIL, Tail, chance_above

SHIFTS = (0.5, 1.0, 2.0, -0.5, -1.0, -2.0)  # Of the mean of the normal scores.
SPREADS = (2.0, 0.3)  # Of their deviation: wild, and stuck.
CLIP = 5.0  # Normal scores beyond it are left to the test of single rows.
THRESHOLDS = np.linspace(1.0, np.log(1e5), 24)
JOINT = 2.0  # The sum over n streams is sought at levels of sqrt(n) times this.
NEVER = Tail(share=1.0, start=1e9, scale=1.0)  # No row of any evidence.
FEWEST = 10  # Alarms on held-out rows that a rate is read from.
FOLDS = 5  # Of held-out trajectories, to count alarms on each with the tails of the others.


def likelihoods(scores: Float[np.ndarray, "*row"], two_sided: Bool[np.ndarray, " stream"]) -> np.ndarray:
    """e of each kind of change, on a last axis; zero where a one-sided stream cannot change so."""
    z = np.clip(scores, -CLIP, CLIP)[..., None]
    shift, spread = np.array(SHIFTS), np.array(SPREADS)
    moved = np.exp(shift * z - shift**2 / 2)
    spread_out = np.exp(z**2 / 2 * (1 - 1 / spread**2)) / spread
    return np.concatenate([moved, spread_out], axis=-1) * kinds(two_sided)


def kinds(two_sided: Bool[np.ndarray, " stream"]) -> Bool[np.ndarray, "stream kind"]:
    """Which kinds of change a stream can have."""
    return two_sided[:, None] | np.concatenate([np.array(SHIFTS) > 0, np.zeros(len(SPREADS), bool)])


@dataclass(frozen=True)
class Alarms:
    """What a watch makes of some trajectories; steps run on in time, and rows that are not there are never alarms.

    Attributes:
        raised: whether an alarm was raised.
        level: evidence at each step, before an alarm resets it: -log of how often held-out rows reach it.
        sudden: whether the single row is enough for an alarm, or at least more than what gathered.
        by_row, gathered: the same by stream, from the row alone and from the rows since the last alarm.
    """

    raised: Bool[np.ndarray, "episode step"]
    level: Float[np.ndarray, "episode step"]
    sudden: Bool[np.ndarray, "episode step"]
    by_row: Float[np.ndarray, "episode step stream"]
    gathered: Float[np.ndarray, "episode step stream"]


class Watch(BaseModel):
    """Thresholds that keep any budget.

    Attributes:
        two_sided: which streams may be too low as well as too high.
        streams: by stream and kind of change, the tail of the gathered evidence, which puts them all on one scale.
        row, slow: tails of the largest evidence over streams, from single rows and gathered.
        joint: tail of the gathered evidence of all streams, summed as in Fisher's test.
        thresholds, rates: alarms a row that each level raises on held-out trajectories; `rates` of those that raise few
            is a continuation.
        errors: standard errors of the rates that were counted, over trajectories.
        rows: how many held-out rows there were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    two_sided: list[bool]
    streams: list[list[Tail | None]]
    row: Tail
    slow: Tail
    joint: Tail
    thresholds: list[float]
    rates: list[float]
    errors: list[float]
    rows: int

    @classmethod
    def fit(cls, scores: Float[np.ndarray, "episode step stream"], two_sided: Bool[np.ndarray, " stream"]) -> "Watch":
        """Measure on held-out trajectories what their evidence comes to; NaN where nothing was seen.

        Rates are counted in each part of the trajectories with the tails of the others, since there are many tails and
        the same rows would flatter them.
        """
        counts = np.zeros((len(THRESHOLDS), len(scores)))
        for part in range(min(FOLDS, len(scores))):
            count = np.arange(len(scores)) % FOLDS == part
            learn = ~count if len(scores) > 1 else count
            counts[:, count] = _count(_tails(scores[learn], two_sided).run(scores[count], THRESHOLDS))
        there = np.isfinite(scores).any(-1)
        return _tails(scores, two_sided).model_copy(update=_curve(counts, there.sum(1)))

    def of_ensemble(
        self,
        alone: Float[np.ndarray, "episode step stream"],
        paired: Float[np.ndarray, "episode _ stream"],
        members: int,
    ) -> "Watch":
        """The rates of an ensemble: where members slip one by one, their mean does not, and raises fewer alarms.

        How much sooner the tail of its evidence ends is read from trajectories that two members left out, and goes like
        1 / members, as the variance of a mean does.

        Args:
            alone, paired: standard scores of these trajectories, from one of the two members and from their mean.
            members: of the ensemble.
        """
        begin = int(np.argmax(np.array(self.rates) <= TAIL))
        counts = (_count(self.run(scores, THRESHOLDS)).sum(1)[begin:] for scores in (alone, paired))
        one, two = ((count.sum() + PRIOR) / (count[0] + PRIOR) for count in counts)
        steeper = (one / two) ** (2 - 2 / members)
        rates = np.array(self.rates)
        rates[begin:] = rates[begin] * (rates[begin:] / rates[begin]) ** steeper
        slope = np.where(np.arange(len(rates)) < begin, 1.0, steeper) * rates / np.array(self.rates)
        errors = np.array(self.errors) * slope[: len(self.errors)]
        return self.model_copy(update={"rates": rates.tolist(), "errors": errors.tolist()})

    def threshold(self, rate: float) -> float:
        """The level that raises so many alarms a row on held-out trajectories."""
        return float(np.interp(-np.log(rate), -np.log(self.rates), self.thresholds))

    def counted(self, rate: float) -> dict[str, float | int | bool | None]:
        """What held-out rows say of a rate: with how many alarms they show it, and its 90% interval.

        Where so rare an alarm was not seen often enough to be counted, the rate is a continuation, without an interval.
        """
        level, known = self.threshold(rate), len(self.errors)
        counted = bool(level <= self.thresholds[known - 1])
        half = 1.645 * float(np.interp(level, self.thresholds[:known], self.errors))
        return {
            "rows": self.rows,
            "alarms": rate * self.rows,
            "counted": counted,
            "low": 1000 * max(rate - half, 0.0) if counted else None,
            "high": 1000 * (rate + half) if counted else None,
        }

    def rate(self, level: Float[np.ndarray, "*row"]) -> Float[np.ndarray, "*row"]:
        """Alarms a row, on held-out trajectories, that a threshold at this level would raise."""
        return np.exp(np.interp(level, self.thresholds, np.log(self.rates)))

    def run(
        self, scores: Float[np.ndarray, "episode step stream"], thresholds: Float[np.ndarray, " threshold"]
    ) -> list[Alarms]:
        """Watch trajectories, with each of some thresholds. Time is a loop, since an alarm changes what follows."""
        two_sided = np.array(self.two_sided)
        slope, offset = (part.T[:, None, None] for part in _lines(self.streams))
        by_row = row_evidence(scores, two_sided)
        seen = np.isfinite(scores)
        row = self.row.rarity(_largest(by_row))
        count, (episodes, steps, _) = len(thresholds), scores.shape
        # Kinds come first, since numpy takes the largest over a short last axis one number at a time.
        e = np.where(seen[..., None], likelihoods(np.nan_to_num(scores), two_sided), 1.0)
        e = np.ascontiguousarray(np.moveaxis(e, -1, 0))[:, None]
        r = np.zeros((len(e), count, episodes, scores.shape[-1]))
        lines = np.empty_like(r)
        raised, level = np.zeros((count, episodes, steps), bool), np.zeros((count, episodes, steps))
        gathered = np.zeros((count if count == 1 else 0, *scores.shape))
        for step in range(steps):
            r += seen[:, step]
            r *= e[:, :, :, step]
            np.minimum(r, 1e300, out=r)
            # Of all kinds of change, the one that is rarest among normal rows.
            np.log(np.add(r, 1e-300, out=lines), out=lines)
            lines *= slope
            lines += offset
            rarity = lines.max(0)
            slow = np.maximum(self.slow.rarity(_largest(rarity)), self.joint.rarity(np.maximum(rarity, 0).sum(-1)))
            level[..., step] = np.maximum(row[:, step], slow)
            raised[..., step] = (level[..., step] >= thresholds[:, None]) & seen[:, step].any(-1)
            r[:, raised[..., step]] = 0
            if count == 1:
                gathered[:, :, step] = rarity
        sudden = row >= np.minimum(level, thresholds[:, None, None])
        gathered = gathered if count == 1 else by_row[None].repeat(count, 0)
        return [Alarms(raised[i], level[i], sudden[i], by_row, gathered[i]) for i in range(count)]


def _tails(scores: Float[np.ndarray, "episode step stream"], two_sided: Bool[np.ndarray, " stream"]) -> Watch:
    """A watch that has tails, and no rates yet."""
    evidence, possible = _gather(scores, two_sided), kinds(two_sided)
    streams = [
        [Tail.fit(evidence[..., stream, kind]) if possible[stream, kind] else None for kind in range(possible.shape[1])]
        for stream in range(scores.shape[-1])
    ]
    there = np.isfinite(scores).any(-1)
    rows = int(there.sum())
    draft = Watch(
        two_sided=two_sided.tolist(),
        streams=streams,
        row=NEVER,
        slow=NEVER,
        joint=NEVER,
        thresholds=[],
        rates=[],
        errors=[],
        rows=rows,
    )
    tails = {"row": Tail.fit(_largest(row_evidence(scores, two_sided))[there])}
    for name, levels in (("slow", THRESHOLDS), ("joint", JOINT * len(streams) ** 0.5 * THRESHOLDS)):
        one = draft.model_copy(update={name: Tail(share=1.0, start=0.0, scale=1.0)})
        tails[name] = Tail.through(levels, _count(one.run(scores, levels)).sum(1), rows)
    return draft.model_copy(update=tails)


def _count(runs: Sequence[Alarms]) -> Float[np.ndarray, "threshold episode"]:
    return np.array([one.raised.sum(1) for one in runs], float)


def row_evidence(
    scores: Float[np.ndarray, "*row stream"], two_sided: Bool[np.ndarray, " stream"]
) -> Float[np.ndarray, "*row stream"]:
    """-log p of each stream by itself; nothing where nothing was seen."""
    return np.where(np.isfinite(scores), -np.log(p_values(np.nan_to_num(scores), two_sided)), 0.0)


def p_values(
    scores: Float[np.ndarray, "*row stream"], two_sided: Bool[np.ndarray, " stream"]
) -> Float[np.ndarray, "*row stream"]:
    """p of normal scores: of one as far from zero, or of one as large where only that is surprising."""
    return np.where(two_sided, 2 * chance_above(np.abs(scores)), chance_above(scores)).clip(1e-300, 1.0)


def onset(scores: Float[np.ndarray, " step"], two_sided: bool) -> int:
    """The step at which a change most likely began that these scores end with: where its likelihood turns."""
    e = likelihoods(np.nan_to_num(scores)[:, None], np.array([two_sided]))[:, 0]
    gain = np.log(np.maximum(e, 1e-300)) * np.isfinite(scores)[:, None]
    behind = np.concatenate([np.zeros((1, gain.shape[1])), np.cumsum(gain, axis=0)])
    lowest = behind[:-1].argmin(0)
    best = (behind[-1] - behind[lowest, np.arange(gain.shape[1])]).argmax()
    return int(lowest[best])


def _gather(scores: Float[np.ndarray, "episode step stream"], two_sided: np.ndarray) -> np.ndarray:
    """log of the evidence of each kind without restarts, in closed form: R_t = sum over j of e_j ... e_t."""
    seen = np.isfinite(scores)[..., None]
    e = likelihoods(np.nan_to_num(scores), two_sided)
    gain = np.where(seen, np.log(np.maximum(e, 1e-300)), 0.0)
    behind = np.cumsum(gain, axis=1)
    begun = np.where(seen, gain - behind, -np.inf)
    return np.where(seen, behind + np.logaddexp.accumulate(begun, axis=1), np.nan)


def _lines(
    streams: list[list[Tail | None]],
) -> tuple[Float[np.ndarray, "stream kind"], Float[np.ndarray, "stream kind"]]:
    """Slope and offset of `Tail.rarity` for every stream and kind; of a kind that cannot be, none."""
    slope = [[0.0 if tail is None else 1 / tail.scale for tail in tails] for tails in streams]
    offset = [
        [-np.inf if tail is None else -tail.start / tail.scale - np.log(tail.share) for tail in tails]
        for tails in streams
    ]
    return np.array(slope), np.array(offset)


def _largest(evidence: Float[np.ndarray, "*row stream"]) -> Float[np.ndarray, "*row"]:
    return evidence.max(-1)


def _curve(counts: Float[np.ndarray, "threshold episode"], rows: Int[np.ndarray, " episode"]) -> dict[str, list[float]]:
    """Rates by threshold: as counted, and where there are too few to count, falling as an exponential tail does."""
    total, every = counts.sum(1), rows.sum()
    enough = max(int((total >= FEWEST).sum()), 1)
    rates = np.maximum(total[:enough], 1) / every
    errors = np.sqrt(np.square(counts[:enough] - rates[:, None] * rows).sum(1)) / every
    rest = rates[-1] * np.exp(-(THRESHOLDS[enough:] - THRESHOLDS[enough - 1]))
    # Strictly falling, so that every rate has one threshold.
    falling = np.minimum.accumulate(np.concatenate([rates, rest])) * (1 - 1e-9) ** np.arange(len(THRESHOLDS))
    return {"thresholds": THRESHOLDS.tolist(), "rates": falling.tolist(), "errors": errors.tolist()}
