"""How long what a reading adds to a belief lasts: the correlation that makes sampled futures as rough as the truth.

Each step of a future is read from its belief with a spread of its own. Where that spread is what the belief does not
know of a slow quantity, neighbouring steps err alike; where it is noise of measurement, they do not. Marginals do not
tell the two apart, and training scores marginals alone; but a future that errs anew at every step jumps as no tumour
does. So readings are an autoregressive process of order one, whose correlation is chosen on held-out episodes: with it,
the ranks of sampled values are as much alike from one step to the next as the ranks of the truth among them. As the
correlation of a sum of two independent parts is linear in that of one, it follows from futures without any and with
all of it. Marginals stay as they are.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

LEAST = 0.02  # Where readings matter less than this to the correlation, they are left alone.


def fit_persistence(
    loose: Float[np.ndarray, "draw case step target"],
    steady: Float[np.ndarray, "draw case step target"],
    truth: Float[np.ndarray, "case step target"],
    continuous: list[bool],
) -> list[float]:
    """The correlation of neighbouring readings of each target, in [0, 1]; 0 for categories and forecasts of one step.

    Args:
        loose, steady: futures of held-out cases whose readings err anew at each step, and all alike.
        truth: what came; NaN where it was not observed.
        continuous: which targets are numbers.
    """
    count = len(loose)
    below = (loose < truth).sum(0) + 0.5 * (loose == truth).sum(0)
    came = np.where(np.isfinite(truth), ndtri((below + 0.5) / (count + 1)), np.nan)
    wanted = _alike(came[None])
    least, most = (_alike(ndtri((ranks(some) + 0.5) / count)) for some in (loose, steady))
    told = np.array(continuous) & (most - least > LEAST)
    share = np.where(told, (wanted - least) / np.where(told, most - least, 1.0), 0.0)
    return np.clip(np.nan_to_num(share), 0, 1).round(4).tolist()


def ranks(samples: Float[np.ndarray, "draw *question"]) -> Float[np.ndarray, "draw *question"]:
    """The place of each draw among all, from 0."""
    return samples.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable").astype(float)


def _alike(scores: Float[np.ndarray, "draw case step target"]) -> Float[np.ndarray, " target"]:
    """Correlation of normal scores with those of the next step; NaN of one step."""
    if scores.shape[2] < 2:
        return np.full(scores.shape[3], np.nan)
    now, after = scores[:, :, :-1], scores[:, :, 1:]
    both = np.isfinite(now) & np.isfinite(after)
    now, after = np.where(both, now, 0.0), np.where(both, after, 0.0)
    power = np.sqrt(np.square(now).sum((0, 1, 2)) * np.square(after).sum((0, 1, 2)))
    return (now * after).sum((0, 1, 2)) / np.where(power > 0, power, np.nan)
