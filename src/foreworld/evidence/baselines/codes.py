"""Targets as numbers that a linear model can weigh, and back: one code a number, one a category of a category."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float

from foreworld.data.schema import Schema, Variable


def encode(
    values: Float[np.ndarray, "*shape variable"], variables: Sequence[Variable]
) -> Float[np.ndarray, "*shape code"]:
    """Categorical values become one-hot; missing values stay NaN in all their codes."""
    parts = [np.empty((*values.shape[:-1], 0))]
    for index, variable in enumerate(variables):
        value = values[..., index, None].astype(np.float64)
        if variable.kind == "categorical":
            value = np.where(np.isnan(value), np.nan, value == np.arange(variable.width))
        parts.append(value)
    return np.concatenate(parts, axis=-1)


def blocks(variables: Sequence[Variable]) -> Iterator[tuple[Variable, slice]]:
    """Each variable with the place of its codes."""
    start = 0
    for variable in variables:
        yield variable, slice(start, start + variable.width)
        start += variable.width


def rootable(schema: Schema) -> Bool[np.ndarray, " code"]:
    """Codes whose square root may be forecast instead: of numbers that cannot be negative."""
    return np.repeat(
        [target.kind == "continuous" and target.low is not None and target.low >= 0 for target in schema.targets],
        [target.width for target in schema.targets],
    )


def root(
    values: Float[np.ndarray, "*shape code"], which: Bool[np.ndarray, " code"]
) -> Float[np.ndarray, "*shape code"]:
    """Square roots of the codes chosen."""
    return np.where(which, np.sqrt(np.maximum(values, 0.0)), values)


def decode(
    samples: Float[np.ndarray, "member case step code"],
    centre: Float[np.ndarray, "case step code"],
    rooted: Bool[np.ndarray, " code"],
    schema: Schema,
    rng: np.random.Generator,
) -> Float[np.ndarray, "member case step target"]:
    """Samples of the targets in native units and within their bounds.

    Binary and categorical targets are drawn with the probabilities in `centre`, cut to what a probability can be, by
    one uniform number a member and case: each path then changes no more often than its probabilities do.

    Args:
        samples: of the codes.
        centre: of the codes.
        rooted: codes that are square roots.
        schema: of the targets.
        rng: for the draws.
    """
    parts = []
    for target, codes in blocks(schema.targets):
        if target.kind == "continuous":
            value = samples[..., codes]
            value = np.maximum(value, 0.0) ** 2 if rooted[codes].any() else value
            parts.append(np.clip(value, target.low, target.high))
            continue
        chance = np.clip(centre[..., codes], 0.0, 1.0)
        place = rng.random((len(samples), len(centre), 1, 1))
        if target.kind == "binary":
            parts.append((place < chance).astype(np.float64))
        else:
            ends = np.cumsum(chance + 1e-9, axis=-1)
            parts.append((place > ends[..., :-1] / ends[..., -1:]).sum(axis=-1, keepdims=True).astype(np.float64))
    return np.concatenate(parts, axis=-1)
