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
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical

from estimators.distributions import (
    OneHot,
    again,
    bounded,
    event_shape,
    family,
    log_softmax,
    parameters,
    row_shape,
    watchable,
)
from estimators.errors import BadInput
from estimators.examine import Look, known_by

FULL = (torch.float32, torch.float64)
LEAST_DIMS = {Normal: 1, Bernoulli: 1, OneHotCategorical: 3, OneHot: 3}
"""Dims that the parameters of a q have at least that is given as methods take it."""

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
        self.tokens = _looked.set(True), _finite.set(self.finite)

    def __exit__(self, *_: object) -> None:
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

    def z(self, z: Tensor, dims: int) -> Tensor:
        """Draws [..., *event], the event having `dims` dims, in the form in which q was given."""
        z = z if self.dtype is None else z.to(self.dtype)
        return z.reshape((*z.shape[: z.dim() - dims], *self.event))

    def q(self, q: Distribution) -> Distribution:
        """q, or q with other parameters, in the form in which it was given."""
        rows = row_shape(q)
        values = [p.reshape((*rows, *self.event)) for p in parameters(q)]
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
    least = LEAST_DIMS.get(type(q))
    if least is None:
        return _brought(q)
    p, *others = parameters(q)
    full = p.dtype in FULL and (not others or others[0].dtype in FULL)
    if p.dim() < least or not full or 0 in p.shape[-2 if least == 3 else -1 :]:
        return _brought(q)
    if others or (logits := _bounded(p)) is p:  # as most are given: nothing is copied
        return Given(q, None)
    return Given(again(q, logits), None)


def as_given(q: Distribution) -> tuple[Tensor, ...]:
    """q's parameters, (loc, scale) or (logits,), in the shape and precision in which they were given."""
    return parameters(_unwrapped(q)[0])


def checked(f: Any, q: Distribution, estimator: Any) -> "CheckedObjective":
    """f for the q that methods take, `given.q`."""
    given = canonical(q)
    return CheckedObjective(f, given, q, estimator, 2 if isinstance(given.q, OneHotCategorical) else 1)


def _bounded(logits: Tensor) -> Tensor:
    """See `distributions.bounded`."""
    return logits if _finite.get() else bounded(logits)


def _brought(q: Distribution) -> Given:
    """`canonical` of a q that must be changed, or refused."""
    inner, wrapped = _unwrapped(q)
    family(inner)
    values = parameters(inner)
    own = 1 if isinstance(inner, OneHotCategorical) else 0
    shape = values[0].shape
    batch = len(shape) - own
    # Without Independent the last dim of the batch is the event's, but where there is none to spare.
    taken = wrapped if wrapped is not None else 0 if own and batch == 1 else min(1, batch)
    rows, event = shape[: batch - taken], shape[batch - taken :]
    if math.prod(event) == 0:
        raise BadInput(f"q has events of shape {list(event)}, without a number; expected at least one latent")
    values = tuple(p.reshape(*rows, math.prod(event[: len(event) - own]), *event[len(event) - own :]) for p in values)
    dtype = functools.reduce(torch.promote_types, [p.dtype for p in values])
    if not dtype.is_floating_point:
        raise BadInput(f"q has parameters of type {str(dtype).removeprefix('torch.')}; expected floating-point ones")
    half = None if dtype in FULL else dtype
    values = tuple(p.to(dtype if half is None else torch.float32) for p in values)
    if half is not None and own:
        values = (log_softmax(values[0]),)  # log probabilities were rounded, and do not sum to 1
    if not isinstance(inner, Normal):
        values = (_bounded(values[0]),)
    return Given(again(inner, *values), Form(event, wrapped, half))


def described(q: Distribution) -> str:
    """q in a few words for a message: its family's class, rows and event."""
    inner, wrapped = _unwrapped(q)
    name = type(inner).__name__ if wrapped is None else f"Independent({type(inner).__name__}, {wrapped})"
    given = canonical(q)
    event = event_shape(given.q) if given.form is None else given.form.event
    return f"{name} of rows {list(row_shape(given.q))} and events {list(event)}"


def _uncounted(f: Any) -> Any:
    """f without what counts its evaluations, so that a look is not counted."""
    from estimators.contract import CountedObjective  # which needs the contract's page, that imports this one

    if isinstance(f, CheckedObjective):
        return replace(f, f=_uncounted(f.f), look=None)
    return _uncounted(f.f) if isinstance(f, CountedObjective) else f


