"""The next-token objective: what a language model does with a trajectory.

A row becomes a stretch of tokens, and a causal transformer predicts each token of an observation from all that stand
before it. A future is sampled token by token under the actions that were asked about. Numbers are quantile bins
(`next_token`) or the digits of a text (`next_token_text`).

One row is, in this order:
- a header: static facts, what is known of the row, and the time since the row before, as the sum of one embedding
  each; in the variant with bins also the action that led here. So they are a prefix of every row, which no sliding
  window loses;
- in the text variant, the digits of the action that led here;
- the observations, targets first. A row holds at most ROW tokens (TEXT_ROW of text): of a table too wide for that, the
  last observations are left out of the context and are not predicted. Targets and actions never are.
The window is POSITIONS tokens, in training and in forecasting, and of at least FEWEST rows.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from foreworld.data.batches import Batch
from foreworld.data.layout import move_columns, read_values, told_columns
from foreworld.data.scaling import Encoding
from foreworld.data.schema import Variable
from foreworld.data.tabulate import Table
from foreworld.nets.cached import Continuation, attend
from foreworld.nets.ensemble import Linear
from foreworld.nets.transformer import Block
from foreworld.world.autoregressive import Autoregressive, Futures, carried, prompted, tail
from foreworld.world.config import FitConfig
from foreworld.world.draws import stratified
from foreworld.world.tokens import Bins, Digits

ROW, TEXT_ROW, POSITIONS, FEWEST = 40, 24, 256, 4
BINS, HEADER_BINS = 128, 32
DEPTH, HEADS = 2, 4
MEMORY = 2**28  # bytes of keys and values at once


class TokenNetwork(Autoregressive):
    """Embeddings, causal transformer and output layer.

    Attributes:
        observed: observations in a row, targets first.
        targets: how many of them are targets.
        width: tokens of a row, header included.
        begin: the first of them that belongs to an observation.
    """

    def __init__(self, config: FitConfig, encoding: Encoding, *, seed: int, table: Table | None = None):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        members, hidden = config.members, config.hidden
        text = config.objective == "next_token_text"
        self.config, self.moves = config, encoding.width("observation")
        actions, facts, self.gap = move_columns(encoding)
        self.actions, self.facts = (actions, facts) if text else ([], actions + facts)
        length = Digits.length if text else Bins.length
        self.begin = 1 + length * len(self.actions)
        targets = len(encoding.schema.targets)
        fitting = max(targets, ((TEXT_ROW if text else ROW) - self.begin) // length)
        self.observed = told_columns(encoding)[:fitting]
        self.targets, self.length = targets, length
        self.width = self.begin + length * len(self.observed)
        self.reach = min(config.context, max(FEWEST, POSITIONS // self.width))
        seen = tuple(column.variable for column in self.observed)
        told = (*(column.variable for column in self.facts), Variable(name="gap", role="known_future"))
        self.codec = Digits(seen) if text else Bins(seen, BINS, members)
        self.deeds = Digits(tuple(column.variable for column in self.actions))
        self.header = Bins(told, HEADER_BINS, members)
        self.symbols = nn.Parameter(_embeddings(members, self.codec.size, hidden, generator, smooth=not text))
        self.levels = nn.Parameter(_embeddings(members, self.header.size, hidden, generator, smooth=True))
        self.gains = nn.Parameter(torch.randn(members, len(told), hidden, generator=generator))
        self.slots = nn.Parameter(0.5 * torch.randn(members, self.width, hidden, generator=generator))
        self.blocks = nn.ModuleList(Block(members, hidden, HEADS, generator=generator) for _ in range(DEPTH))
        if text:
            self.out = Linear(members, hidden, self.codec.size, generator=generator)
        if table is not None:
            self._fit(table)

    def forward(self, history: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time hidden"]:
        """The network's state after each row, mean over its tokens, which stands for a belief."""
        parts = [self._read(part).mean(3) for part in history.split(16, dim=1)]
        return torch.cat(parts, dim=1)

    def scores(
        self, history: Float[Tensor, "member batch time inputs"]
    ) -> tuple[Float[Tensor, "member batch time token"], Bool[Tensor, "member batch time token"]]:
        """Negative log probability of each token of each observation given all before it, and which are observed."""
        logits = self._logits(self._read(history)[..., self.begin - 1 : -1, :])
        tokens = self._body(history)[..., self.begin - 1 :]
        present = torch.isfinite(read_values(history, self.observed)).repeat_interleave(self.length, dim=-1)
        tokens = torch.where(present, tokens, 0)
        return torch.logsumexp(logits, -1) - logits.gather(-1, tokens[..., None])[..., 0], present

    def futures(
        self,
        rows: Float[Tensor, "case row input"],
        last: Int[Tensor, " case"],
        moves: Float[Tensor, "case step move"],
        *,
        draws: int,
        generator: torch.Generator,
    ) -> Futures:
        """Sample token by token. All cases share the random numbers, so that two plans differ by the plans alone."""
        members, steps = self.config.members, moves.shape[1]
        count = self.width - self.begin
        shape = (members, draws, steps, count)
        chance = stratified(shape, generator)
        within = torch.rand(members, 1, draws, steps, len(self.observed), generator=generator)
        context, exists = tail(rows, last, self.reach)
        before = read_values(context[:, -1], self.observed)[:, : self.targets]
        room = steps * self.width
        per_case = 8 * members * DEPTH * (draws * room * self.config.hidden + HEADS * (self.reach * self.width) ** 2)
        parts = []
        for pick in torch.arange(len(rows)).split(max(1, MEMORY // per_case)):
            tokens, states = self._sample(context[pick], exists[pick], moves[pick], chance)
            values, broken = self.codec.decode(tokens, within.expand(-1, len(pick), -1, -1, -1))
            parts.append((values[..., : self.targets], broken[..., : self.targets], states))
        values, broken, states = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return Futures(carried(values.transpose(1, 2), before), broken.transpose(1, 2), states)

    def _sample(
        self,
        context: Float[Tensor, "case length input"],
        exists: Bool[Tensor, "case length"],
        moves: Float[Tensor, "case step move"],
        chance: Float[Tensor, "member draw step token"],
    ) -> tuple[Int[Tensor, "member case draw step variable digit"], Float[Tensor, "member case step hidden"]]:
        members, draws, steps, count = chance.shape
        told = self._embed(context.expand(members, -1, -1, -1)).flatten(2, 3)
        # Everything of the next rows but the observations is known: it is embedded at once.
        ahead = nn.functional.pad(moves, (self.moves, 0)).expand(members, -1, -1, -1)
        asked = self._embed(ahead)[:, :, :, : self.begin]
        going = Continuation(
            self.blocks,
            told,
            exists.repeat_interleave(self.width, dim=1),
            draws=draws,
            room=steps * self.width,
            reach=self.reach * self.width,
        )
        tokens, states = [], []
        for step in range(steps):
            x = going.extend(asked[:, :, None, step].expand(-1, -1, draws, -1, -1))
            state, x = x.sum(-2), x[..., -1:, :]
            for place in range(count):
                logits = self._logits(x, place)[..., 0, :]
                below = torch.softmax(logits, dim=-1).cumsum(-1)[..., :-1]
                token = (chance[:, None, :, step, place, None] > below).sum(-1)
                tokens.append(token)
                x = going.extend(
                    self._symbol(token)[..., None, :] + self.slots[:, None, None, self.begin + place, None]
                )
                state = state + x[..., 0, :]
            states.append(state.mean(2) / self.width)
        drawn = torch.stack(tokens, dim=-1).unflatten(-1, (steps, len(self.observed), self.length))
        return drawn, torch.stack(states, dim=2)

    def _read(
        self, history: Float[Tensor, "member batch time inputs"]
    ) -> Float[Tensor, "member batch time slot hidden"]:
        x = self._embed(history)
        return attend(self.blocks, x.flatten(2, 3), self.reach * self.width).unflatten(2, x.shape[2:4])

    def _embed(self, rows: Float[Tensor, "member *batch inputs"]) -> Float[Tensor, "member *batch slot hidden"]:
        told = self.header.encode(self._told(rows[..., self.moves :]))[..., 0]
        levels = _look_up(self.levels, told)
        gains = self.gains.reshape(len(levels), *[1] * (told.dim() - 2), *self.gains.shape[1:])
        head = (levels * gains).sum(-2, keepdim=True) / math.sqrt(gains.shape[-2])
        slots = self.slots.reshape(len(levels), *[1] * (told.dim() - 2), *self.slots.shape[1:])
        return torch.cat([head, self._symbol(self._body(rows))], dim=-2) + slots

    def _told(self, moves: Float[Tensor, "*row move"]) -> Float[Tensor, "*row fact"]:
        gap = moves[..., self.gap, None]
        return torch.cat([read_values(moves, self.facts), gap], dim=-1) if self.facts else gap

    def _body(self, rows: Float[Tensor, "*row inputs"]) -> Int[Tensor, "*row token"]:
        done = self.deeds.encode(read_values(rows[..., self.moves :], self.actions)).flatten(-2)
        return torch.cat([done, self.codec.encode(read_values(rows, self.observed)).flatten(-2)], dim=-1)

    def _symbol(self, tokens: Int[Tensor, "member *batch"]) -> Float[Tensor, "member *batch hidden"]:
        return _look_up(self.symbols, tokens)

    def _logits(
        self, x: Float[Tensor, "member *batch place hidden"], place: int | None = None
    ) -> Float[Tensor, "member *batch place token"]:
        """Of the token that follows; of all observations, or of one place among their tokens."""
        normed = nn.functional.layer_norm(x, x.shape[-1:])
        if not isinstance(self.codec, Bins):
            return self.out(normed)
        # Output weights of bins are their embeddings, as in GPT-2: bins that are alike to read are alike to predict.
        flat = normed.reshape(len(x), -1, x.shape[-1]) @ self.symbols.mT / math.sqrt(x.shape[-1])
        logits = flat.reshape(*x.shape[:-1], -1)
        used = self.codec.used[0] if place is None else self.codec.used[0, place]
        return torch.where(torch.arange(self.codec.size) < used[..., None], logits, -1e9)

    @torch.no_grad()
    def _fit(self, table: Table) -> None:
        rows = torch.from_numpy(table.history)
        if isinstance(self.codec, Bins):
            self.codec.fit(read_values(rows, self.observed).numpy())
        self.header.fit(self._told(rows[:, self.moves :]).numpy())


def next_token(
    network: TokenNetwork, batch: Batch, config: FitConfig, generator: torch.Generator
) -> dict[str, Float[Tensor, " member"]]:
    """Cross-entropy of the tokens of observations, in nats a value; `forecast` is that of the targets.

    Of each stretch a window of as many rows as the network reads is scored, at a place that is drawn anew.
    """
    reach = min(network.reach, batch.history.shape[2])
    start = int(torch.randint(batch.history.shape[2] - reach + 1, (1,), generator=generator))
    window = slice(start, start + reach)
    rows = prompted(batch)[:, :, window]
    score, present = network.scores(rows)
    # Within a row each token is told from those before it: where these are corrupted, there is nothing to be learnt.
    sound = (rows == batch.recorded[:, :, window]).all(-1)
    counted = present & (sound & batch.valid[:, :, window])[..., None]
    values = (score * counted).sum((1, 2)), counted.sum((1, 2)).to(score)
    own = network.targets * network.length
    terms = {
        "prediction": network.length * values[0].sum(-1) / values[1].sum(-1).clamp(min=1),
        "forecast": network.length * values[0][:, :own].sum(-1) / values[1][:, :own].sum(-1).clamp(min=1),
    }
    return terms | {"loss": terms["prediction"]}


def _look_up(
    table: Float[Tensor, "member token hidden"], tokens: Int[Tensor, "member *batch"]
) -> Float[Tensor, "member *batch hidden"]:
    shift = torch.arange(len(table)).reshape(-1, *[1] * (tokens.dim() - 1)) * table.shape[1]
    return nn.functional.embedding(tokens + shift, table.flatten(0, 1))


def _embeddings(
    members: int, size: int, hidden: int, generator: torch.Generator, *, smooth: bool
) -> Float[Tensor, "member token hidden"]:
    """Random embeddings; of bins, smooth ones, so that neighbours are alike from the start."""
    noise = torch.randn(members, size, hidden, generator=generator)
    if not smooth:
        return noise
    place = torch.from_numpy((np.arange(size) + 0.5) / size).float()
    waves = torch.cos(torch.pi * torch.arange(hidden // 2) * place[:, None]) / torch.arange(1, hidden // 2 + 1).sqrt()
    mixing = torch.randn(members, hidden // 2, hidden, generator=generator)
    return waves @ mixing + 0.1 * noise
