"""Comparisons that the checks share."""

from collections.abc import Sequence

import torch
from torch import Tensor

CLOSE = 1e-9
"""Relative difference that rounding in double precision explains."""


def apart(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Largest difference between tensors of two lists, each relative to the size of both."""
    return max((_relative(x, y) for x, y in zip(a, b, strict=True)), default=0.0)


def _relative(x: Tensor, y: Tensor) -> float:
    if x.numel() == 0:
        return 0.0
    return float((x - y).abs().max() / (x.abs().max() + y.abs().max()).clamp_min(torch.finfo(x.dtype).tiny))


def percent(share: float) -> str:
    """A share in words, however small."""
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1g} of its size"
