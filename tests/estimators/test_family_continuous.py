"""The families whose draws are made of Gamma numbers: what is the same of all of them."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Beta as TorchBeta
from torch.distributions import (
    Chi2,
    Distribution,
    Exponential,
    Independent,
    InverseGamma,
    Kumaraswamy,
    LogNormal,
    StudentT,
    kl_divergence,
)
from torch.distributions import Dirichlet as TorchDirichlet
from torch.distributions import Gamma as TorchGamma

import estimators
from estimators.checks import run_check, subjects
from estimators.distributions import again, kl, log_prob, parameters, rsample, sample, scored, scores
from estimators.errors import BadInput
from estimators.exact import expectation
from estimators.families import FAMILIES, family_named, family_of
from estimators.families.gamma import Gamma
from estimators.noise import Noise

DOUBLE = torch.float64


def q_of(family: str, *rows: int, seed: int = 0) -> Distribution:
    """A member of the family with parameters from .1 to 10, events [2], or [2, 3]."""
    kind = family_named(family)
    generator = torch.Generator().manual_seed(seed)
    shape = (*rows, *kind.event(2, 3))
    raw = [torch.randn(*shape, generator=generator, dtype=DOUBLE) for _ in kind.parameter_names]
    return kind.build(*(0.9 * part for part in (x.exp() for x in raw)))


FAMILY = pytest.mark.parametrize("family", ["gamma", "beta", "dirichlet"])


def leaves_of(q: Distribution) -> tuple[Distribution, list[Tensor]]:
    leaves = [p.detach().clone().requires_grad_() for p in parameters(q)]
    return family_of(q).build(*leaves), leaves


def _of(family: str):
    """The objective for its events [*event]: [S, *B]."""
    dims = 1 + family_named(family).latent_dims

    def f(z: Tensor, q: Distribution) -> Tensor:
        y = z.log()
        assert bool(y.isfinite().all())
        return (y - 0.3).tanh().flatten(-dims).sum(-1)

    return f


def test_they_follow_the_first_three() -> None:
    assert list(FAMILIES)[:3] == ["gaussian", "bernoulli", "categorical"]
    assert {"gamma", "beta", "dirichlet"} <= set(list(FAMILIES)[3:])


@FAMILY
def test_log_prob_and_scores_are_torchs(family: str) -> None:
    q, leaves = leaves_of(q_of(family, 4, 5))
    z = sample(q, 3, torch.Generator().manual_seed(1))
    own, theirs = log_prob(q, z), q.log_prob(z)
    torch.testing.assert_close(own, theirs.sum(-1))
    weight = torch.linspace(-1, 2, 3, dtype=DOUBLE)[:, None, None].expand(3, 4, 5)
    expected = torch.autograd.grad((weight * own).sum(), leaves)
    for s, e in zip(scores(q, z), expected, strict=True):
        extra = s.dim() - weight.dim()
        torch.testing.assert_close((weight[(..., *[None] * extra)] * s).sum(0), e)
    found = torch.autograd.grad(scored(q, z, weight).sum(), leaves)
    torch.testing.assert_close(found, expected)


@FAMILY
def test_kl_is_torchs(family: str) -> None:
    q, p = q_of(family, 4, 5), q_of(family, 5, seed=1)
    wide = family_of(p).build(*(x.expand(4, *x.shape) for x in parameters(p)))
    torch.testing.assert_close(kl(q, p), kl_divergence(q, wide).sum(-1))
    torch.testing.assert_close(kl(q, q), torch.zeros(4, 5, dtype=DOUBLE))


def _moments(family: str, *values: Tensor) -> Tensor:
    """Mean of the sum over the event of 3 z + z^2 + log z, in closed form."""
    if family == "gamma":
        a, rate = values
        return (3 * a / rate + a * (a + 1) / rate**2 + a.digamma() - rate.log()).sum(-1)
    a, total = (values[0], sum(values)) if family == "beta" else (values[0], values[0].sum(-1, keepdim=True))
    each = 3 * a / total + a * (a + 1) / (total * (total + 1)) + a.digamma() - total.digamma()
    return each.flatten(-1 if family == "beta" else -2).sum(-1)


@FAMILY
@pytest.mark.parametrize("size", [0.05, 1.0, 40.0])
def test_quadrature_gives_moments_and_their_derivatives(family: str, size: float) -> None:
    """Two latents, or the three shares of one, with concentrations far from each other and about this size."""
    event = (1, 3) if family == "dirichlet" else (2,) if size >= 0.5 else (1,)
    spread = torch.linspace(1, 2, math.prod(event), dtype=DOUBLE).reshape(event)
    values = [size * spread, 1 + spread] if family == "gamma" else [size * spread, 2 * size / spread]
    kind = family_named(family)
    q, leaves = leaves_of(kind.build(*(v[None] for v in values[: len(kind.parameter_names)])))
    dims = 1 + kind.latent_dims
    value = expectation(q, lambda z, q: (3 * z + z.square() + z.log()).flatten(-dims).sum(-1))
    expected = _moments(family, *leaves)
    if family == "dirichlet" and size < 0.5:  # two dims are left of three shares
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)
        return
    torch.testing.assert_close(value, expected, rtol=1e-8, atol=1e-8)
    found, right = (torch.autograd.grad(v.sum(), leaves) for v in (value, expected))
    torch.testing.assert_close(found, right, rtol=1e-8, atol=1e-8)


@FAMILY
def test_quadrature_knows_how_far_it_reaches(family: str) -> None:
    kind = family_named(family)
    small, large = ((1, 3), (2, 3)) if kind.latent_dims else ((2,), (3,))
    assert kind.integrable(small, 16)
    assert not kind.integrable(large, 16)
    with pytest.raises(ValueError, match="points are too many to integrate over"):
        kind.quadrature(kind.build(*(torch.ones(1, *large) for _ in kind.parameter_names)), 16)


@FAMILY
@pytest.mark.parametrize("name", ["rloo", "reinforce", "reparameterization", "sticking-the-landing"])
def test_estimators_have_the_exact_gradient_in_mean(family: str, name: str) -> None:
    """At concentrations below and above 1, of an f that is undefined outside the support."""
    kind = family_named(family)
    event, draws = (1, 3) if kind.latent_dims else (2,), 200_000
    base = torch.tensor([0.6, 3.0, 1.5], dtype=DOUBLE)[: event[-1]].expand(event)
    q, leaves = leaves_of(kind.build(*(base.flip(-1) if i else base for i in range(len(kind.parameter_names)))))
    exact = torch.autograd.grad(expectation(q, _of(family)).sum(), leaves)
    wide = [p.detach().expand(draws, *event).clone().requires_grad_() for p in leaves]
    copies = kind.build(*wide)
    estimator = estimators.get(name).create(samples=2)
    estimate = estimator(copies, _of(family), generator=torch.Generator().manual_seed(3))
    for g, e in zip(torch.autograd.grad(estimate.surrogate.sum(), wide), exact, strict=True):
        error = g.std(0) / math.sqrt(draws)
        assert float(((g.mean(0) - e).abs() / error).max()) < 4.5, (g.mean(0), e, error)
        assert float((error / e.abs().amax()).max()) < 0.1


@FAMILY
def test_a_wrong_path_is_refuted(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What certifies the pathwise gradient sees one that lacks a tenth."""
    kind = type(family_named(family))
    right = kind.rsample

    def wrong(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        z = right(self, q, samples, noise)
        return 0.7 * z + 0.3 * z.detach()

    monkeypatch.setattr(kind, "rsample", wrong)
    (subject,) = (s for s in subjects("sticking-the-landing", draws=4096) if s.family == family)
    result = run_check("unbiased", subject)
    assert result.status == "failed"


@FAMILY
def test_forms(family: str) -> None:
    """Independent says what the event is; half precision and single, one row and none are taken."""
    kind = family_named(family)
    entry = estimators.get("reparameterization")
    inner = q_of(family, 4, 5)
    seen = []

    def f(z: Tensor, q: Distribution) -> Tensor:
        seen.append((z.shape, q.log_prob(z).shape))
        return z.log().flatten(1 + len(q.batch_shape)).sum(-1)

    q = Independent(kind.build(*(p.clone().requires_grad_() for p in parameters(inner))), 2)
    estimate = entry.create()(q, f, generator=torch.Generator().manual_seed(0))
    assert estimate.surrogate.shape == q.batch_shape
    assert seen[0] == ((1, *q.batch_shape, *q.event_shape), (1, *q.batch_shape))
    for dtype in (torch.float16, torch.bfloat16):
        for size in (0.02, 1.0, 50.0):
            shape = (300, *kind.event(2, 3))
            leaves = [torch.full(shape, size, dtype=dtype).requires_grad_() for _ in kind.parameter_names]
            for name in ("rloo", "reparameterization"):
                estimate = estimators.get(name).create()(
                    kind.build(*leaves), _of(family), generator=torch.Generator().manual_seed(0)
                )
                grads = torch.autograd.grad(estimate.surrogate.sum(), leaves)
                assert all(g.dtype == dtype for g in grads)
                assert bool(estimate.value.isfinite().all())
    none = [p[:0, 0].clone().requires_grad_() for p in parameters(inner)]
    estimate = entry.create()(kind.build(*none), _of(family))
    assert estimate.surrogate.shape == (0,)
    found = torch.autograd.grad(estimate.surrogate.sum(), none, materialize_grads=True)
    assert all(g.numel() == 0 for g in found)


@FAMILY
def test_torch_func_gives_the_same_gradient(family: str) -> None:
    kind = family_named(family)
    values = tuple(p.detach() for p in parameters(q_of(family, 4)))

    def loss(*values: Tensor) -> Tensor:
        estimator = estimators.get("sticking-the-landing").create()
        with estimators.trusted():
            return estimator(kind.build(*values), _of(family), generator=torch.Generator().manual_seed(0)).loss()

    leaves = [v.clone().requires_grad_() for v in values]
    expected = torch.autograd.grad(loss(*leaves), leaves)
    found = torch.func.grad(loss, argnums=tuple(range(len(values))))(*values)
    torch.testing.assert_close(found, expected)


@FAMILY
def test_draws_stay_inside_at_the_edges(family: str) -> None:
    """In both precisions: at tiny concentrations a draw is rounded to an end of the support."""
    kind = family_named(family)
    for dtype in (torch.float32, DOUBLE):
        for size in (1e-4, 1e-2, 1e5):
            q = kind.build(*(torch.full((500, *kind.event(2, 3)), size, dtype=dtype) for _ in kind.parameter_names))
            q, leaves = leaves_of(q)
            z = rsample(q, 3, torch.Generator().manual_seed(0))
            assert bool((z > 0).all())
            assert z.dtype == dtype
            if family != "gamma":
                assert bool((z <= 1).all())
            if family == "beta":
                assert bool((z < 1).all())
            grads = torch.autograd.grad(z.log().sum(), leaves)
            assert all(bool(g.isfinite().all()) for g in (*grads, *scores(q, z.detach()), log_prob(q, z)))


@FAMILY
def test_rounded_parameters_give_the_draws_of_their_rows(family: str) -> None:
    """The order in which rejection takes numbers does not depend on how a tensor lies in memory."""
    kind = family_named(family)
    values = parameters(q_of(family, 4))
    wide = [p.expand(3, *p.shape) for p in values]
    found = [sample(kind.build(*v), 2, torch.Generator().manual_seed(5)) for v in (wide, [p.clone() for p in wide])]
    assert torch.equal(*found)
    turned = [p.transpose(0, 1).contiguous().transpose(0, 1) for p in wide]
    assert torch.equal(found[0], sample(kind.build(*turned), 2, torch.Generator().manual_seed(5)))


def test_a_chi2_is_the_gamma_that_it_is() -> None:
    df = torch.tensor([[3.0, 1.0]], dtype=DOUBLE, requires_grad=True)
    q = Chi2(df)
    assert isinstance(family_of(q), Gamma)
    z = sample(q, 5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_prob(q, z), q.log_prob(z).sum(-1))
    estimate = estimators.get("rloo").create()(q, lambda z, q: z.sum(-1), generator=torch.Generator().manual_seed(0))
    concentration = (df.detach() / 2).requires_grad_()
    same = estimators.get("rloo").create()(
        TorchGamma(concentration, torch.full_like(df, 0.5)),
        lambda z, q: z.sum(-1),
        generator=torch.Generator().manual_seed(0),
    )
    found, expected = (torch.autograd.grad(e.surrogate.sum(), x)[0] for e, x in ((estimate, df), (same, concentration)))
    torch.testing.assert_close(found, expected / 2)
    assert type(again(q, *parameters(q))) is TorchGamma


@pytest.mark.parametrize(
    ("q", "hint"),
    [
        (Exponential(torch.ones(1, 2)), "write Gamma(torch.ones_like(rate), rate), which it is"),
        (InverseGamma(torch.ones(1, 2), torch.ones(1, 2)), "let f take 1 / z"),
        (LogNormal(torch.zeros(1, 2), torch.ones(1, 2)), "write Normal(loc, scale), and let f take z.exp()"),
        (StudentT(torch.ones(1, 2)), "write Normal(loc, scale) for one of lighter tails"),
        (Kumaraswamy(torch.ones(1, 2), torch.ones(1, 2)), "write Beta(concentration1, concentration0)"),
    ],
)
def test_what_is_taken_for_them_by_mistake(q: Distribution, hint: str) -> None:
    with pytest.raises(TypeError) as caught:
        estimators.get("rloo").create()(q, lambda z, q: z.sum(-1))
    assert str(caught.value).startswith(f"q is a {type(q).__name__}; expected Normal, Bernoulli, OneHotCategorical, ")
    assert str(caught.value).count("\n") == 0
    assert hint in str(caught.value)


def test_two_families_have_no_divergence() -> None:
    with pytest.raises(TypeError, match="expected two of one family"):
        kl(q_of("gamma", 2), q_of("beta", 2))


def test_a_dirichlet_of_rows_has_one_latent() -> None:
    """As OneHotCategorical [B, C]: the f of a person sees [S, B, C]."""
    q = TorchDirichlet(torch.ones(7, 3, requires_grad=True))
    estimate = estimators.get("rloo").create()(q, lambda z, q: z[..., 0])
    assert estimate.surrogate.shape == (7,)
    with pytest.raises(BadInput, match="without a number"):
        estimators.get("rloo").create()(TorchDirichlet(torch.ones(7, 0), validate_args=False), lambda z, q: z[..., 0])
    single = TorchBeta(torch.tensor(2.0, requires_grad=True), torch.tensor(3.0))
    assert estimators.get("rloo").create()(single, lambda z, q: z).surrogate.shape == ()
