"""`compare` at equal evaluations of f: what is measured draws as many samples as its row says."""

import pytest
import torch
from torch.distributions import Normal, OneHotCategorical

import gradest


def test_f_evals_decides_the_samples_that_are_drawn() -> None:
    """Independent draws of a linear f, whose pathwise gradient in scale has variance 1 / S."""
    q = Normal(torch.zeros(1, 1), torch.ones(1, 1))
    labels = ["reparameterization", "rloo"]
    found = gradest.compare((q, lambda z, q: z.sum(-1)), labels, f_evals=8, draws=2000, timed=False).frame()
    assert found["samples"].tolist() == found["f_evals"].tolist() == [8, 8]
    (pathwise,) = found.loc[found["estimator"] == "reparameterization", "variance"]
    assert pathwise == pytest.approx(1 / 8, rel=0.15)


def test_an_estimator_that_refuses_so_many_samples_is_skipped_and_the_others_go_on() -> None:
    """unordered-set sums over the orders of a set, of at most ten draws."""
    q = OneHotCategorical(logits=torch.zeros(1, 12))
    comparison = gradest.compare(
        (q, lambda z, q: z @ torch.arange(12.0)), ["rloo", "unordered-set"], f_evals=11, draws=100, timed=False
    )
    assert comparison.frame()["estimator"].tolist() == ["rloo"]
    assert "takes between 2 and 10 samples" in comparison.skipped["unordered-set"]
