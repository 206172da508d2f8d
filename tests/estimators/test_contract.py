"""What every registered estimator owes its caller, whatever its mathematics."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Normal, OneHotCategorical

import estimators
from estimators.distributions import log_prob, parameters
from estimators.registry import Entry
from tests.estimators.cases import flat

PAIRS = [(entry, family) for entry in estimators.available() for family in entry.families]
each = pytest.mark.parametrize(("entry", "family"), PAIRS, ids=[f"{e.name}-{family}" for e, family in PAIRS])


def _q(family: str, rows: tuple[int, ...], dtype: torch.dtype = torch.float64, seed: int = 0) -> Distribution:
    """A q with torch's own validation on, as a caller would build it, its parameters leaves."""
    g = torch.Generator().manual_seed(seed)
    if family == "gaussian":
        loc = torch.randn(*rows, 3, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
        return Normal(loc, torch.full((*rows, 3), 0.8, dtype=dtype, requires_grad=True))
    shape = (*rows, 3) if family == "bernoulli" else (*rows, 2, 3)
    logits = torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    return Bernoulli(logits=logits) if family == "bernoulli" else OneHotCategorical(logits=logits)


def _leaves(q: Distribution) -> tuple[Tensor, ...]:
    return parameters(q)


def _f(family: str, theta: Tensor | None = None):
    def f(z: Tensor, q: Distribution, /) -> Tensor:
        y = flat(family, z)
        weights = torch.arange(1, y.shape[-1] + 1, dtype=z.dtype, device=z.device)
        cost = torch.sin(y * weights).sum(-1) + log_prob(q, z)
        return cost if theta is None else cost * theta

    return f


def _run(entry: Entry, family: str, q: Distribution, *, seed: int = 7, context: Tensor | None = None, **options):
    estimator = entry.create(**options)
    return estimator(q, _f(family), generator=torch.Generator().manual_seed(seed), context=context)


@each
@pytest.mark.parametrize("rows", [(), (4,), (2, 3), (2, 2, 3)])
def test_shapes_follow_the_leading_dims(entry: Entry, family: str, rows: tuple[int, ...]) -> None:
    estimate = _run(entry, family, _q(family, rows))
    assert estimate.surrogate.shape == rows
    assert estimate.value.shape == rows
    assert estimate.surrogate.requires_grad
    assert not estimate.value.requires_grad


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(entry: Entry, family: str, dtype: torch.dtype) -> None:
    q = _q(family, (4,), dtype)
    estimate = _run(entry, family, q)
    assert estimate.surrogate.dtype == estimate.value.dtype == dtype
    grads = torch.autograd.grad(estimate.surrogate.sum(), _leaves(q))
    assert all(g.dtype == dtype and g.isfinite().all() for g in grads)


@each
def test_the_generator_alone_decides(entry: Entry, family: str) -> None:
    before = torch.get_rng_state()
    first, again = (_run(entry, family, _q(family, (4,)), seed=1) for _ in range(2))
    other = _run(entry, family, _q(family, (4,)), seed=2)
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    assert torch.equal(first.surrogate, again.surrogate)
    if not entry.enumerates:
        assert not torch.equal(first.surrogate, other.surrogate)


@each
def test_rows_are_independent(entry: Entry, family: str) -> None:
    q = _q(family, (4,))
    estimate = _run(entry, family, q, samples=8)  # two equal draws would make a gradient of zero
    grads = torch.autograd.grad(estimate.surrogate[1], _leaves(q))
    for g in grads:
        assert g[1].abs().max() > 0
        assert torch.equal(g[[0, 2, 3]], torch.zeros_like(g[[0, 2, 3]]))


@each
@pytest.mark.parametrize("rows", [(6,), (2, 3), (3, 1, 2)])
def test_leading_dims_are_the_same_code(entry: Entry, family: str, rows: tuple[int, ...]) -> None:
    """The noise of six rows is one stream however they are arranged, and so are the estimates."""
    flat_q, q = _q(family, (6,)), _q(family, rows)
    expected, got = _run(entry, family, flat_q), _run(entry, family, q)
    torch.testing.assert_close(got.surrogate.flatten(), expected.surrogate)
    grads = torch.autograd.grad(got.surrogate.sum(), _leaves(q))
    for g, e in zip(grads, torch.autograd.grad(expected.surrogate.sum(), _leaves(flat_q)), strict=True):
        torch.testing.assert_close(g.reshape(e.shape), e)


ELBO = [(entry, family) for entry, family in PAIRS if entry.bound == "elbo"]


@pytest.mark.parametrize(("entry", "family"), ELBO, ids=[f"{e.name}-{family}" for e, family in ELBO])
def test_theta_gets_the_gradient_of_the_value(entry: Entry, family: str) -> None:
    """f is linear in theta, so its gradient is the mean of f over the draws: the value itself."""
    theta = torch.ones((), dtype=torch.float64, requires_grad=True)
    estimate = entry.create()(_q(family, (4,)), _f(family, theta), generator=torch.Generator().manual_seed(7))
    (gradient,) = torch.autograd.grad(estimate.surrogate.sum(), theta)
    torch.testing.assert_close(gradient, estimate.value.sum())


@each
def test_f_has_no_graph_of_phi_unless_it_is_differentiated(entry: Entry, family: str) -> None:
    seen = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        seen.append((z.requires_grad, any(p.requires_grad for p in parameters(q))))
        return _f(family)(z, q)

    entry.create()(_q(family, (4,)), f, generator=torch.Generator().manual_seed(7))
    assert seen
    for through_z, through_q in seen:
        assert through_z == (entry.needs != "neither")
        if entry.needs == "neither" and entry.bound == "elbo":
            assert not through_q


@each
def test_f_is_called_as_often_as_the_tag_says(entry: Entry, family: str) -> None:
    counts = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        counts.append(len(z))
        return _f(family)(z, q)

    step = 2 if entry.samples.even else 1
    for samples in range(entry.samples.min, entry.samples.min + 3 * step, step):
        counts.clear()
        entry.create(samples=samples)(_q(family, (2,)), f, generator=torch.Generator().manual_seed(7))
        expected = {"bernoulli": 2**3, "categorical": 3**2}[family] if entry.enumerates else entry.f_evals(samples)
        assert sum(counts) == expected


@each
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_gradients_stay_finite_at_extremes(entry: Entry, family: str, scale: float) -> None:
    if family == "gaussian":
        values = [torch.zeros(2, 3, dtype=torch.float64), torch.full((2, 3), 1e-3, dtype=torch.float64)]
        values = [v.requires_grad_() for v in values]
        q: Distribution = Normal(*values)
    else:
        shape = (2, 3) if family == "bernoulli" else (2, 2, 3)
        values = [(50.0 * torch.sign(torch.randn(shape, dtype=torch.float64))).requires_grad_()]
        q = (Bernoulli if family == "bernoulli" else OneHotCategorical)(logits=values[0])

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return scale * flat(family, z).sum(-1)

    estimate = entry.create()(q, f, generator=torch.Generator().manual_seed(7))
    grads = torch.autograd.grad(estimate.surrogate.sum(), values, allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in grads)


@pytest.mark.gpu
@each
def test_the_device_is_kept(entry: Entry, family: str) -> None:
    q = _q(family, (4,))
    values = [p.detach().cuda().requires_grad_() for p in parameters(q)]
    moved = Normal(*values) if family == "gaussian" else type(q)(logits=values[0])
    estimate = entry.create().cuda()(moved, _f(family), generator=torch.Generator("cuda").manual_seed(7))
    assert estimate.surrogate.device.type == "cuda"
