"""Identities of ARM, DisARM, augment-REINFORCE and leave-one-out on one bit, held by exact moments.

They follow from what the papers define: ARM's eq. 14 and 15 (Yin and Zhou 2019, arXiv:1807.11143) and DisARM's
estimator (Dong, Mnih and Tucker 2020, arXiv:2006.10680). p is the chance of a 1, m the smaller chance, D = f(1) - f(0).
"""

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

import estimators
from bench.measure import exact_moments

AT_0, AT_1 = 0.7, -1.9
CHANCES = (0.5, 0.3, 0.05, 0.9)


def second_moment(label: str, p: float, samples: int) -> float:
    def f(z: Tensor, q: Distribution) -> Tensor:
        return (AT_0 + (AT_1 - AT_0) * z).sum(-1)

    q = Bernoulli(logits=torch.tensor([[p]], dtype=torch.float64).logit())
    found = exact_moments(estimators.create(label, samples=samples), q, f)
    return float(found.variance + found.mean.square())


@pytest.mark.parametrize("p", CHANCES)
def test_disarm_takes_a_sixth_of_the_cube_of_the_smaller_chance_from_arm(p: float) -> None:
    apart = second_moment("arm", p, 2) - second_moment("disarm", p, 2)
    assert apart == pytest.approx((AT_1 - AT_0) ** 2 * min(p, 1 - p) ** 3 / 6, rel=1e-9)


@pytest.mark.parametrize("p", CHANCES)
def test_disarm_has_the_larger_chance_times_the_second_moment_of_leave_one_out(p: float) -> None:
    assert second_moment("disarm", p, 2) == pytest.approx(max(p, 1 - p) * second_moment("rloo", p, 2), rel=1e-9)


@pytest.mark.parametrize("p", CHANCES)
def test_augment_reinforce_has_the_second_moment_of_its_uniform_noise(p: float) -> None:
    """g = f(u < p) (1 - 2 u), eq. 15: the integral of its square over u."""
    cube = (1 - 2 * p) ** 3
    expected = (AT_1**2 * (1 - cube) + AT_0**2 * (1 + cube)) / 6
    assert second_moment("augment-reinforce", p, 1) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("samples", [2, 3, 6])
@pytest.mark.parametrize("p", CHANCES)
def test_leave_one_out_has_the_variance_of_a_sample_variance(p: float, samples: int) -> None:
    """(mu4 - (N - 3) / (N - 1) s^4) / N, with s^2 = p (1 - p) and mu4 = s^2 (1 - 3 s^2), times D^2."""
    s2 = p * (1 - p)
    variance = (s2 * (1 - 3 * s2) - (samples - 3) / (samples - 1) * s2**2) / samples
    expected = (AT_1 - AT_0) ** 2 * (variance + s2**2)
    assert second_moment("rloo", p, samples) == pytest.approx(expected, rel=1e-9)
