"""A small network of one tanh layer, stacked over seeds: learned baselines and control variates are made of it."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from estimators.distributions import event_shape, parameters
from estimators.parts.sizes import Resizable, Sizes, is_unsized, unsized


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


class Network(Resizable):
    """[..., *stack, B, inputs] to [..., *stack, B], by one tanh layer.

    Weights are [*stack, inputs, outputs], so that every stacked seed has its own. They have no sizes before `make`,
    unless the number of inputs is known; a network of no inputs has weights of no elements.
    """

    first: nn.Parameter
    first_bias: nn.Parameter
    second: nn.Parameter
    second_bias: nn.Parameter

    def __init__(self, hidden: int, inputs: int = 0) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        self.hidden = hidden
        self.first, self.first_bias, self.second, self.second_bias = (unsized() for _ in range(4))
        self.waiting: tuple[tuple[int, ...], int, int] = ((), 0, 0)
        """Stack, context size and seed to be sized with once the event is known."""
        if inputs:
            self.make(inputs)
            self.sized = False  # a saved state may still bring the sizes of another stack

    def set_sizes(self, sizes: Sizes) -> None:
        """Make the weights for flat draws of an event and a context; without an event they wait for `ready`.

        Raises:
            ValueError: there are weights already, and no event is given to make others for.
        """
        stack, context_size, event, generator = sizes
        if event:
            self.make(math.prod(event) + context_size, stack, generator)
        elif is_unsized(self.first):
            seed = (
                0 if generator is None else int(torch.randint(2**62, (), generator=generator, device=generator.device))
            )
            self.waiting = (stack, context_size, seed)
        elif stack or context_size:
            raise ValueError("the network has its weights already: bind it to the event too, bind(event=...)")

    def ready(self, q: Distribution) -> None:
        """Make the weights for the event of q, on its device, where there are none yet."""
        if is_unsized(self.first):
            stack, context_size, seed = self.waiting
            inputs = math.prod(event_shape(q)) + context_size
            self.make(inputs, stack, torch.Generator().manual_seed(seed))
            self.to(parameters(q)[0].device)

    def make(self, inputs: int, stack: Sequence[int] = (), generator: Generator | None = None) -> None:
        """Make the weights, each layer uniform within 1 / sqrt(its inputs); without a generator, always the same."""
        source = generator or torch.Generator().manual_seed(0)
        hidden, output = (self.hidden, 1) if inputs else (0, 0)
        for weight, bias, rows, columns in (
            (self.first, self.first_bias, inputs, hidden),
            (self.second, self.second_bias, hidden, output),
        ):
            start = torch.rand((*stack, rows, columns), generator=source, device=source.device) * 2 - 1
            self.resize(weight, start / max(rows, 1) ** 0.5)
            self.resize(bias, torch.zeros(*stack, 1, columns))

    @property
    def inputs(self) -> int:
        """Inputs of the first layer, of the context too; 0 without weights."""
        return 0 if is_unsized(self.first) else self.first.shape[-2]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x [..., *stack, B, inputs], in any precision, to [..., *stack, B] in the same.

        Args:
            x: inputs that may differ from draw to draw.
            context: further inputs [*stack, B, X], which draws share, where the weights have rows for them: their
                part of the first layer is computed once, and is not differentiated in x.

        Raises:
            ValueError: the weights have no sizes yet, or are for other numbers of inputs.
        """
        own, inputs = x.shape[-1], self.inputs
        given = own + (0 if context is None else context.shape[-1])
        if inputs and inputs != own and inputs != given:  # one by one, as sizes may be symbols of a compiler
            none = "none, or one of another size" if context is None else "one of another size"
            raise ValueError(
                f"the estimator was bound to a context, and got {none}: its network takes {inputs} numbers, not {given}"
            )
        hidden = affine(x.to(self.first), self.first[..., :own, :], self.first_bias)
        if context is not None and inputs > own:
            hidden = hidden + affine(context.to(self.first), self.first[..., own:, :])
        return affine(torch.tanh(hidden), self.second, self.second_bias).squeeze(-1).to(x)
