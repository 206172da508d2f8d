"""How large a model is, in numbers: what estimates of time and memory are made of."""

from itertools import pairwise
from typing import NamedTuple


class Widths(NamedTuple):
    """Of one model, for one row."""

    weights: int
    """Numbers that are learned."""
    parameters: int
    """Numbers of q's parameters."""
    behind: int
    """Numbers that are made on the way from a row to q."""
    of_f: int
    """Numbers that an evaluation of f makes at a draw of z, all of which are kept for a gradient."""
    at_once: int
    """Those of them that are held at once where no gradient is wanted."""
    products_of_f: int
    """Products of numbers that it sums."""


def weights_of(*sizes: int) -> int:
    """Weights and biases of affine maps of these sizes, one after another."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def numbers_of(*sizes: int) -> int:
    """Numbers that are made on the way through: what goes in, and each hidden layer before and after it is bent."""
    first, *hidden, last = sizes
    return first + 2 * sum(hidden) + last
