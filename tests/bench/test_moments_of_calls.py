"""Gradient moments of what a person passes: q as it is written elsewhere, and an f that is not one of q alone."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical

import estimators
from bench.measure import gradient_moments
from estimators.exact import expectation

DOUBLE = torch.float64
LOGITS = torch.tensor([[0.3, -1.0, 2.0], [0.1, 0.5, -0.4]], dtype=DOUBLE)
W = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE)


def squared(z: Tensor, q: Distribution, /) -> Tensor:
    return (z.double() @ W).square()


def agrees(moments: object, wanted: Tensor, draws: int) -> None:
    error = (moments.variance / draws).sqrt()
    assert moments.mean.shape == moments.variance.shape == wanted.shape
    assert bool(((moments.mean - wanted).abs() < 5 * error + 1e-12).all())


@pytest.mark.parametrize("name", ["rloo", "rebar", "zgr"])
def test_rows_of_one_latent_and_independent_have_the_moments_of_what_they_are(name: str) -> None:
    draws, estimator = 4000, estimators.get(name).create().double()
    rows, spelt = OneHotCategorical(logits=LOGITS), OneHotCategorical(logits=LOGITS.unsqueeze(-2))
    found = gradient_moments(estimator, rows, squared, draws=draws)
    other = gradient_moments(estimator, spelt, lambda z, q: squared(z[..., 0, :], q), draws=draws)
    torch.testing.assert_close(found.mean, other.mean.squeeze(-2), rtol=1e-9, atol=1e-12)
    wrapped = gradient_moments(estimator, Independent(rows, 0), squared, draws=draws)
    assert torch.equal(found.mean, wrapped.mean) and found.total == wrapped.total
    if name != "zgr":
        leaf = LOGITS.unsqueeze(-2).clone().requires_grad_()
        value = expectation(OneHotCategorical(logits=leaf), lambda z, q: squared(z[..., 0, :], q))
        agrees(found, torch.autograd.grad(value.sum(), leaf)[0].squeeze(-2), draws)


def test_independent_bits_and_normals() -> None:
    draws, estimator = 4000, estimators.get("rloo").create()
    plain = gradient_moments(estimator, Bernoulli(logits=LOGITS), squared, draws=draws)
    wrapped = gradient_moments(estimator, Independent(Bernoulli(logits=LOGITS), 1), squared, draws=draws)
    assert torch.equal(plain.mean, wrapped.mean) and plain.total == wrapped.total
    two = Independent(Normal(LOGITS, torch.ones_like(LOGITS)), 2)  # one row of six latents

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return (z * W).sum((-2, -1))

    found = gradient_moments(estimators.get("reparameterization").create(), two, f, draws=draws)
    agrees_with = torch.cat((W.expand(2, 3).flatten(), torch.zeros(6, dtype=DOUBLE)))
    agrees(found, agrees_with, draws)


def test_certain_bits_and_half_precision() -> None:
    draws = 4000
    logits = LOGITS.clone()
    logits[0, 1] = -torch.inf
    found = gradient_moments(estimators.get("rloo").create(), Bernoulli(logits=logits), squared, draws=draws)
    leaf = logits.clone().requires_grad_()
    agrees(found, torch.autograd.grad(expectation(Bernoulli(logits=leaf), squared).sum(), leaf)[0], draws)
    assert float(found.mean[0, 1]) == float(found.variance[0, 1]) == 0
    half = LOGITS.bfloat16()
    found = gradient_moments(
        estimators.get("rloo").create(), Bernoulli(logits=half, validate_args=False), squared, draws=draws
    )
    leaf = half.double().requires_grad_()
    wanted = torch.autograd.grad(expectation(Bernoulli(logits=leaf), squared).sum(), leaf)[0]
    assert bool(((found.mean - wanted).abs() < 5 * (found.variance / draws).sqrt() + 0.02 * wanted.abs()).all())


def test_what_a_call_refuses_moments_refuse() -> None:
    q, table = Bernoulli(logits=LOGITS), torch.tensor([0.0, 2.0, -1.0, 5.0], dtype=DOUBLE)
    create = {name: estimators.get(name).create() for name in ("rloo", "rebar", "disarm")}
    cases = [
        ("rebar", q, lambda z, q: table[z.long().sum(-1)], "^rebar .*needs the gradient of f in z"),
        ("rloo", q, lambda z, q: squared(z, q) + q.entropy().sum(-1), "takes q as a constant inside f"),
        ("rloo", q, lambda z, q: squared(z, q).unsqueeze(-1), r"f returned \[2, 2, 1\]"),
        ("disarm", OneHotCategorical(logits=LOGITS), squared, "disarm is for bernoulli latents"),
    ]
    for _ in range(2):  # an estimator that has met another f looks at this one all the same
        for name, at, f, says in cases:
            with pytest.raises(estimators.BadInput, match=says):
                gradient_moments(create[name], at, f, draws=10)


def test_a_q_that_f_holds_by_a_name_of_its_own_is_refused() -> None:
    """Its terms reach the gradient in a person's own loop, and would be missing from what is measured."""
    q = Bernoulli(logits=LOGITS.clone().requires_grad_())
    with pytest.raises(
        estimators.BadInput, match=r"^rloo: f uses q by a name of its own, whose gradient is not measured; let it"
    ):
        gradient_moments(estimators.get("rloo").create(), q, lambda z, _: squared(z, _) + q.entropy().sum(-1), draws=10)
    gradient_moments(estimators.get("rloo").create(), q, squared, draws=10)


def test_an_f_with_jumps_is_warned_of_and_one_with_kinks_is_not() -> None:
    """A part without a gradient, beside one that has it, is lost to whoever differentiates f: only the way shows it."""
    q = Normal(LOGITS, torch.full_like(LOGITS, 0.5))
    net = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)).double()
    estimator = estimators.get("reparameterization").create()
    words = (
        "reparameterization differentiates f in z, and f changes by more than its gradient says: it has jumps or very "
        "steep steps, of which the gradient that is measured knows nothing"
    )
    with pytest.warns(UserWarning, match=f"^{words}$"):
        gradient_moments(estimator, q, lambda z, q: 3 * z.round().square().sum(-1) + 0.5 * z.square().sum(-1), draws=10)
    gradient_moments(estimator, q, lambda z, q: net(z)[..., 0] + q.log_prob(z).sum(-1), draws=10)
    gradient_moments(estimators.get("rloo").create(), q, lambda z, q: z.round().square().sum(-1), draws=10)
