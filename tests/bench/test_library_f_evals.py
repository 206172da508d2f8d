"""`compare` at equal evaluations of f: what is measured draws as many samples as its row says."""

import pytest
import torch
from torch.distributions import Normal

import gradest


def test_f_evals_decides_the_samples_that_are_drawn() -> None:
    """Independent draws of a linear f, whose pathwise gradient in scale has variance 1 / S."""
    q = Normal(torch.zeros(1, 1), torch.ones(1, 1))
    labels = ["reparameterization", "rloo"]
    found = gradest.compare((q, lambda z, q: z.sum(-1)), labels, f_evals=8, draws=2000, timed=False).frame()
    assert found["samples"].tolist() == found["f_evals"].tolist() == [8, 8]
    (pathwise,) = found.loc[found["estimator"] == "reparameterization", "variance"]
    assert pathwise == pytest.approx(1 / 8, rel=0.15)
