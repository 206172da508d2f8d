"""Points that the tests of the library measure at."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

DOUBLE = torch.float64
QUICK: dict[str, Any] = {"draws": 200, "timed": False, "warm_up": 5}


def bits(rows: int = 3, size: int = 2) -> Distribution:
    return Bernoulli(logits=torch.linspace(-1, 2, rows * size, dtype=DOUBLE).reshape(rows, size))


def cubic(z: Tensor, q: Distribution) -> Tensor:
    return (z.sum(-1) - 0.3) ** 3


def square(z: Tensor, q: Distribution) -> Tensor:
    return z.square().sum(-1)
