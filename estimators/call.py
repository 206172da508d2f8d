"""A call `estimator(q, f)` as a person writes it: brought to the form that methods take, or refused with one line.

What is looked at in every call costs some microseconds and waits for no device: the family of q, its shape, and the
shape of what f returns. What f is, differentiable in z or not, with terms of q's own or not, is looked at in the first
call, the second, the fourth and so on (`estimators.examine`). docs/calls.md has the list.

    Independent(q, n)           is q, with the last n batch dims as part of the event, whatever their number
    OneHotCategorical [B, C]    is B rows of one latent, as torch reads it; [*B, L, C] is L latents a row
    half precision              methods compute in single precision; f sees the draws, and q, in q's own
    infinite logits             are a finite number so large that the other outcomes have a chance of exactly 0

f always sees z and q in the form in which q was given.
"""

import functools
import math
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from estimators.distributions import again, event_shape, parameters, row_shape
from estimators.errors import BadInput, listed
from estimators.families import Family, family_of

FULL = (torch.float32, torch.float64)

_looked, _finite = ContextVar("looked", default=False), ContextVar("finite", default=False)


class trusted:
    """Inside, calls leave out the looks at f, and take q's logits to be finite.

    For loops whose f was examined before or whose evaluations are counted, and for an f that is refused though the
    mean of what it holds of q is zero: `with estimators.trusted(): ...`.

    Args:
        finite: whether logits are known to be finite; else masked classes and certain bits are looked for.
    """

    def __init__(self, *, finite: bool = True) -> None:
        self.finite = finite

    def __enter__(self) -> None:
        if not torch.compiler.is_compiling():  # where no call looks at f anyway
            self.tokens = _looked.set(True), _finite.set(self.finite)

    def __exit__(self, *_: object) -> None:
        if not torch.compiler.is_compiling():
            looked, finite = self.tokens
            _looked.reset(looked)
            _finite.reset(finite)


class Form(NamedTuple):
    """How q was given, as far as it differs from what methods take."""

    event: torch.Size
    """Shape of an event as it was given: any number of dims, none for a single number."""
    wrapped: int | None
    """Dims that an Independent around q takes into the event; None without one."""
    dtype: torch.dtype | None
    """q's own half precision, None for single and double."""

    def z(self, z: Tensor, family: Family) -> Tensor:
        """Draws [..., *event] of a family in the form in which q was given; rounding leaves them in its support."""
        z = z if self.dtype is None else family.inside(z.to(self.dtype))
        return z.reshape((*z.shape[: z.dim() - 1 - family.latent_dims], *self.event))

    def q(self, q: Distribution) -> Distribution:
        """q, or q with other parameters, in the form in which it was given."""
        rows, shapes = row_shape(q), family_of(q).parameter_shapes(self.event)
        values = [p.reshape((*rows, *shape)) for p, shape in zip(parameters(q), shapes, strict=True)]
        given = again(q, *(values if self.dtype is None else [v.to(self.dtype) for v in values]))
        return given if self.wrapped is None else Independent(given, self.wrapped, validate_args=False)


class Given(NamedTuple):
    """A q in the form that methods take."""

    q: Distribution
    form: Form | None
    """None where it was given so."""


def _unwrapped(q: Distribution) -> tuple[Distribution, int | None]:
    """What Independent is wrapped around, and how many dims it takes into the event."""
    dims: int | None = None
    while isinstance(q, Independent):
        dims = (dims or 0) + q.reinterpreted_batch_ndims
        q = q.base_dist
    return q, dims


def canonical(q: Distribution) -> Given:
    """q as methods take it: one of the known families, its event of one dim, or [L, C], in single precision at least.

    Raises:
        TypeError: q is of no known family.
        BadInput: an event without a number.
    """
    if isinstance(q, Independent):
        return _brought(q)
    family = family_of(q)
    values = family.parameters(q)
    least = 1 if not family.latent_dims else 2 + family.latent_dims  # a vector [B, C] is B rows of one latent
    p = values[0]
    full = all(value.dtype in FULL for value in values)
    if p.dim() < least or not full or 0 in p.shape[-1 - family.latent_dims :]:
        return _brought(q)
    kept = _finite_ones(family, values)
    if all(one is value for one, value in zip(kept, values, strict=True)):  # as most are given: nothing is copied
        return Given(q, None)
    return Given(family.again(*kept), None)


