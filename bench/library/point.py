"""A point of a person's own model: q and f as they are called with, and what else the loss and the graph hold."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.distributions import Distribution

from bench.bounds import Word, shown
from bench.measure.determined import for_leading_dims, holds, own_tensors, unlike
from bench.problems.base import PointProblem
from bench.seeds import stream
from estimators.base import Objective
from estimators.call import check_context, described
from estimators.distributions import event_shape, parameters, row_shape, sample
from estimators.errors import BadInput
from estimators.examine import moderate
from estimators.families import Family, family_of
from estimators.objective import CheckedObjective, checked

Term = Callable[[Distribution], Tensor]
"""A function of q alone, to [*B]."""

_WORD: TypeAdapter[str] = TypeAdapter(Word)


class Caller(NamedTuple):
    """Stands where a message names an estimator."""

    label: str


@dataclass(frozen=True, eq=False)
class Point:
    """A q whose parameters stay where they are, with its f.

    Args:
        q: the distribution of the latents, rows *B, in any of the forms that docs/calls.md lists.
        f: the objective, z [S, *B, *event] and q to [S, *B].
        context: what q was computed from, [*B, X], for input-dependent baselines; None for nothing.
        closed_form: what the loss holds besides E_q[f], a function of q to [*B], such as an analytic KL divergence.
        through: weights in the graph that q's parameters hang in, as a module or as tensors: the variance of their
            gradient is measured too.
        expectation: E_q[f] where it is known, a function of q to [*B], differentiable in q's parameters.
        name: what tables and figures call the point.

    Raises:
        BadInput: q is no distribution of a known family, f is no function, or `through` has no weight in q's graph.
    """

    q: Distribution
    f: Objective
    context: Tensor | None = None
    closed_form: Term | None = None
    through: nn.Module | Sequence[Tensor] | None = None
    expectation: Term | None = None
    name: str = "point"

    def __post_init__(self) -> None:
        if not isinstance(self.q, Distribution):
            raise BadInput(f"q is of type {type(self.q).__name__}; expected a torch.distributions object")
        for name, given in (("f", self.f), ("closed_form", self.closed_form), ("expectation", self.expectation)):
            if not callable(given) and not (given is None and name != "f"):
                raise BadInput(f"{name} is of type {type(given).__name__}; expected a function")
        try:
            at = self.at
        except TypeError as error:
            raise BadInput(str(error)) from error
        if parameters(at)[0].numel() == 0:
            raise BadInput(f"q has no rows to measure at: its parameters are {list(parameters(at)[0].shape)}")
        if self.family.latent_dims and not self.rows:  # its parameters [L, C] would be read as L rows of one latent
            raise BadInput(f"q is {described(self.q)}: give its parameters a first dim of 1, for its one row")
        if not isinstance(self.name, str) or not self.name:
            raise BadInput(f"name = {self.name!r}; expected a word")
        try:
            _WORD.validate_python(self.name)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise BadInput(f"name = {shown(self.name)}: {why}") from error
        if self.context is not None:
            if not isinstance(self.context, Tensor):
                raise BadInput(f"context is of type {type(self.context).__name__}; expected a tensor [*B, X]")
            check_context(self.name, self.context, at)
        if self.closed_form is not None:
            self._check_term("closed_form", self.closed_form)
        if self.expectation is not None:
            self._check_term("expectation", self.expectation)
        if self.through is not None:
            self._check_through()

    @classmethod
    def of(cls, problem: PointProblem) -> "Point":
        """The point that a problem of a suite is."""
        exact = problem.expectation if problem.exact_method is not None else None
        own = type(problem).closed_form is not PointProblem.closed_form
        closed = cast(Term, problem.closed_form) if own else None  # a problem's own is a tensor everywhere, or None
        return cls(problem.q(), problem.f(), problem.context(), closed, expectation=exact, name=problem.label)

    @cached_property
    def plain(self) -> CheckedObjective:
        """f, held to its shape, for z of q's own rows; its q is in the form that methods take."""
        return checked(self.f, self.q, Caller(self.name))

    @cached_property
    def objective(self) -> CheckedObjective:
        """The same, for z of further leading dims too."""
        return for_leading_dims(self.plain)

    @property
    def at(self) -> Distribution:
        """q in the form that methods take, in its graph."""
        return self.plain.given.q

    @property
    def family(self) -> Family:
        """The family of q."""
        return family_of(self.at)

    @property
    def rows(self) -> torch.Size:
        """*B."""
        return row_shape(self.at)

    @property
    def event(self) -> tuple[int, ...]:
        """Shape of an event as methods have it, [D] or [L, C]."""
        return tuple(event_shape(self.at))

    def closed(self, q: Distribution) -> Tensor | None:
        """The closed form at a q in the form that methods take, of these rows or of further leading dims."""
        if self.closed_form is None:
            return None
        lead = row_shape(q)[: len(row_shape(q)) - len(self.rows)]
        if not lead or self._closed_takes_leading_dims:
            return self.closed_form(self._as_given(q))
        values = [p.flatten(0, len(lead) - 1) for p in parameters(q)]
        each = (self.family.again(*(p[i] for p in values)) for i in range(lead.numel()))
        return torch.stack([self.closed_form(self._as_given(one)) for one in each]).reshape(*lead, *self.rows)

    @cached_property
    def _closed_takes_leading_dims(self) -> bool:
        """Whether the closed form is the same at a q of [L, *B], as one is not that names dims from the left."""
        assert self.closed_form is not None
        values = [p.detach() for p in moderate(self.at)]
        lead = unlike(values[0].shape)
        one, many = (self.family.build(*v) for v in (values, [p.expand(lead, *p.shape) for p in values]))
        try:
            expected, found = self.closed_form(self._as_given(one)), self.closed_form(self._as_given(many))
        except Exception:  # of foreign code, which was not written for such dims
            return False
        same = found.shape == (lead, *self.rows) and torch.allclose(
            found, expected.expand_as(found), rtol=1e-4, atol=1e-6
        )
        return bool(same)

    def exact(self, q: Distribution) -> Tensor | None:
        """The known expectation at such a q, of these rows."""
        return None if self.expectation is None else self.expectation(self._as_given(q))

    def _check_term(self, name: str, term: Term) -> None:
        """Refuse a term that is not one number a row, or not a function of its argument alone.

        Raises:
            BadInput: see above, or the term raises.
        """
        rows = self.rows
        moved = [p.requires_grad_() for p in moderate(self.at)]
        try:
            value: Any = term(self.q)
            again: Any = term(self.q)
            other: Any = term(self._as_given(self.family.build(*moved)))
        except Exception as error:  # of foreign code, whose reason is wanted
            raise BadInput(f"{name} raises {type(error).__name__}: {str(error).partition(chr(10))[0]}") from error
        if not isinstance(value, Tensor) or value.shape != rows:
            found = list(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise BadInput(
                f"{name} returned {found} for q of rows {list(rows)}; expected {list(rows)}, one number a row"
            )
        if not torch.equal(value.detach(), again.detach()):
            first, second = (float(x.detach().flatten()[0]) for x in (value, again))
            raise BadInput(
                f"{name} has noise of its own: at one q it is {first:g}, and then {second:g}; let it be a function of "
                "q alone"
            )
        used: Sequence[Tensor | None] = ()
        if other.requires_grad:
            used = torch.autograd.grad(other.sum(), moved, allow_unused=True, retain_graph=True)
        if all(g is None for g in used):
            raise BadInput(
                f"{name} does not depend on its argument: let it use the q that it is given, not one by a name of its "
                "own (a constant has no gradient and can be left out)"
            )
        if own := own_tensors(self.q):
            held = torch.autograd.grad(other.sum(), own, allow_unused=True, retain_graph=True)
            if any(g is not None for g in held):
                raise BadInput(f"{name} uses q by a name of its own beside its argument: let it use the argument alone")

    def _check_through(self) -> None:
        """Refuse weights that f holds too, since the variance of their whole gradient is not that through q.

        Raises:
            BadInput: f's value has a gradient in one of them; see `weights`.
        """
        weights, held = self.weights, False
        with suppress(Exception):  # an f that cannot be called is refused where it is examined
            held = holds(self.plain, weights)
        if held:
            raise BadInput(
                "f holds weights of through too, as a tied decoder does, and the variance of their whole gradient is "
                "not that through q: give those that q alone depends on"
            )

    def _as_given(self, q: Distribution) -> Distribution:
        form = self.plain.given.form
        return q if form is None else form.q(q)

    @cached_property
    def weights(self) -> tuple[Tensor, ...]:
        """Those of `through` that q's parameters depend on.

        Raises:
            BadInput: there are none, or `through` holds something else.
        """
        given = self.through
        if given is None:
            return ()
        if isinstance(given, nn.Module):
            given = [*given.parameters()]
        if not isinstance(given, Sequence) or not all(isinstance(one, Tensor) for one in given):
            kind = type(self.through).__name__
            raise BadInput(f"through is of type {kind}; expected a module or a list of tensors, weights behind q")
        wanted = [one for one in given if one.requires_grad]
        outputs = [p for p in parameters(self.at) if p.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(wanted)
        if wanted and outputs:
            total = sum(p.sum() for p in outputs)
            assert isinstance(total, Tensor)
            try:
                found = torch.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)
            except RuntimeError as error:  # a backward pass or a step of an optimiser lies in between
                raise BadInput(
                    "the graph of q's parameters is gone (a backward pass went through it): make q anew"
                ) from error
        reached = tuple(w for w, g in zip(wanted, found, strict=True) if g is not None)
        if not reached:
            raise BadInput(
                "q's parameters do not depend on any weight of through: make q from them outside of torch.no_grad(), "
                "and do not detach it"
            )
        return reached

    @cached_property
    def mark(self) -> str:
        """The fingerprint as it was when this was first read."""
        return self.fingerprint()

    def fingerprint(self) -> str:
        """16 hex digits of q's parameters, of f at four draws, and of the terms and the context.

        Two points of one name are told apart by it, and a point whose functions read what has changed since.
        """
        values = [p.detach() for p in parameters(self.at)]
        q = self.family.again(*values)
        with torch.no_grad():
            parts = [*values, self.plain(sample(q, 4, stream("fingerprint", device=values[0].device)), q)]
            parts += [term(self.q) for term in (self.closed_form, self.expectation) if term is not None]
        digest = hashlib.sha256()
        for tensor in (*parts, *([] if self.context is None else [self.context])):
            digest.update(tensor.detach().double().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


Given = Point | tuple[Distribution, Objective] | PointProblem
"""What a point may be given as."""


def point_of(given: Any) -> Point:
    """A point from what a person passes: a `Point`, a pair (q, f), or a problem of a suite.

    Raises:
        BadInput: it is something else.
    """
    if isinstance(given, Point):
        return given
    if isinstance(given, PointProblem):
        return Point.of(given)
    if isinstance(given, tuple) and len(given) == 2:
        return Point(*given)
    kind = f"a tuple of {len(given)}" if isinstance(given, tuple) else f"of type {type(given).__name__}"
    pair = "; for a q and its f write (q, f)" if isinstance(given, Distribution) else ""
    raise BadInput(
        f"the point is {kind}; expected Point(q, f, ...), a pair (q, f), or a function that makes one of a fresh "
        f"minibatch{pair}"
    )
