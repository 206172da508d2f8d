"""`compare` at a point of one row: the variance of weights is measured, and what rows vary between is left out."""

import math

import pytest
import torch
from torch.distributions import Normal

import gradest


@pytest.mark.parametrize("minibatches", [0, 5])
def test_the_weights_behind_one_row(minibatches: int) -> None:
    """f = z: the gradient in a weight w that loc = 3 w and scale = 2 w hang on is 3 + 2 epsilon, of variance 4."""
    w = torch.ones(1, 1, requires_grad=True)

    def point() -> gradest.Point:
        return gradest.Point(Normal(3 * w, 2 * w), lambda z, q: z.sum(-1), through=[w])

    comparison = gradest.compare(
        point if minibatches else point(), "reparameterization", draws=4000, minibatches=5, timed=False
    )
    row = comparison.frame().iloc[0]
    assert row.weights_variance == pytest.approx(4, rel=0.15)
    assert "nan" not in comparison._repr_html_().lower()
    if minibatches:
        assert row.minibatch_variance == pytest.approx(0, abs=1e-9)  # all are alike
    else:
        assert math.isnan(row.minibatch_variance)
