"""Gradients of weights behind q, by batched vector-Jacobian products: against autograd, draw by draw."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Normal

from bench.measure import weights as module
from bench.measure.weights import Weights

ROWS, DRAWS = 5, 7


def convolution() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 4 * 4, 4)]
    return nn.Sequential(*layers).double()


class Squared(torch.autograd.Function):
    """x^2, with a backward pass that reads a value, which cannot be batched."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * gradients[0] if float(gradients[0].abs().sum()) > 0 else 0 * x


def bits(network: nn.Module, x: Tensor) -> Distribution:
    return Bernoulli(logits=network(x))


def normal(network: nn.Module, x: Tensor) -> Distribution:
    loc, log_scale = network(x).chunk(2, -1)
    return Normal(loc, log_scale.exp())


def of_one_scale(network: nn.Module, x: Tensor) -> Distribution:
    """A scale that no weight leads to."""
    return Normal(network(x), torch.ones(ROWS, 4, dtype=torch.float64))


def unbatchable(network: nn.Module, x: Tensor) -> Distribution:
    return Bernoulli(logits=Squared.apply(network(x)))


def one_by_one(q: Distribution, weights: list[Tensor], cotangents: Tensor) -> Tensor:
    """[n, W]."""
    given = [q.loc, q.scale] if isinstance(q, Normal) else [q.logits]
    found = []
    for g in cotangents:
        parts = [*zip(given, g.chunk(len(given), -1), strict=True)]
        total = sum((p * part).sum() for p, part in parts if p.requires_grad)
        assert isinstance(total, Tensor)
        gradients = torch.autograd.grad(total, weights, retain_graph=True)
        found.append(torch.cat([part.flatten() for part in gradients]))
    return torch.stack(found)


@pytest.mark.parametrize("at_once", [1, 2**24])
@pytest.mark.parametrize("make", [bits, normal, of_one_scale, unbatchable])
def test_they_are_autograds(make: Callable[..., Distribution], at_once: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    network, generator = convolution(), torch.Generator().manual_seed(1)
    q = make(network, torch.randn(ROWS, 1, 6, 6, dtype=torch.float64, generator=generator))
    size = {bits: 4, normal: 4, of_one_scale: 8, unbatchable: 4}[make]
    weights, behind = [*network.parameters()], Weights(q, [*network.parameters()])
    cotangents = torch.randn(DRAWS, ROWS, size, dtype=torch.float64, generator=generator)
    expected = one_by_one(q, weights, cotangents)
    torch.testing.assert_close(behind.pushed(cotangents), expected)
    torch.testing.assert_close(behind.squares(cotangents), expected.square().sum(1))
    assert behind.batched == (make is not unbatchable)
    each = torch.stack([torch.zeros_like(cotangents[0]).index_copy(0, torch.tensor([i]), cotangents[0, i : i + 1])
                        for i in range(ROWS)])  # fmt: skip
    rows = one_by_one(q, weights, each)
    torch.testing.assert_close(behind.between_rows(cotangents[0]), (rows - rows.mean(0)).square().sum(1))
