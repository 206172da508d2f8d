"""A point of a person's own model: q and f as they are called with, and what else the loss and the graph hold."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from bench.measure.determined import for_leading_dims
from bench.problems.base import PointProblem
from bench.seeds import stream
from estimators.base import Objective
from estimators.call import check_context
from estimators.distributions import event_shape, parameters, row_shape, sample
from estimators.errors import BadInput
from estimators.families import Family, family_of
from estimators.objective import CheckedObjective, checked

Term = Callable[[Distribution], Tensor]
"""A function of q alone, to [*B]."""


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
        if self.context is not None:
            check_context(self.name, self.context, at)
        if self.closed_form is not None:
            _check_term("closed_form", self.closed_form, self.q, self.rows)
        if self.through is not None:
            _ = self.weights

    @classmethod
    def of(cls, problem: PointProblem) -> "Point":
        """The point that a problem of a suite is."""
        exact = problem.expectation if problem.exact_method is not None else None
        closed = None if type(problem).closed_form is PointProblem.closed_form else problem.closed_form
        q, f, context = problem.q(), problem.f(), problem.context()
        return cls(q, f, context, closed, expectation=exact, name=problem.label)  # type: ignore[arg-type]

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
        """The closed form at a q in the form that methods take."""
        return None if self.closed_form is None else self.closed_form(self._as_given(q))

    def exact(self, q: Distribution) -> Tensor | None:
        """The known expectation at such a q."""
        return None if self.expectation is None else self.expectation(self._as_given(q))

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
            found = torch.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)
        reached = tuple(w for w, g in zip(wanted, found, strict=True) if g is not None)
        if not reached:
            raise BadInput(
                "q's parameters do not depend on any weight of through: make q from them outside of torch.no_grad(), "
                "and do not detach it"
            )
        return reached

    def fingerprint(self) -> str:
        """16 hex digits of q's parameters and of f at four draws: two points of one name are told apart by it."""
        values = [p.detach() for p in parameters(self.at)]
        q = self.family.again(*values)
        with torch.no_grad():
            cost = self.plain(sample(q, 4, stream("fingerprint", device=values[0].device)), q)
        digest = hashlib.sha256()
        for tensor in (*values, cost):
            digest.update(tensor.double().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def _check_term(name: str, term: Term, q: Distribution, rows: torch.Size) -> None:
    """Refuse a closed form that is not one number a row, or not a function of q alone."""
    value: Any = term(q)
    if not isinstance(value, Tensor) or value.shape != rows:
        found = list(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise BadInput(f"{name} returned {found} for q of rows {list(rows)}; expected {list(rows)}, one number a row")
    again = term(q)
    if not torch.equal(value.detach(), again.detach()):
        raise BadInput(
            f"{name} has noise of its own: at one q it is {float(value.detach().flatten()[0]):g}, and then "
            f"{float(again.detach().flatten()[0]):g}; let it be a function of q alone"
        )


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


def fresh_points(make: Callable[[], Any], count: int, seed: int) -> Iterator[Point]:
    """Points of fresh minibatches, with torch's global generator seeded for each and put back afterwards.

    Args:
        make: returns a point, of a minibatch that it draws from torch's global generator or by itself.
        count: how many.
        seed: of the generator.

    Raises:
        BadInput: what it returns is no point, or its points differ in more than their numbers.
    """
    first: Point | None = None
    for index in range(count):
        with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_initialized() else []):
            torch.manual_seed(stream("minibatch", seed, index).initial_seed())
            point = point_of(make())
        first = first or point
        for what, a, b in (
            ("family", first.family.name, point.family.name),
            ("rows", list(first.rows), list(point.rows)),
            ("event", list(first.event), list(point.event)),
            ("number of weights", len(first.weights), len(point.weights)),
        ):
            if a != b:
                raise BadInput(f"minibatches differ in {what}: {a} and {b}; make points of one shape (drop_last=True)")
        yield point
