"""A small network of one tanh layer, stacked over seeds: learned baselines and control variates are made of it."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., *stack, B, inputs] times the weight [*stack, inputs, outputs], plus the bias [*stack, 1, outputs].

    All leading dims of a stack join the rows of one batched product: broadcasting the weight over them would copy it.
    """
    if weight.dim() != 3 or x.dim() < 3:
        y = x @ weight
        return y if bias is None else y + bias
    lead, (stack, rows, inputs) = x.shape[:-3], x.shape[-3:]
    together = not lead or stack == 1  # the rows of a stack lie one after another as they are
    if together:
        flat = x.reshape(stack, -1, inputs)
    else:
        flat = x.reshape(-1, stack, rows, inputs).transpose(0, 1).flatten(1, 2)
    y = torch.bmm(flat, weight) if bias is None else torch.baddbmm(bias, flat, weight)
    if together:
        return y.reshape(*lead, stack, rows, -1)
    return y.reshape(stack, -1, rows, y.shape[-1]).transpose(0, 1).reshape(*lead, stack, rows, -1)


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

    @property
    def inputs(self) -> int:
        """Inputs of the first layer, of the context too; 0 without weights."""
        return 0 if self.first is None else self.first.shape[-2]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [..., *stack, B, inputs], in any precision, to [..., *stack, B] in the same.

        Args:
            x: inputs that may differ from draw to draw.
            context: further inputs [*stack, B, X], which draws share, as far as the weights have rows for them: their
                part of the first layer is computed once, and is not differentiated in x.
        """
        if self.first is None:
            raise ValueError("the network has no weights yet: call size() first")
        own = x.shape[-1]
        hidden = affine(x.to(self.first), self.first[..., :own, :], self.first_bias)
        if self.inputs > own and context is not None:
            hidden = hidden + affine(context.to(self.first), self.first[..., own:, :])
        return affine(torch.tanh(hidden), self.second, self.second_bias).squeeze(-1).to(x)