@dataclass(slots=True)
class CheckedObjective:
    """f as a method calls it: in the form that f was written for, and held to the shape that it must return."""

    f: Any
    given: Given
    as_given: Distribution
    """q as the caller has it."""
    estimator: Any
    """Its label is for messages."""
    dims: int
    """Of an event, as methods have it."""
    look: Look | None = None
    """Watches what is asked of f, in calls that look at it."""
    half: bool = False
    """Whether f was seen to compute in half precision."""

    def __call__(self, z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
        """Evaluate f at z [S, *B, *event]; returns [S, *B].

        Raises:
            BadInput: f returns something else.
        """
        form, at, seen = self.given.form, z, q
        if form is not None:
            at, seen = form.z(z, self.dims), form.q(q)
        if self.look is not None:
            self.look.note(z, q)
            seen = self.look.watched(seen)
        value: Any = self.f(at, seen, *more)
        rows = z.shape[: -self.dims]
        if not isinstance(value, Tensor) or value.shape != rows or not value.is_floating_point():
            self._refuse(value, rows, z.shape[-self.dims :] if form is None else form.event)
        if not value.requires_grad and z.requires_grad and torch.is_grad_enabled():
            value = value + 0 * z.flatten(-self.dims).sum(-1)  # f does not depend on z: its gradient is 0, not missing
        if value.dtype not in FULL:  # sums over draws and rows are not to be rounded as f's own are
            self.half, value = True, value.float()
        result: Tensor = value
        return result

    def conclude(self) -> None:
        """Refuse an f that does not give what the watched call asked of it; see `Look.conclude`."""
        assert self.look is not None
        plain = replace(self, f=_uncounted(self.f), look=None)
        half = self.half or (self.given.form is not None and self.given.form.dtype is not None)
        self.look.conclude(plain, self.given.q, half=half)

    def _refuse(self, value: object, rows: torch.Size, event: torch.Size) -> None:
        place = f"z {[*rows, *event]}, q being {described(self.as_given)}"
        if not isinstance(value, Tensor):
            raise BadInput(
                f"{self.estimator.label}: f returned a {type(value).__name__} for {place}; expected a tensor [S, *B]"
            )
        expected = f"expected {list(rows)}, one number for each draw and row of q"
        if value.shape == rows:
            kind = str(value.dtype).removeprefix("torch.")
            raise BadInput(
                f"{self.estimator.label}: f returned numbers of type {kind} for {place}; expected floating-point ones"
            )
        cause = _cause(value.shape, rows, event)
        raise BadInput(f"{self.estimator.label}: f returned {list(value.shape)} for {place}; {expected}: {cause}")


def _cause(found: torch.Size, rows: torch.Size, event: torch.Size) -> str:
    """What usually leads to this shape, and what to do."""
    if found == (*rows, 1) and event != (1,):
        return "take the last dim away with .squeeze(-1)"
    if found == (*rows, *event) and event:
        return f"sum over the event, {'.sum(-1)' if len(event) == 1 else f'.sum({tuple(range(-len(event), 0))})'}"
    if len(found) > len(rows) and found[: len(rows)] == rows and found[len(rows) :] == event[: len(found) - len(rows)]:
        return "sum over the latents, or say by Independent(q, 0) that they are rows"
    if len(found) < len(rows):
        return "do not reduce over draws or rows"
    return "keep the dims of the draws and rows, and sum over all that is after them"


def refuse_family(label: str, families: tuple[str, ...], q: Distribution) -> None:
    """Raise, as an estimator is called for a q that is not its own.

    Raises:
        BadInput: always.
    """
    raise BadInput(f"{label} is for {' and '.join(families)} latents; q is a {described(q)}")


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


def to_look_at(f: object, q: Distribution) -> int | None:
    """What stands for f in the memory of an estimator; None where a look is not wanted or not possible."""
    if _looked.get() or not torch.is_grad_enabled():
        return None
    values = parameters(q)
    if not any(p.requires_grad for p in values) or values[0].device.type == "meta" or not watchable(values[0]):
        return None
    return known_by(f)


def copied(q: Distribution) -> Distribution:
    """q with copies of its parameters."""
    inner, wrapped = _unwrapped(q)
    copy = again(inner, *(p.clone() for p in parameters(inner)))
    return copy if wrapped is None else Independent(copy, wrapped, validate_args=False)
