"""The objectives of a grid: sums of ridge functions, each a function of one direction of the latents."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

CONSTANT = 3.0
DOUBLE = torch.float64


class Ridge(NamedTuple):
    """An objective: theta (sum_h amplitude_h shape(weights_h . z + shift_h) + offset), plus log q(z) if it says so."""

    name: str
    weights: Tensor
    """[H, N], N being the numbers in an event."""
    shift: Tensor
    """[H]."""
    amplitude: Tensor
    """[H]."""
    shape: Callable[[Tensor], Tensor]
    offset: float = 0.0
    entropy: bool = False

    def __call__(self, y: Tensor) -> Tensor:
        """The ridge sum at y [..., N], without theta and log q: [...]."""
        projected = y @ self.weights.T.to(y) + self.shift.to(y)
        return self.shape(projected) @ self.amplitude.to(y) + self.offset

    def standardised(self, y: Tensor) -> "Ridge":
        """Scaled and moved to mean 0 and standard deviation 1 over the points y [n, N], so that signals are strong."""
        cost = self(y)
        scale = cost.std()
        return self._replace(amplitude=self.amplitude / scale, offset=float(-cost.mean() / scale))


def _cube(x: Tensor) -> Tensor:
    return x.pow(3)


def ridges(
    typical: Tensor, *, steep: float = 2.0, one_direction: bool = False, weights_of_a_bound: bool = False
) -> tuple[Ridge, ...]:
    """The objectives: constant, quadratic, cubic, coupled, mlp and entropy.

    Args:
        typical: [n, N], points over which each is to have mean 0 and standard deviation 1.
        steep: length of the weights of the networks.
        one_direction: make every ridge sum a function of one fixed combination of the latents.
        weights_of_a_bound: all but the constant hold log q, so that exp(-f) is a ratio to q's density, as the weights
            of a bound are; estimators of bounds may rely on it.
    """
    size = typical.shape[-1]
    generator = torch.Generator().manual_seed(size)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=DOUBLE)

    def weights(rows: int) -> Tensor:
        """[rows, N], each row of length about one."""
        directions = draw(1, size).expand(rows, size) * draw(rows, 1).sign() if one_direction else draw(rows, size)
        return directions / math.sqrt(size)

    separable = weights(size) if one_direction else torch.eye(size, dtype=DOUBLE)
    uneven = 0.5 + torch.arange(size, dtype=DOUBLE) / size  # no two latents matter equally
    signs = torch.tensor([1.0, -0.7, 0.5], dtype=DOUBLE)
    chosen = [
        Ridge("quadratic", separable, draw(size).clamp(-1, 1) - 0.45, uneven, torch.square),
        Ridge("cubic", weights(3), draw(3) / 2, signs, _cube),
        Ridge("coupled", 1.5 * weights(3), draw(3) / 2, signs, torch.square),
        Ridge("mlp", steep * weights(6), draw(6), draw(6), torch.tanh),
        Ridge("entropy", steep * weights(6), draw(6), draw(6), torch.tanh, entropy=True),
    ]
    if weights_of_a_bound:
        chosen = [ridge._replace(entropy=True) for ridge in chosen]
    nothing = torch.zeros(1, dtype=DOUBLE)
    constant = Ridge("constant", weights(1), nothing, nothing, torch.square, offset=CONSTANT)
    return constant, *(ridge.standardised(typical) for ridge in chosen)
