"""Every setting of a world model and of its training. The defaults are chosen by measurement: see docs/decisions."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Objective = Literal[
    "jepa",
    "jepa_ema",
    "jepa_memoryless",
    "generative",
    "generative_grounded",
    "generative_gated",
    "next_token",
    "next_token_text",
    "gru_gaussian",
]


class FitConfig(BaseModel):
    """How a world model is built and trained.

    Attributes:
        objective: what is predicted; `jepa` predicts the next belief. The others are what it is to be compared with,
            see `foreworld.world.build`.
        members: networks in the ensemble; each leaves out its own share of the episodes.
        latent: dimension of a belief.
        hidden: width of every hidden layer.
        noise: dimension of the exogenous noise of one transition.
        memory: time constants of the leaky sums of past actions, in median steps.
        encoder: what reads a history.
        context: rows of history that a belief is formed from, at most.
        horizon: steps of the longest training rollout, and the horizon up to which intervals are calibrated.
        latent_weight: what latent prediction and the guard against collapse count together, as a multiple of what the
            score of the targets does, however small that is.
        observed_weight: the same for the score of every observation, targets or not.
        score: of predicted beliefs; `squared` is the deterministic special case.
        regulariser, regulariser_weight: the guard against collapse, and its weight beside latent prediction.
        grounding: whether beliefs hear of the score of what is read from them. If not, the readout is a probe.
        stop_gradient: whether the encoded belief is a fixed target for the predicted one.
        jitter: standard deviation of noise on the static facts in training, in their own.
        noisy, gappy: shares of the histories that training sees through noise and with gaps; see
            `foreworld.data.corruption`.
        steps: at most; training ends before when the episodes left out gain nothing any more.
        batch, anchors, learning_rate, weight_decay: optimisation; `batch` histories a member and step, `anchors`
            rollouts from each.
        averaging: decay of the moving average of the weights, which is what is kept.
        draws: futures that each member samples of a question, at least.
        cases: held-out questions that intervals and support are calibrated on, at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    objective: Objective = "jepa"
    members: int = Field(default=5, ge=1)
    latent: int = Field(default=32, ge=1)
    hidden: int = Field(default=64, ge=1)
    noise: int = Field(default=8, ge=1)
    memory: tuple[float, ...] = (3.0, 9.0, 27.0, 81.0)
    context: int = Field(default=96, ge=1)
    horizon: int = Field(default=36, ge=1)
    encoder: Literal["gru", "transformer"] = "gru"
    latent_weight: float = Field(default=1.0, ge=0)
    observed_weight: float = Field(default=1.0, ge=0)
    score: Literal["energy", "squared"] = "energy"
    regulariser: Literal["vicreg", "sigreg", "none"] = "vicreg"
    regulariser_weight: float = Field(default=1.0, ge=0)
    grounding: bool = True
    stop_gradient: bool = False
    jitter: float = Field(default=0.3, ge=0)
    noisy: float = Field(default=0.05, ge=0, le=1)
    gappy: float = Field(default=0.05, ge=0, le=1)
    steps: int = Field(default=400, ge=1)
    batch: int = Field(default=16, ge=1)
    anchors: int = Field(default=8, ge=1)
    learning_rate: float = 4e-3
    weight_decay: float = 0.3
    averaging: float = 0.99
    draws: int = Field(default=100, ge=2)
    cases: int = Field(default=2000, ge=1)
