"""A grid of problems as what is integrated over the noise of an estimator."""

import torch
from torch import Tensor

from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.sampling import Prepared, call, gradients, with_projection
from estimators.contract import Broken
from estimators.families import Enumerated
from estimators.integration import Evaluated, NotIntegrable, Source
from estimators.integration.signature import Signature


class GridIntegrand:
    """The columns of a `Tally`: what an estimator returns on a grid, minus what it should in mean."""

    def __init__(self, prepared: Prepared, grid: Grid, rows: Tensor) -> None:
        self.prepared, self.grid, self.chosen = prepared, grid, rows
        self.problems = len(rows)
        self.relaxed: set[int] = set()
        self.logits = self.chances = None
        if isinstance(grid.kind, Enumerated):
            self.logits = grid.values[0][rows]
            self.chances = grid.kind.outcome_chances(self.logits)

    def __call__(self, source: Source, rows: Tensor) -> Evaluated:
        """See `estimators.integration.design.Integrand`."""
        grid, nodes = self.grid, source.rows[0]
        index = self.chosen[rows]
        values = [v[index].expand(nodes, *v[index].shape).clone().requires_grad_() for v in grid.values]
        theta = grid.theta[index].expand(nodes, len(rows)).clone().requires_grad_()
        signature = Signature(grid.kind, grid.values[0][index], self.relaxed)
        f, context = signature.watching(grid.f(theta, index.tolist())), self.prepared.context[index]
        noise = source.noise_of(self.prepared.estimator, context)
        try:
            with source:
                estimate = call(self.prepared.estimator, grid.family, values, f, noise, context)
        except Broken as error:
            raise NotIntegrable(source.failure or str(error)) from error
        found = [
            (torch.zeros_like(leaf) if g is None else g).reshape(nodes, len(rows), -1)
            for g, leaf in zip(gradients(estimate.surrogate, (*values, theta)), (*values, theta), strict=True)
        ]
        columns = torch.cat([*found, estimate.value.detach()[..., None].to(DOUBLE)], -1)
        errors = with_projection(columns - grid.exact[index], grid.exact[index])
        return Evaluated(errors, signature.total(nodes, len(rows)), signature.met(nodes, len(rows)))
