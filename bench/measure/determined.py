"""Whether f is a function of z and q alone, draw by draw, as all that is measured takes for granted."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.seeds import stream
from estimators.base import Objective
from estimators.distributions import parameters, row_shape, sample, stopped
from estimators.errors import BadInput


@torch.no_grad()
def check_determined(f: Objective, q: Distribution) -> None:
    """Evaluate f three times at the same draws of q: together, together once more, and one of them alone.

    Draws are made many at a call. Noise of f's own, of a minibatch or of dropout, would be shared by them, and their
    variance read a fraction of what it is; an f that mixes its draws, as batch normalisation does, makes them depend on
    how many there are at a call.

    Raises:
        BadInput: f has noise of its own, or a draw's value depends on the other draws.
    """
    z = sample(q, 4, stream("determined", device=parameters(q)[0].device)).unflatten(0, (2, 2))
    fixed = stopped(q)
    first, again = f(z, fixed), f(z, fixed)
    if first.shape != (2, 2, *row_shape(q)):
        return  # the estimator's own call refuses it, with a better message
    eps = torch.finfo(first.dtype).eps
    # Equal calls may differ by rounding on a GPU only; with another number of draws sums are rounded in another order.
    if seen := _differing(first, again, 64 * eps):
        raise BadInput(
            f"f has noise of its own: at one z it is {seen[0]:g}, and then {seen[1]:g}; the draws of a call would "
            "share it, and their variance be too small. Make f deterministic (module.eval(), a fixed minibatch), and "
            "measure that part of the variance apart"
        )
    if seen := _differing(first[1:, 1:], f(z[1:, 1:], fixed), eps**0.5):
        raise BadInput(
            f"f mixes its draws: at a z among others it is {seen[0]:g}, at the same z alone {seen[1]:g}. Let f at one "
            "draw depend on that draw alone (batch normalisation: module.eval())"
        )


def _differing(a: Tensor, b: Tensor, tolerance: float) -> tuple[float, float] | None:
    """Where two tensors of one shape differ the most, if by more than this share of the largest; NaN is no number."""
    a, b = a.double().flatten(), b.double().flatten()
    finite = a.isfinite() & b.isfinite()
    a, b = a[finite], b[finite]
    gaps = (a - b).abs()
    if not len(gaps) or gaps.max() <= tolerance * torch.maximum(a.abs(), b.abs()).max():
        return None
    at = int(gaps.argmax())
    return float(a[at]), float(b[at])
