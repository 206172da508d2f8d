"""Whether f is a function of z and q alone, draw by draw, as all that is measured takes for granted."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode

from bench.seeds import stream
from estimators.base import Objective
from estimators.call import as_given
from estimators.distributions import parameters, row_shape, sample, stopped
from estimators.elsewhere import Elsewhere
from estimators.errors import BadInput
from estimators.families import family_of
from estimators.noise import Noise
from estimators.objective import CheckedObjective


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
    if seen := _differing(first, again, 64 * eps * _largest(first, again)):
        raise BadInput(
            f"f has noise of its own{_source(f, z, fixed)}: at one z it is {seen[0]:g}, and then {seen[1]:g}; the "
            "draws of a call would share it, and their variance be too small. Make f deterministic (module.eval(), a "
            "fixed minibatch), and measure that part of the variance apart"
        )
    if seen := _differing(first[1:, 1:], f(z[1:, 1:], fixed), _small(first)):
        raise BadInput(
            f"f mixes its draws: at a z among others it is {seen[0]:g}, at the same z alone {seen[1]:g}. Let f at one "
            "draw depend on that draw alone (batch normalisation: module.eval())"
        )


@torch.no_grad()
def takes_leading_dims(f: Objective, q: Distribution) -> bool:
    """Whether f gives the same at z [S, L, *B, *event] as at z [S, *B, *event], for a q of rows *B and of [L, *B].

    Many draws are made at a call, as leading dims of q's rows; an f that flattens and unflattens dims whose number it
    takes for granted must be called for each.
    """
    lead = unlike(parameters(q)[0].shape)
    z = sample(q, 2 * lead, stream("leading", device=parameters(q)[0].device)).unflatten(0, (2, lead))
    fixed = stopped(q)
    wide = family_of(q).again(*(p.expand(lead, *p.shape) for p in parameters(fixed)))
    ends = [0, lead - 1]
    expected = torch.stack([f(z[:, i], fixed) for i in ends], 1)
    try:
        found = torch.stack([f(z, fixed), f(z, wide)])
    except Exception:  # of foreign code, which was not written for such dims
        return False
    if found.shape[2:3] != (lead,) or found[:, :, ends].shape[1:] != expected.shape:
        return False
    return not _differing(found[:, :, ends], expected.expand_as(found[:, :, ends]), _small(expected))


def unlike(shape: Sequence[int]) -> int:
    """A number of leading dims that is none of a shape's, so that no dim can be taken for another."""
    return next(size for size in count(3) if size not in shape)


def own_tensors(q: Distribution) -> list[Tensor]:
    """Every tensor that takes a gradient and that q was made of or made since: all that f could hold of it."""
    found: dict[int, Tensor] = {}
    todo: list[object] = [q]
    while todo:
        for value in vars(todo.pop()).values():
            if isinstance(value, Tensor) and value.requires_grad:
                found[id(value)] = value
            elif isinstance(value, Distribution):  # what an Independent wraps, or a family of torch is built on
                todo.append(value)
    given = {id(p): p for p in as_given(q) if p.requires_grad}
    return [*(found | given).values()]


def holds(f: CheckedObjective, tensors: Sequence[Tensor]) -> bool:
    """Whether f's value has a gradient in one of the tensors, though it is given a q that is made of none of them."""
    q = f.given.q
    with torch.enable_grad():
        value = f(sample(q, 1, stream("held", device=parameters(q)[0].device)), stopped(q))
    if not tensors or not value.requires_grad:
        return False
    # What f holds of a graph is its owner's, who will go through it again.
    found = torch.autograd.grad(value.sum(), tensors, allow_unused=True, retain_graph=True)
    return any(g is not None for g in found)


def for_leading_dims(f: CheckedObjective) -> CheckedObjective:
    """f, or one that calls it draw by draw where it takes no further leading dims."""
    return f if takes_leading_dims(f, f.given.q) else replace(f, fold=True)


@torch.no_grad()
def mixed_rows(f: Objective, q: Distribution) -> tuple[float, float] | None:
    """The cost of a row where the other rows have one z, and where they have another; None where it is the same.

    A row's gradient is made of its own cost, so that what a row does to the cost of another is lost.
    """
    rows = row_shape(q)
    if rows.numel() < 2:
        return None
    noise = Noise(stream("rows", device=parameters(q)[0].device))
    first, second = family_of(q).spread_out(q, 8, noise).unflatten(0, (4, 2)).unbind(1)
    # Any two rows differ in a bit of their numbers: each keeps its z in a call in which the other's is changed.
    number = torch.arange(rows.numel(), device=first.device).reshape(rows)
    bits = [(number >> place) & 1 for place in range((rows.numel() - 1).bit_length())]
    kept = torch.stack([bit == side for bit in bits for side in (0, 1)])  # N x *B
    mask = kept.reshape(len(kept), 1, *rows, *[1] * (first.dim() - 1 - len(rows)))
    fixed = stopped(q)
    alone, mixed = f(first, fixed), f(torch.where(mask, first, second).flatten(0, 1), fixed)
    among, known = mixed.unflatten(0, (len(kept), -1)), kept[:, None].expand(-1, len(first), *rows)
    return _differing(alone.expand_as(among)[known], among[known], _small(alone))


class _Called(TorchFunctionMode):
    """Notes the names of the functions of torch that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call, and note."""
        self.names.add(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


DROPOUT = {
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
    "feature_dropout",
}
CHOOSING = {"randint", "randperm", "multinomial", "randint_like", "random_"}
"""Functions of torch by which rows of data are chosen."""
DRAWING = {"rand", "randn", "rand_like", "randn_like", "bernoulli", "normal", "normal_", "uniform_", "exponential_"}


def _source(f: Objective, z: Tensor, q: Distribution) -> str:
    """Where f's noise comes from, in brackets; nothing where that cannot be told."""
    with Elsewhere() as elsewhere, _Called() as called:
        f(z, q)
    if called.names & DROPOUT:
        return " (dropout)"
    if called.names & CHOOSING:
        return " (a minibatch that it draws)"
    if called.names & DRAWING:
        return " (random numbers of torch)"
    if elsewhere.found:
        return " (random numbers of numpy or Python, such as choose a minibatch)"
    return " (a state that moves on, such as a minibatch from an iterator)"


def _largest(*values: Tensor) -> float:
    """The largest finite size in some tensors, 0 for none."""
    kept = torch.cat([value.double().flatten() for value in values])
    kept = kept[kept.isfinite()].abs()
    return float(kept.max()) if len(kept) else 0.0


def _small(values: Tensor) -> float:
    """A difference that is rounding: beside how the values differ, whatever constant they share, or of its digits."""
    kept = values.double().flatten()
    kept = kept[kept.isfinite()]
    spread = float(kept.max() - kept.min()) if len(kept) else 0.0
    eps: float = torch.finfo(values.dtype).eps
    return math.sqrt(eps) * spread + 64 * eps * _largest(values)


def _differing(a: Tensor, b: Tensor, small: float) -> tuple[float, float] | None:
    """Where two tensors of one shape differ the most, if by more than what is small; NaN is no number."""
    a, b = a.double().flatten(), b.double().flatten()
    finite = a.isfinite() & b.isfinite()
    a, b = a[finite], b[finite]
    gaps = (a - b).abs()
    if not len(gaps) or gaps.max() <= small:
        return None
    at = int(gaps.argmax())
    return float(a[at]), float(b[at])
