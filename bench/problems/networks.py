"""Networks of E seeds side by side: the affine maps of a model, whose parameters start with the dim E."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from estimators.parts.network import affine

NEGATIVE_SLOPE = 0.3
"""Of LeakyReLU between the maps, where nothing else is said."""
ACTIVATIONS: dict[str, Callable[[float], nn.Module]] = {
    "leaky-relu": nn.LeakyReLU,
    "relu": lambda _: nn.ReLU(),
    "tanh": lambda _: nn.Tanh(),
}
"""What bends the hidden layers, from its name and the slope that a LeakyReLU has below 0."""


class StackedLinear(nn.Module):
    """E affine maps side by side: weight [E, in, out], bias [E, 1, out]; starts as torch.nn.Linear does."""

    def __init__(self, inputs: int, outputs: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)

        def uniform(*shape: int) -> Tensor:
            return torch.stack([(2 * torch.rand(shape, generator=g) - 1) * bound for g in generators])

        self.weight = nn.Parameter(uniform(inputs, outputs))
        self.bias = nn.Parameter(uniform(1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., E, B, in] to [..., E, B, out]."""
        return affine(x, self.weight, self.bias)


def network(
    sizes: Sequence[int],
    generators: Sequence[torch.Generator],
    activation: Callable[[float], nn.Module] = nn.LeakyReLU,
    slope: float = NEGATIVE_SLOPE,
) -> nn.Sequential:
    """Affine maps of these sizes with the activation between them; whatever it is, they start as `StackedLinear`."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [StackedLinear(inputs, outputs, generators), activation(slope)]
    return nn.Sequential(*layers[:-1])
