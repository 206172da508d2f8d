"""A small network of one tanh layer, stacked over seeds: learned baselines and control variates are made of it."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn


class Network(nn.Module):
    """[..., *stack, B, inputs] to [..., *stack, B], by one tanh layer; it has no weights before `size`.

    Weights are [*stack, inputs, outputs], so that every stacked seed has its own.
    """

    first: nn.Parameter | None
    first_bias: nn.Parameter
    second: nn.Parameter
    second_bias: nn.Parameter

    def __init__(self, hidden: int) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        self.hidden = hidden
        self.register_parameter("first", None)

    def size(self, inputs: int, stack: Sequence[int] = (), generator: Generator | None = None) -> None:
        """Make the weights, each layer uniform within 1 / sqrt(its inputs); without a generator, always the same."""
        source = generator or torch.Generator().manual_seed(0)

        def weights(inputs: int, outputs: int) -> nn.Parameter:
            start = torch.rand((*stack, inputs, outputs), generator=source) * 2 - 1
            return nn.Parameter(start / inputs**0.5)

        self.first = weights(inputs, self.hidden)
        self.first_bias = nn.Parameter(torch.zeros(*stack, 1, self.hidden))
        self.second = weights(self.hidden, 1)
        self.second_bias = nn.Parameter(torch.zeros(*stack, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., *stack, B, inputs], in any precision, to [..., *stack, B] in the same."""
        if self.first is None:
            raise ValueError("the network has no weights yet: call size() first")
        hidden = torch.tanh(x.to(self.first) @ self.first + self.first_bias)
        return (hidden @ self.second + self.second_bias).squeeze(-1).to(x)
