"""f as a method calls it: in the form that it was written for, watched where it is looked at, its result checked."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from estimators.call import FULL, Given, canonical, described, looks_are_left_out
from estimators.distributions import parameters, row_shape
from estimators.errors import BadInput
from estimators.examine import Look, known_by
from estimators.families import family_of
from estimators.families.logits import watchable


class CountedObjective:
    """f, counting how many times a row it is evaluated."""

    def __init__(self, f: Any) -> None:
        self.f = f
        self.evaluations = 0

    def __call__(self, z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
        """Evaluate f, and count the draws in z; what else f takes is passed on."""
        self.evaluations += len(z)
        value: Tensor = self.f(z, q, *more)
        return value


def checked(f: Any, q: Distribution, estimator: Any) -> "CheckedObjective":
    """f for the q that methods take, `given.q`."""
    given = canonical(q)
    return CheckedObjective(f, given, q, estimator, 1 + family_of(given.q).latent_dims)


def _uncounted(f: Any) -> Any:
    """f without what counts its evaluations, so that a look is not counted."""
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
    fold: bool = False
    """Whether f takes z of q's own rows alone, so that it is called for further leading dims one by one."""

    def __call__(self, z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
        """Evaluate f at z [S, *B, *event]; returns [S, *B].

        Raises:
            BadInput: f returns something else.
        """
        if self.fold and (lead := z.shape[1 : z.dim() - self.dims - len(row_shape(self.given.q))]):
            return self._folded(lead, z, q, *more)
        form, at, seen = self.given.form, z, q
        if form is not None:
            at, seen = form.z(z, family_of(q)), form.q(q)
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

    def _folded(self, lead: torch.Size, z: Tensor, q: Distribution, *more: Any) -> Tensor:
        """f at z [S, *lead, *B, *event]: in one call where the dims `lead` share q, else one after another."""
        values, own = parameters(q), len(row_shape(self.given.q))
        if len(row_shape(q)) <= own:
            flat: Tensor = self(z.flatten(0, len(lead)), q, *more)
            return flat.reshape(len(z), *lead, *flat.shape[1:])
        kept = [p.expand(*lead, *p.shape[len(row_shape(q)) - own :]).flatten(0, len(lead) - 1) for p in values]
        each = z.flatten(1, len(lead)).unbind(1)
        family = family_of(q)
        costs = [self(one, family.again(*(p[i] for p in kept)), *more) for i, one in enumerate(each)]
        return torch.stack(costs, 1).reshape(len(z), *lead, *costs[0].shape[1:])

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


def to_look_at(f: object, q: Distribution) -> int | None:
    """A key for f, by which an estimator counts its calls; None where f is not to be looked at, or cannot be."""
    if looks_are_left_out() or not torch.is_grad_enabled():
        return None
    values = parameters(q)
    if not any(p.requires_grad for p in values) or values[0].device.type == "meta" or not watchable(values[0]):
        return None
    return known_by(f)
