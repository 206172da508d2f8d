"""A gradient as what is integrated over an estimator's noise: any of q's rows, at many values of the noise at once."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.seeds import stream
from estimators.base import Estimator, Objective
from estimators.call import Form, trusted
from estimators.contract import checked
from estimators.distributions import event_shape, parameter_shapes, parameters, row_shape, sample
from estimators.families import Enumerated, family_of
from estimators.integration import Evaluated, NotIntegrable, Source
from estimators.integration.signature import Signature
from estimators.objective import CheckedObjective

DOUBLE = torch.float64


class RowsIntegrand:
    """The gradient of an estimator as what is integrated over its noise, for B rows of a q.

    Args:
        estimator: frozen.
        objective: its q has the rows, *B in all.
        context: as the estimator is given it.
    """

    def __init__(self, estimator: Estimator, objective: CheckedObjective, context: Tensor | None) -> None:
        q = objective.given.q
        rows, event = row_shape(q), event_shape(q)
        self.estimator, self.family, self.f = estimator, family_of(q), OfRows.of(objective)
        shapes = self.family.parameter_shapes(event)
        values = zip(parameters(q), shapes, strict=True)
        self.values = [p.detach().to(DOUBLE).reshape(-1, *shape) for p, shape in values]  # B x shape
        self.context: Tensor | None = None
        if context is not None:
            self.context = context.detach().to(DOUBLE).expand(*rows, -1).reshape(-1, context.shape[-1])  # B x X
        self.problems = len(self.values[0])
        self.logits = self.chances = None
        if isinstance(self.family, Enumerated):
            self.logits, self.chances = self.values[0], self.family.outcome_chances(self.values[0])
        self.relaxed: set[int] = set()

    def __call__(self, source: Source, rows: Tensor) -> Evaluated:
        """See `estimators.integration.design.Integrand`."""
        nodes, count = source.rows
        leaves = [v[rows].expand(nodes, *v[rows].shape).clone().requires_grad_() for v in self.values]
        q = self.family.build(*leaves)
        signature = Signature(self.family, self.values[0][rows], self.relaxed)
        f = signature.watching(self.f.chosen(rows, self.problems))
        context = None if self.context is None else self.context[rows]
        noise = source.noise_of(self.estimator, context)
        with source, trusted():
            try:
                surrogate = checked(self.estimator(q, f, generator=noise, context=context), q).surrogate
            except Exception as error:  # foreign code, which may hide that the source has no rule for it
                said = " ".join(str(error).split())[:200]
                raise NotIntegrable(source.failure or f"it raises {type(error).__name__} there: {said}") from error
        found = torch.autograd.grad(surrogate.sum(), leaves)
        gradient = torch.cat([g.reshape(nodes, count, -1) for g in found], -1)
        return Evaluated(gradient, signature.total(nodes, count), signature.met(nodes, count))


@dataclass
class OfRows:
    """f as it was written, for q's of [N, b] rows: some of the B = prod(*B) that it knows."""

    f: Objective
    form: Form
    """In which f sees z and q."""
    rows: torch.Size
    """*B."""
    dims: int
    """Of an event."""
    fill: Tensor
    """[B], which of the b rows stands in the place of each of the B; their costs are not looked at."""
    own: Tensor
    """[b], places of the b rows among the B."""

    @classmethod
    def of(cls, objective: CheckedObjective) -> "OfRows":
        """For all rows of the objective's q, in double where f takes that."""
        (q, form), every = objective.given, torch.empty(0, dtype=torch.long)
        form = form or Form(event_shape(q), None, None)
        own = form.dtype or next((p.dtype for p in parameters(q) if p.dtype != DOUBLE), None)
        family, dims = family_of(q), len(event_shape(q))
        wide = family.again(*(p.detach().to(DOUBLE) for p in parameters(q)))
        form = form._replace(dtype=None)
        try:
            with torch.no_grad():
                objective.f(form.z(sample(wide, 1, stream("exact")), family), form.q(wide))
        except Exception:  # f may hold single-precision weights
            form = form._replace(dtype=own)
        return cls(objective.f, form, row_shape(q), dims, every, every)

    def chosen(self, rows: Tensor, count: int) -> "OfRows":
        """For these of all `count` rows."""
        fill = torch.zeros(count, dtype=torch.long)
        fill[rows] = torch.arange(len(rows))
        return OfRows(self.f, self.form, self.rows, self.dims, fill, rows)

    def __call__(self, z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
        """z [..., b, *event] to [..., b]."""
        shapes = parameter_shapes(q)
        at = family_of(q).again(*(self._filled(p, len(s)) for p, s in zip(parameters(q), shapes, strict=True)))
        value = self.f(self.form.z(self._filled(z, self.dims), family_of(q)), self.form.q(at), *more)
        return value.reshape(*z.shape[: -1 - self.dims], -1).index_select(-1, self.own).to(DOUBLE)

    def _filled(self, x: Tensor, dims: int) -> Tensor:
        """x [..., b, *shape], the shape having `dims` dims, as [..., *B, *shape]."""
        place = x.dim() - 1 - dims
        return x.index_select(place, self.fill).reshape(*x.shape[:place], *self.rows, *x.shape[place + 1 :])
