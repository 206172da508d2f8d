"""What a third party draws from torch itself, as the numbers of a `Source`."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from estimators.integration.blocks import log_of

if TYPE_CHECKING:
    from estimators.integration.source import Source

SOURCES: dict[Callable[..., Any], str] = {
    getattr(torch, name): f"torch.{name}"
    for name in (
        "rand",
        "randn",
        "rand_like",
        "randn_like",
        "bernoulli",
        "normal",
        "multinomial",
        "randint",
        "randperm",
        "binomial",
        "poisson",
        "dropout",
        "_standard_gamma",
        "_sample_dirichlet",
    )
} | {
    getattr(Tensor, name): f"Tensor.{name}"
    for name in (
        "uniform_",
        "normal_",
        "exponential_",
        "bernoulli_",
        "bernoulli",
        "multinomial",
        "geometric_",
        "cauchy_",
        "log_normal_",
        "random_",
    )
}
"""Functions that draw noise."""


def axis_of(shape: Sequence[int], rows: Sequence[int]) -> int | None:
    """Where the leading dims `rows` lie in the shape, one after the other; None where they do not or do so twice."""
    found = [i for i in range(len(shape) - len(rows) + 1) if tuple(shape[i : i + len(rows)]) == tuple(rows)]
    return found[0] if len(found) == 1 else None


def plain(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a draw has its standard law: no argument but one tensor and the generator."""
    return len(args) == 1 and set(kwargs) <= {"generator"}


def standard(
    source: "Source", name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """What `func` would return, made of the source's numbers.

    Raises:
        NotIntegrable: no way is known.
    """
    if name in ("torch.rand", "torch.randn", "torch.rand_like", "torch.randn_like", "torch.randint"):
        return _created(source, name, func, args, kwargs)
    if name in ("torch.bernoulli", "Tensor.bernoulli") and plain(args, kwargs):
        chance: Tensor = args[0]
        u = source.values("uniform", name, chance.shape, torch.logit(chance.detach().double())).at
        return (u < chance).to(chance.dtype)
    if name in ("torch.multinomial", "Tensor.multinomial"):
        return _multinomial(source, name, *args, **kwargs)
    if name == "torch.normal" and len(args) == 2 and all(isinstance(part, Tensor) for part in args):
        mean, deviation = torch.broadcast_tensors(*args)
        return mean + deviation * source.values("normal", name, mean.shape).at.to(mean.dtype)
    if name in ("Tensor.uniform_", "Tensor.normal_", "Tensor.exponential_") and plain(args, kwargs):
        out: Tensor = args[0]
        _check_exact(source, name, out.dtype)
        kind = "normal" if name == "Tensor.normal_" else "uniform"
        found = source.values(kind, name, out.shape)
        number = -log_of(found.at, found.rest) if name == "Tensor.exponential_" else found.at
        return out.copy_(_inside(number, out.dtype) if name == "Tensor.uniform_" else number)
    raise source.fail(f"no rule is known for {name}" + ("" if plain(args, kwargs) else " with these arguments"))


def _created(source: "Source", name: str, func: Callable[..., Any], args: Sequence[Any], kwargs: Any) -> Tensor:
    pattern: Tensor = func(*args, **kwargs)  # for its shape, dtype and device
    if name == "torch.randint":
        ends = [one for one in args[:2] if isinstance(one, int)]  # before the shape: high, or low and high
        low = int(kwargs.get("low", ends[0] if len(ends) + ("high" in kwargs) > 1 else 0))
        high = int(kwargs.get("high", ends[-1] if ends else 0))
        return (source.values("choice", name, pattern.shape, options=high - low).at + low).to(pattern)
    _check_exact(source, name, pattern.dtype)
    if name.startswith("torch.randn"):
        return source.values("normal", name, pattern.shape).at.to(pattern)
    return _inside(source.values("uniform", name, pattern.shape).at.to(pattern), pattern.dtype)


def _check_exact(source: "Source", name: str, dtype: torch.dtype) -> None:
    """Rounded nodes are no rule any more, and the law of numbers in steps of 2^-24 has other tails.

    Raises:
        NotIntegrable: the numbers are not in double precision, and the source is to integrate.
    """
    if dtype != torch.float64 and not source.single:
        kind = str(dtype).removeprefix("torch.")
        raise source.fail(f"{name} draws {kind} numbers, whose rounding is not integrated over: draw them in float64")


def _inside(u: Tensor, dtype: torch.dtype) -> Tensor:
    """Uniform numbers that are neither 0 nor 1 once they are rounded."""
    return u.clamp(torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps / 2)


def _multinomial(
    source: "Source", name: str, chances: Tensor, count: int, replacement: bool = False, *, generator: Any = None
) -> Tensor:
    """The classes that win a race of exponential clocks, whose rates are the chances, or come first in it."""
    nodes, problems = source.rows
    classes = chances.shape[-1]
    rows = chances.shape[0] if chances.dim() == 2 else 0
    if rows == 0 or rows % (nodes * problems):
        raise source.fail(f"{name} draws for {list(chances.shape[:-1])} rows, which cannot be told from q's")
    logits = chances.detach().double().log().reshape(nodes, problems, -1, classes)
    races = count if replacement else 1
    shape = (nodes, problems, races, *logits.shape[2:])
    guide = logits.unsqueeze(2).expand(shape)
    u, rest = source.values("race", name, shape, guide)
    clock = (-log_of(u, rest)).log() - guide  # N x B x races x rows x C
    first = clock.argsort(-1)[..., : 1 if replacement else count]
    chosen = first.squeeze(-1).movedim(2, -1) if replacement else first.squeeze(2)
    return chosen.reshape(rows, count) if math.prod(chosen.shape) else chosen
