"""Numbers as tokens: quantile bins, or the digits of a serialised text.

Both codecs map scaled values, NaN where missing, to a fixed number of tokens a value, and back. What they know of the
data (the bins) is kept with the weights, under a leading member axis like every other tensor of a network.
"""

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from foreworld.data.schema import Variable


class Codec(Protocol):
    """How the values of some variables become tokens.

    Attributes:
        size: tokens that there are.
        length: tokens of one value.
    """

    size: int
    length: int

    def encode(self, values: Float[Tensor, "*row variable"]) -> Int[Tensor, "*row variable digit"]: ...

    def decode(
        self, tokens: Int[Tensor, "*row variable digit"], chance: Float[Tensor, "*row variable"]
    ) -> tuple[Float[Tensor, "*row variable"], Bool[Tensor, "*row variable"]]:
        """Values, and which of them could not be read; those are NaN."""
        ...

    def possible(self, variable: int) -> Bool[Tensor, " token"] | None:
        """The tokens that may be sampled for a variable; None if nothing is ruled out."""
        ...


class Bins(nn.Module):
    """One token a value: the quantile bin of the training data that it falls in.

    A bin is (upper end of the bin before, upper end], and its ends are values of the training data, so that a value
    which makes up much of the data (a dose of zero, a tumour that is gone) has a bin of its own and is decoded
    exactly. In a wider bin the value is drawn evenly between the least and the largest training value. Categories are
    their own bins.
    """

    length = 1
    low: Float[Tensor, "member variable bin"]
    high: Float[Tensor, "member variable bin"]
    used: Int[Tensor, "member variable"]

    def __init__(self, variables: tuple[Variable, ...], count: int, members: int):
        super().__init__()
        self.variables, self.count, self.size = variables, count, count + 1  # the last one is "missing"
        shape = (members, len(variables), count)
        self.register_buffer("low", torch.zeros(shape))
        self.register_buffer("high", torch.zeros(shape))
        self.register_buffer("used", torch.ones(members, len(variables), dtype=torch.int64))

    def fit(self, values: Float[np.ndarray, "row variable"]) -> None:
        """Set the bins by the values of the training episodes."""
        for index, variable in enumerate(self.variables):
            low, high = _bins(values[:, index], variable, self.count)
            padded = [np.pad(end, (0, self.count - len(end)), mode="edge") for end in (low, high)]
            for buffer, end in zip((self.low, self.high), padded, strict=True):
                buffer[:, index] = torch.from_numpy(end.astype(np.float32))
            self.used[:, index] = len(low)

    def encode(self, values: Float[Tensor, "*row variable"]) -> Int[Tensor, "*row variable 1"]:
        flat = values.reshape(-1, values.shape[-1]).T.contiguous()
        tokens = torch.searchsorted(self.high[0].contiguous(), torch.nan_to_num(flat))
        tokens = torch.minimum(tokens, self.used[0][:, None] - 1)
        tokens = torch.where(torch.isfinite(flat), tokens, self.count)
        return tokens.T.reshape(*values.shape, 1)

    def decode(
        self, tokens: Int[Tensor, "*row variable 1"], chance: Float[Tensor, "*row variable"]
    ) -> tuple[Float[Tensor, "*row variable"], Bool[Tensor, "*row variable"]]:
        code = tokens[..., 0].clamp(max=self.count - 1)
        place = torch.arange(code.shape[-1]).expand(code.shape)
        low, high = self.low[0][place, code], self.high[0][place, code]
        return low + (high - low) * chance, torch.zeros_like(code, dtype=torch.bool)

    def possible(self, variable: int) -> Bool[Tensor, " token"]:
        return torch.arange(self.size) < self.used[0, variable]


def _bins(values: np.ndarray, variable: Variable, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest value of each bin."""
    if variable.kind != "continuous":
        codes = np.arange(2.0 if variable.kind == "binary" else variable.width)
        return codes, codes
    values = np.sort(values[np.isfinite(values)])
    if not len(values):
        return np.zeros(1), np.zeros(1)
    high, times = np.unique(np.quantile(values, np.arange(1, count + 1) / count, method="higher"), return_counts=True)
    # A value that fills more than one bin gets one of its own; the bins that it frees leave room for the one below.
    below = np.searchsorted(values, high[times > 1]) - 1
    high = np.unique(np.concatenate([high, values[below[below >= 0]]]))
    first = np.concatenate([[0], np.searchsorted(values, high[:-1], side="right")])
    return values[first], high


SYMBOLS = "+-0123456789?"
PLUS, MINUS, ZERO, UNKNOWN = 0, 1, 2, 12
LARGEST = 9.99


class Digits(nn.Module):
    """Four characters a value: its sign and three digits, in hundredths of the variable's deviation; `????` if missing.

    The format is fixed, so that no separators are needed; whether the model keeps to it is another matter, and a value
    without a sign or a digit in its place cannot be read. Categories are written as whole numbers.
    """

    length = 4
    size = len(SYMBOLS)

    def __init__(self, variables: tuple[Variable, ...]):
        super().__init__()
        self.variables = variables

    def encode(self, values: Float[Tensor, "*row variable"]) -> Int[Tensor, "*row variable 4"]:
        unit = self._unit().to(values)
        whole = torch.round(torch.nan_to_num(values) * unit).clamp(-999, 999).to(torch.int64)
        size = whole.abs()
        digits = [ZERO + size // 100, ZERO + size // 10 % 10, ZERO + size % 10]
        tokens = torch.stack([torch.where(whole < 0, MINUS, PLUS), *digits], dim=-1)
        return torch.where(torch.isfinite(values)[..., None], tokens, UNKNOWN)

    def decode(
        self, tokens: Int[Tensor, "*row variable 4"], chance: Float[Tensor, "*row variable"]
    ) -> tuple[Float[Tensor, "*row variable"], Bool[Tensor, "*row variable"]]:
        sign, digits = tokens[..., 0], tokens[..., 1:]
        good = (sign <= MINUS) & ((digits >= ZERO) & (digits < UNKNOWN)).all(-1)
        size = ((digits - ZERO) * torch.tensor([100, 10, 1])).sum(-1)
        unit = self._unit()
        whole = torch.where(sign == MINUS, -size, size)
        kinds = torch.tensor([_categories(variable) for variable in self.variables])
        good &= (kinds == 0) | ((whole >= 0) & (whole < kinds))
        # A rounded value stands for all that round to it.
        spread = torch.where(kinds == 0, chance - 0.5, 0.0)
        value = (whole + spread) / unit
        return torch.where(good, value, torch.nan), ~good

    def possible(self, variable: int) -> None:
        return None

    def _unit(self) -> Float[Tensor, " variable"]:
        return torch.tensor([1.0 if _categories(variable) else 100.0 for variable in self.variables])


def _categories(variable: Variable) -> int:
    """Values that a variable can take; zero if it is continuous."""
    return {"continuous": 0, "binary": 2, "categorical": variable.width}[variable.kind]
