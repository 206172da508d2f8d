"""Gradients of an encoder's weights, from those of q's parameters, without ever making one.

The encoder is deterministic, so the gradient of its weights is linear in that of q's parameters. A layer's share is a
sum over rows of outer products, of the layer's input with the signal that is propagated back to its output; products
of two such sums are products of inputs times products of signals, and that is all that variances are made of.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from bench.problems.networks import StackedLinear
from estimators.distributions import parameter_shapes, parameters


class Behind(Protocol):
    """What lies behind q's parameters, as far as the variance of its gradient is measured."""

    def squares(self, gradients: Tensor) -> Tensor:
        """[n] squared lengths of the weights' gradients, summed over rows, that these [n, *B, P] lead to."""
        ...

    def between_rows(self, gradient: Tensor) -> Tensor:
        """[B] squared distances of the rows' own weight gradients from their mean, for one gradient [*B, P]."""
        ...


class Layer(NamedTuple):
    """An affine map of the encoder, of one seed, where it was evaluated."""

    input: Tensor
    """[1, B, in]."""
    output: Tensor
    """[1, B, out], in the encoder's graph."""


@contextmanager
def recorded(network: nn.Module | None) -> Iterator[list[Layer]]:
    """The affine maps of a network that are evaluated in the meantime, in order."""
    layers: list[Layer] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layers.append(Layer(inputs[0].detach(), output))

    maps = [module for module in (network.modules() if network else ()) if isinstance(module, StackedLinear)]
    handles = [module.register_forward_hook(note) for module in maps]
    try:
        yield layers
    finally:
        for handle in handles:
            handle.remove()


class Encoder:
    """What is known of an encoder at some rows.

    Args:
        q: made by the encoder, in its graph; rows [1, B].
        layers: its affine maps, as `recorded` has them.
    """

    def __init__(self, q: Distribution, layers: list[Layer]) -> None:
        self.q, self.layers = q, layers
        # Products of the rows' inputs, and 1 for the bias, [B, B] a layer.
        self.products = [layer.input[0].double() @ layer.input[0].double().T + 1 for layer in layers]

    def signals(self, gradients: Tensor) -> tuple[Tensor, ...]:
        """Gradients [n, 1, B, P] with respect to q's parameters, at each layer's output: [n, B, out]."""
        outputs = parameters(self.q)
        shapes = parameter_shapes(self.q)
        parts = gradients.to(outputs[0]).split([math.prod(shape) for shape in shapes], -1)
        cotangents = [part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)]
        at = [layer.output for layer in self.layers]
        found = torch.autograd.grad(outputs, at, cotangents, is_grads_batched=True, retain_graph=True)
        return tuple(signal[:, 0] for signal in found)

    def squares(self, gradients: Tensor) -> Tensor:
        """[n] squared lengths of the weights' gradients, summed over rows, that these [n, 1, B, P] lead to."""
        total = torch.zeros(len(gradients), dtype=torch.float64, device=gradients.device)
        for signal, products in zip(self.signals(gradients), self.products, strict=True):
            weighed = torch.einsum("rs,nso->nro", products.to(signal), signal)
            total += (weighed * signal).sum((1, 2)).double()
        return total.clamp_min(0)

    def between_rows(self, gradient: Tensor) -> Tensor:
        """[B] squared distances of the rows' own weight gradients from their mean, for one gradient [1, B, P]."""
        inner = torch.zeros_like(self.products[0])
        for signal, products in zip(self.signals(gradient.unsqueeze(0)), self.products, strict=True):
            inner += products * (signal[0].double() @ signal[0].double().T)
        return (inner.diagonal() - 2 * inner.mean(1) + inner.mean()).clamp_min(0)
