"""Muon (Jordan et al. 2024): steps along the momentum of each matrix, orthogonalised: all directions move alike.

Adam moves what the gradient is largest in. On clean data that leaves the weak directions, which decide the near future,
unlearnt for thousands of steps.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: singular values come within 0.7 to 1.2 in five rounds.
ROUNDS = 5
WIDE = 128  # Inputs from which on steps become smaller.


def orthogonalise(matrix: Float[Tensor, "member row column"]) -> Float[Tensor, "member row column"]:
    """U V' of a matrix with the singular value decomposition U S V', nearly, by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for stacks of matrices, [member, row, column].

    Steps have the size that AdamW's have at the same rate (Liu et al., Muon is Scalable for LLM Training, 2025), up to
    WIDE inputs. What a layer gives would change the more the more inputs it has, since all directions of them move
    alike; beyond WIDE a step is smaller by as much as keeps that the same (the spectral condition of Yang, Simon and
    Bernstein, 2023). Otherwise a row of hundreds of readings is memorised before it is understood.
    """

    def __init__(
        self, matrices: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                kept = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
                kept.lerp_(matrix.grad, 1 - group["momentum"])
                direction = orthogonalise(matrix.grad.lerp(kept, group["momentum"]))
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                inputs, outputs = matrix.shape[-2:]
                narrower = min(1.0, WIDE / inputs)
                matrix.add_(direction, alpha=-group["lr"] * 0.2 * max(inputs, outputs) ** 0.5 * narrower)