def as_given(q: Distribution) -> tuple[Tensor, ...]:
    """q's parameters, (loc, scale) or (logits,), in the shape and precision in which they were given."""
    return parameters(_unwrapped(q)[0])


def _finite_ones(family: Family, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """See `Family.finite`."""
    # A compiler reads no ContextVar; there the bound is one clamp, which it puts into a loop that it makes anyway.
    return values if not torch.compiler.is_compiling() and _finite.get() else family.finite(*values)


def _brought(q: Distribution) -> Given:
    """`canonical` of a q that must be changed, or refused."""
    inner, wrapped = _unwrapped(q)
    family = family_of(inner)
    values = family.parameters(inner)
    own = family.latent_dims
    shape = values[0].shape
    batch = len(shape) - own
    # Without Independent the last dim of the batch is the event's, but where there is none to spare.
    taken = wrapped if wrapped is not None else 0 if own and batch == 1 else min(1, batch)
    if family.joint:
        if wrapped:
            raise BadInput(
                f"q is an Independent over {wrapped} batch dims of a {type(inner).__name__}, whose event is whole "
                "without it: leave it out, to have those dims as rows, or write one covariance over all numbers"
            )
        taken = 1
    rows, event = shape[: batch - taken], shape[batch - taken :]
    if math.prod(event) == 0:
        raise BadInput(f"q has events of shape {list(event)}, without a number; expected at least one latent")
    shapes = family.parameter_shapes((math.prod(event[: len(event) - own]), *event[len(event) - own :]))
    values = tuple(p.reshape(*rows, *shape) for p, shape in zip(values, shapes, strict=True))
    dtype = functools.reduce(torch.promote_types, [p.dtype for p in values])
    if not dtype.is_floating_point:
        raise BadInput(f"q has parameters of type {str(dtype).removeprefix('torch.')}; expected floating-point ones")
    half = None if dtype in FULL else dtype
    values = tuple(p.to(dtype if half is None else torch.float32) for p in values)
    if half is not None:
        values = family.normalised(*values)
    return Given(family.again(*_finite_ones(family, values)), Form(event, wrapped, half))


def looks_are_left_out() -> bool:
    """Whether this is inside `trusted`, or compiled, where values cannot be looked at."""
    return torch.compiler.is_compiling() or _looked.get()


def described(q: Distribution) -> str:
    """q in a few words for a message: its family's class, rows and event."""
    inner, wrapped = _unwrapped(q)
    name = type(inner).__name__ if wrapped is None else f"Independent({type(inner).__name__}, {wrapped})"
    given = canonical(q)
    event = event_shape(given.q) if given.form is None else given.form.event
    return f"{name} of rows {list(row_shape(given.q))} and events {list(event)}"


def refuse_family(label: str, families: tuple[str, ...], q: Distribution) -> None:
    """Raise, as an estimator is called for a q that is not its own.

    Raises:
        BadInput: always.
    """
    raise BadInput(f"{label} is for {listed(families)} latents; q is a {described(q)}")


def check_context(label: str, context: Tensor, q: Distribution) -> None:
    """Refuse a context that does not belong to the rows of q.

    Raises:
        BadInput: it is not [*B, X], or [*B, X] without leading dims.
    """
    rows, lead = row_shape(q), context.shape[:-1]
    aligned = zip(reversed(lead), reversed(rows), strict=False)
    if context.dim() == 0 or len(lead) > len(rows) or any(one not in (1, row) for one, row in aligned):
        raise BadInput(
            f"{label}: context is {list(context.shape)} for rows {list(rows)} of q; expected [*B, X], what each row "
            "of q was computed from, or without leading dims that rows share"
        )


def copied(q: Distribution) -> Distribution:
    """q with copies of its parameters."""
    inner, wrapped = _unwrapped(q)
    copy = again(inner, *(p.clone() for p in parameters(inner)))
    return copy if wrapped is None else Independent(copy, wrapped, validate_args=False)
