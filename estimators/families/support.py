"""Edges of an open support, which a rounded draw must not reach: there log q is infinite, and f may be undefined."""

import torch


def least(dtype: torch.dtype) -> float:
    """The number that stands for a draw so near 0 that it has none in this precision.

    Its reciprocal, the gradient of a logarithm, is finite, also times a cost of a million where that is no half
    precision's own infinity.
    """
    info = torch.finfo(dtype)
    return info.tiny if info.bits < 32 else info.tiny / info.eps


def most(dtype: torch.dtype) -> float:
    """The largest number below 1."""
    return 1 - torch.finfo(dtype).eps / 2
