"""Every registered estimator against the exact gradient, where latents of |logit| 0, 3 and 6 stand side by side.

The certificates look at latents that are all about as sharp, at more objectives and numbers of samples, with a twelfth
of the draws.
"""

import pytest
import torch
from torch import Tensor

import estimators
from estimators.entry import Entry
from estimators.exact import expectation, expectation_of_bound
from tests.estimators.cases import FAMILIES, build, families_of, leaves, objective, uneven

DRAWS = 50_000  # at |logit| 6 the rarer value of a bit is drawn some 120 times
FEW = 10_000  # of a declared bias, which is 17 to 390 standard errors of so many
LIMIT = 5.0  # standard errors; of 600 coordinates one is beyond by chance in one of some 3000 runs

# The bound of a continuous q has no exact oracle here; its estimators are held against each other in test_catalogue.
PAIRS = [
    (entry, family)
    for entry in estimators.available()
    for family in families_of(entry)
    if (entry.bound, family) != ("iwae", "gaussian")
]


def _exact(
    entry: Entry, family: str, values: list[Tensor], theta: Tensor, samples: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The value [B], and the gradients of q's parameters and of theta."""
    q, f = build(family, values), objective(family, theta)
    exact = expectation(q, f, nodes=24) if entry.bound == "elbo" else expectation_of_bound(q, f, samples)
    return exact.detach(), torch.autograd.grad(exact.sum(), (*values, theta))


def _sampled(
    entry: Entry, family: str, values: list[Tensor], theta: Tensor, samples: int, count: int = DRAWS
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Draws of the gradient of each parameter [R, ...], the mean gradient of theta, and draws of the value."""
    estimator = entry.create(samples=samples).double().eval()
    copies = [v.detach().expand(count, *v.shape).clone().requires_grad_() for v in values]
    weights = theta.detach().expand(count, 1).clone().requires_grad_()  # a theta a draw, for its spread
    generator = torch.Generator().manual_seed(11)
    estimate = estimator(build(family, copies), objective(family, weights), generator=generator)
    *draws, own = torch.autograd.grad(estimate.surrogate.sum(), (*copies, weights))
    return draws, own, estimate.value


def _z(draws: Tensor, exact: Tensor) -> Tensor:
    error = draws.std(0) / len(draws) ** 0.5
    return ((draws.mean(0) - exact) / error.clamp_min(1e-12)).abs().max()


@pytest.mark.parametrize(("entry", "family"), PAIRS, ids=[f"{e.name}-{family}" for e, family in PAIRS])
def test_means_are_the_exact_gradients_and_value_where_declared(entry: Entry, family: str) -> None:
    samples = 2 if entry.samples.min <= 2 else entry.samples.min
    values, theta = uneven(family), torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    exact, (*gradient, of_theta) = _exact(entry, family, values, theta, samples)
    draws, own, value = _sampled(entry, family, values, theta, samples, DRAWS if entry.unbiased else FEW)
    largest = max(_z(d, e) for d, e in zip(draws, gradient, strict=True))
    if entry.unbiased:
        assert largest < LIMIT
        assert _z(own, of_theta) < LIMIT
        assert _z(value, exact) < LIMIT
    else:
        assert largest > 2 * LIMIT, "declared biased, and no bias to be seen"


def test_the_oracle_is_right_by_finite_differences() -> None:
    for family in FAMILIES:
        theta = torch.tensor(0.7, dtype=torch.float64)
        f = objective(family, theta)
        assert torch.autograd.gradcheck(
            lambda *v, family=family, f=f: expectation(build(family, list(v)), f), leaves(family, 1.0)
        )


def test_the_oracle_agrees_with_a_long_sum_written_out() -> None:
    """E over two bits of a table, and its gradient, by hand."""
    logits = torch.tensor([[0.4, -1.2]], dtype=torch.float64, requires_grad=True)
    table = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)

    def f(z: Tensor, q: object, /) -> Tensor:
        return table[z[..., 0].long(), z[..., 1].long()]

    a, b = logits.detach()[0].sigmoid()
    by_hand = (1 - a) * ((1 - b) * 1.0 + b * -2.0) + a * ((1 - b) * 0.5 + b * 3.0)
    slope = torch.stack(
        [
            a * (1 - a) * ((1 - b) * (0.5 - 1.0) + b * (3.0 + 2.0)),
            b * (1 - b) * ((1 - a) * (-2.0 - 1.0) + a * (3.0 - 0.5)),
        ]
    )
    value = expectation(build("bernoulli", [logits]), f)
    assert value.item() == pytest.approx(by_hand.item())
    torch.testing.assert_close(torch.autograd.grad(value.sum(), logits)[0][0], slope)


def test_too_many_states_are_refused() -> None:
    with pytest.raises(ValueError, match="too many to enumerate"):
        expectation(build("bernoulli", [torch.zeros(1, 40)]), lambda z, q: z.sum(-1))
