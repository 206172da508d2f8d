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
    """E affine maps side by side: weight [E, in, out], bias [E, 1, out]; starts as torch.nn.Linear does.

    Args:
        inputs: in.
        outputs: out.
        generators: of each map's initial values.
        glorot: whether they are those of X. Glorot and Y. Bengio, AISTATS 2010, instead, the biases zero.
    """

    def __init__(
        self, inputs: int, outputs: int, generators: Sequence[torch.Generator], *, glorot: bool = False
    ) -> None:
        super().__init__()
        bound = math.sqrt(6 / (inputs + outputs)) if glorot else 1 / math.sqrt(inputs)

        def uniform(*shape: int) -> Tensor:
            return torch.stack([(2 * torch.rand(shape, generator=g) - 1) * bound for g in generators])

        self.weight = nn.Parameter(uniform(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, outputs) if glorot else uniform(1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., E, B, in] to [..., E, B, out]."""
        return affine(x, self.weight, self.bias)


def network(
    sizes: Sequence[int],
    generators: Sequence[torch.Generator],
    activation: Callable[[float], nn.Module] = nn.LeakyReLU,
    slope: float = NEGATIVE_SLOPE,
    *,
    glorot: bool = False,
) -> nn.Sequential:
    """Affine maps of these sizes with the activation between them; whatever it is, they start as `StackedLinear`."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [StackedLinear(inputs, outputs, generators, glorot=glorot), activation(slope)]
    return nn.Sequential(*layers[:-1])
