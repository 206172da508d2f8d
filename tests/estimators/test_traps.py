"""Known traps of published implementations, each as a test.

Certificates cover the rest: a baseline that has seen its own cost (checks state and unbiased), noise terms left in f
(evaluations), reductions over the batch (rows), and every estimator's bias (unbiased).
"""

import itertools
import math

import pytest
import torch

import estimators
from estimators.distributions import log_prob
from estimators.entry import Entry
from estimators.noise import Noise
from tests.estimators.cases import build, leaves
from tests.estimators.drawing import (
    conditional_gumbel_scores,
    conditional_logistic_scores,
    gumbel_scores,
    hard,
    logistic_scores,
)
from tests.estimators.tables import ALMOST_ONE, Constant

LOGITS = {"bernoulli", "categorical"}


@pytest.mark.parametrize("logit", [0.0, 6.0, 13.0, 15.0, 50.0, -15.0, -50.0])
def test_the_conditional_relaxation_has_the_sign_of_its_draw_and_the_right_law(logit: float) -> None:
    """Clipping the noise at 1e-6 gives a rare draw the wrong sign for every |logit| above 13.8."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.full((200_000,), logit, dtype=torch.float64)
    u, v = (torch.rand(200_000, generator=generator, dtype=torch.float64).clamp_min(1e-300) for _ in range(2))
    u[:1000] = torch.sigmoid(torch.tensor(-logit, dtype=torch.float64)) * 1e-3  # draws of the rarer kind
    b = hard(logistic_scores(logits, u / (1 - u)), categorical=False)
    again = conditional_logistic_scores(logits, b, v / (1 - v))
    assert torch.equal((again > 0).double(), b)
    assert bool(again.isfinite().all())
    noise = again[1000:] - logit  # a logistic number, if b is drawn and then the relaxation given b
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(noise.var()) == pytest.approx(math.pi**2 / 3, rel=0.02)


@pytest.mark.parametrize("logit", [0.0, 6.0, 15.0, 50.0, -50.0])
def test_the_conditional_relaxation_of_categories_has_the_argmax_of_its_draw_and_the_right_law(logit: float) -> None:
    """Given the draw, the largest score is one Gumbel number and the others are cut off there."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.tensor([logit, 0.0, -1.0], dtype=torch.float64).expand(200_000, 3)
    u, v = (torch.rand(200_000, 3, generator=generator, dtype=torch.float64).clamp_min(1e-300) for _ in range(2))
    b = hard(gumbel_scores(logits, u / (1 - u)), categorical=True)
    b[:1000] = torch.eye(3, dtype=torch.float64)[torch.arange(1000) % 3]  # whatever is rare, too
    again = conditional_gumbel_scores(logits, b, v / (1 - v))
    assert torch.equal(hard(again, categorical=True), b)
    assert bool(again.isfinite().all())
    noise = (again - logits.log_softmax(-1))[1000:]  # independent Gumbel numbers, if b is drawn first
    for k in range(3):
        assert float(noise[:, k].mean()) == pytest.approx(0.5772, abs=0.02)
        assert float(noise[:, k].var()) == pytest.approx(math.pi**2 / 6, rel=0.03)
    assert float(torch.corrcoef(noise.T).fill_diagonal_(0).abs().max()) < 0.02


@pytest.mark.parametrize("entry", [e for e in estimators.available() if set(e.families) & LOGITS], ids=lambda e: e.name)
def test_large_logits_and_the_ends_of_uniform_noise_leave_gradients_finite(entry: Entry) -> None:
    """torch.rand returns 0, and all but 1, whose Gumbel and logistic numbers would be infinite."""
    many = {entry.samples.default} if entry.samples.default == 1 or entry.samples.even else {2, 3, 5}
    for dtype, family in itertools.product((torch.float32, torch.float64), set(entry.families) & LOGITS):
        event = (2, 3) if family == "categorical" else (3,)
        for level, samples in itertools.product((0.0, 6.0, 50.0, 300.0), many):
            values = [v.detach().to(dtype).requires_grad_() for v in leaves(family, level, rows=4)]
            values[0].data[::2] *= -1
            estimator = entry.create(samples=samples).bind(event=event).to(dtype)
            for noise in (Constant(0.0), Constant(ALMOST_ONE), Noise(torch.Generator().manual_seed(0))):
                q = build(family, values)
                estimate = estimator.estimate(q, lambda z, q: z.flatten(2).square().sum(-1) + log_prob(q, z), noise)
                (found,) = torch.autograd.grad(estimate.surrogate.sum(), values)
                assert bool(estimate.surrogate.isfinite().all()), (family, level, samples, dtype)
                assert bool(found.isfinite().all()), (family, level, samples, dtype)
