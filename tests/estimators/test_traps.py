"""Known traps of published implementations, each as a test.

Certificates cover the rest: a baseline that has seen its own cost (checks state and unbiased), noise terms left in f
(evaluations), reductions over the batch (rows), and every estimator's bias (unbiased).
"""

import math

import pytest
import torch

import estimators
from bench.measure import gradient_moments
from estimators.checks import run_check, subjects
from estimators.checks.sampling import LOOKS
from estimators.distributions import from_parameters
from tests.estimators.drawing import (
    conditional_gumbel_scores,
    conditional_logistic_scores,
    gumbel_scores,
    hard,
    logistic_scores,
)
from tests.estimators.faults import FAULTS
from tests.estimators.outside import CORRECT

OUTSIDE = {entry.name: entry for entry in CORRECT}


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


def test_sticking_the_landing_is_unbiased_for_one_sample_of_a_bound_only() -> None:
    """DReG mends it, and is certified with every registered estimator."""
    faults = {fault.entry.name: fault.entry for fault in FAULTS}
    result = run_check("unbiased", subjects(faults["STLBound"], draws=LOOKS[0])[0])
    assert result.status == "failed"
    assert min(case["samples"] for case in result.numbers["cases"]) == 2
    assert "Only with more than 1 sample the mean" in result.message


def test_reinmax_is_the_trapezoid_rule() -> None:
    """Its mean is theta (1 - theta) (f'(0) + f'(1)) / 2: exact for any quadratic f, not for a cubic one."""
    theta = 0.2
    q = from_parameters("bernoulli", torch.tensor([[math.log(theta / (1 - theta))]], dtype=torch.float64))
    for power, exact in ((2, True), (3, False)):
        moments = gradient_moments(
            estimators.get("reinmax").create(),
            q,
            lambda z, q, power=power: (z[..., 0] - 0.45).pow(power),
            draws=100_000,
        )
        slopes = [power * (b - 0.45) ** (power - 1) for b in (0.0, 1.0)]
        error = 5 * math.sqrt(moments.total.estimate / 100_000)
        assert float(moments.mean) == pytest.approx(theta * (1 - theta) * sum(slopes) / 2, abs=error)
        truth = theta * (1 - theta) * ((1 - 0.45) ** power - (0 - 0.45) ** power)
        assert (abs(float(moments.mean) - truth) < error) == exact
