"""A recurrent network with a Gaussian head: the field's plain probabilistic forecaster (DeepAR; Salinas et al. 2020).

The state after each row and the move that follows give a normal distribution of every channel of the next row (logits
for categories), trained by its likelihood one step ahead; a future is sampled row by row, each row read again.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from foreworld.data.batches import Batch
from foreworld.data.layout import observed_columns, read_values
from foreworld.data.scaling import LIMIT, Encoding
from foreworld.data.tabulate import Table, move_width
from foreworld.nets.ensemble import MLP, Linear
from foreworld.world.autoregressive import Autoregressive, Futures, prompted, tail
from foreworld.world.config import FitConfig
from foreworld.world.draws import stratified
from foreworld.world.readout import binary_logits, deviation, output_width


class GaussianNetwork(Autoregressive):
    """A GRU over rows (observations, and the move that led to them), and an MLP from its state and the next move."""

    def __init__(self, config: FitConfig, encoding: Encoding, *, seed: int, table: Table | None = None):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        members, hidden = config.members, config.hidden
        self.config, self.reach = config, config.context
        self.observed, self.targets = observed_columns(encoding), encoding.schema.target_indices
        self.seen, self.moves = encoding.width("observation"), move_width(encoding)
        self.read = Linear(members, self.seen + self.moves, 3 * hidden, generator=generator)
        self.recur = Linear(members, hidden, 3 * hidden, generator=generator)
        outputs = sum(output_width(column.variable) for column in self.observed)
        self.head = MLP(members, [hidden + self.moves, hidden, outputs], generator=generator, gain=0.3)

    def forward(self, history: Float[Tensor, "member batch time inputs"]) -> Float[Tensor, "member batch time hidden"]:
        gates = self.read(history[..., : self.seen + self.moves])
        state = gates.new_zeros(*gates.shape[:2], self.config.hidden)
        states = []
        for gate in gates.unbind(2):
            state = self._turn(gate, state)
            states.append(state)
        return torch.stack(states, dim=2)

    def futures(
        self,
        rows: Float[Tensor, "case row input"],
        last: Int[Tensor, " case"],
        moves: Float[Tensor, "case step move"],
        *,
        draws: int,
        generator: torch.Generator,
    ) -> Futures:
        """Sample row by row. All cases share the random numbers, so that two plans differ by the plans alone."""
        members, cases, steps = self.config.members, *moves.shape[:2]
        shape = (members, draws, steps, len(self.observed))
        chance = stratified(shape, generator)
        context, exists = tail(rows, last, self.reach)
        state, row = self._begin(context.expand(members, -1, -1, -1), exists)
        state, row = (part[:, None].expand(-1, draws, -1, -1).flatten(1, 2) for part in (state, row))
        values, states = [], []
        for step in range(steps):
            move = moves[:, step].expand(members, draws, -1, -1).flatten(1, 2)
            drawn = self._draw(state, row, move, chance[:, :, step].repeat_interleave(cases, dim=1))
            row = self._row(drawn)
            state = self._turn(self.read(torch.cat([row, move], dim=-1)), state)
            values.append(drawn[..., list(self.targets)])
            states.append(state.unflatten(1, (draws, cases)).mean(1))
        found = torch.stack(values, dim=2).unflatten(1, (draws, cases))
        return Futures(found, torch.zeros_like(found, dtype=torch.bool), torch.stack(states, dim=2))

    def _begin(
        self, context: Float[Tensor, "member case length input"], exists: Tensor
    ) -> tuple[Float[Tensor, "member case hidden"], Float[Tensor, "member case seen"]]:
        gates = self.read(context[..., : self.seen + self.moves])
        state = gates.new_zeros(*gates.shape[:2], self.config.hidden)
        for gate, there in zip(gates.unbind(2), exists.unbind(1), strict=True):
            state = torch.where(there[:, None], self._turn(gate, state), state)
        return state, context[:, :, -1, : self.seen]

    def _turn(
        self, gate: Float[Tensor, "member batch gates"], state: Float[Tensor, "member batch hidden"]
    ) -> Float[Tensor, "member batch hidden"]:
        """One step of a GRU (Cho et al. 2014)."""
        recurrent, hidden = self.recur(state), self.config.hidden
        update, reset = torch.sigmoid(gate[..., : 2 * hidden] + recurrent[..., : 2 * hidden]).chunk(2, dim=-1)
        candidate = torch.tanh(gate[..., 2 * hidden :] + reset * recurrent[..., 2 * hidden :])
        return torch.lerp(candidate, state, update)

    def parts(
        self,
        state: Float[Tensor, "member *batch hidden"],
        row: Float[Tensor, "member *batch seen"],
        move: Float[Tensor, "member *batch move"],
    ) -> list[Float[Tensor, "member *batch output"]]:
        """Parameters of each channel of the next row: mean (last value and change) and raw deviation, or logits."""
        outputs = self.head(torch.cat([state, move], dim=-1))
        found = list(outputs.split([output_width(column.variable) for column in self.observed], dim=-1))
        for index, column in enumerate(self.observed):
            if column.variable.kind == "continuous":
                last = row[..., column.start, None]
                found[index] = torch.cat([found[index][..., :1] + last, found[index][..., 1:]], dim=-1)
        return found

    def _draw(self, state: Tensor, row: Tensor, move: Tensor, chance: Tensor) -> Float[Tensor, "member batch channel"]:
        drawn = []
        for index, (column, part) in enumerate(zip(self.observed, self.parts(state, row, move), strict=True)):
            u = chance[..., index]
            if column.variable.kind == "continuous":
                drawn.append((part[..., 0] + deviation(part[..., 1]) * torch.special.ndtri(u)).clamp(-LIMIT, LIMIT))
            else:
                below = torch.softmax(_logits(column.variable.kind, part), dim=-1).cumsum(-1)[..., :-1]
                drawn.append((u[..., None] > below).sum(-1).to(u))
        return torch.stack(drawn, dim=-1)

    def _row(self, values: Float[Tensor, "member batch channel"]) -> Float[Tensor, "member batch seen"]:
        """Sampled values as a row is encoded, nothing missing."""
        parts = []
        for column, value in zip(self.observed, values.unbind(-1), strict=True):
            categorical = column.variable.kind == "categorical"
            parts.append(
                nn.functional.one_hot(value.long(), column.variable.width) if categorical else value[..., None]
            )
        return torch.cat([*(part.to(values) for part in parts), torch.ones_like(values)], dim=-1)


def gru_gaussian(
    network: GaussianNetwork, batch: Batch, config: FitConfig, generator: torch.Generator
) -> dict[str, Float[Tensor, " member"]]:
    """Negative log likelihood of the next row, mean over channels; `grounding` is that of the targets."""
    history = prompted(batch)
    states = network(history)[:, :, :-1]
    rows, moves = history[:, :, :-1, : network.seen], history[:, :, 1:, network.seen : network.seen + network.moves]
    truth = read_values(batch.recorded, network.observed)[:, :, 1:]
    losses = []
    for column, part, seen in zip(network.observed, network.parts(states, rows, moves), truth.unbind(-1), strict=True):
        present = torch.isfinite(seen) & batch.valid[:, :, 1:]
        seen = torch.where(present, seen, 0.0)
        if column.variable.kind == "continuous":
            spread = deviation(part[..., 1])
            loss = ((part[..., 0] - seen) / spread).square() / 2 + torch.log(spread)
        else:
            logits = _logits(column.variable.kind, part)
            loss = torch.logsumexp(logits, -1) - logits.gather(-1, seen.long()[..., None])[..., 0]
        losses.append(torch.where(present, loss, 0.0).sum((1, 2)) / present.sum((1, 2)).clamp(min=1))
    each = torch.stack(losses, dim=-1)
    return {
        "prediction": each.mean(-1),
        "forecast": each[:, list(network.targets)].mean(-1),
        "loss": each.mean(-1),
    }


def _logits(kind: str, part: Tensor) -> Tensor:
    return binary_logits(part) if kind == "binary" else part
