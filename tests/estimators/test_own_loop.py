"""Training in one's own loop: the loss, own parameters, autocast, clipping, micro-batches."""

import inspect
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution

import estimators
from estimators.entry import Entry
from estimators.exact import expectation
from tests.estimators.cases import FAMILIES, build, leaves, objective

DOUBLE = torch.float64
OWN = [
    (entry, family, {"baseline": "input-dependent"} if "baseline" in inspect.signature(entry.cls).parameters else {})
    for entry in estimators.available()
    for family in entry.families
    if entry.own_parameters and family in FAMILIES
]


@pytest.mark.parametrize(("entry", "family", "options"), OWN, ids=[f"{e.name}-{f}" for e, f, _ in OWN])
def test_one_backward_gives_own_parameters_the_auxiliary_s_gradient_and_all_others_the_surrogate_s(
    entry: Entry, family: str, options: dict[str, Any]
) -> None:
    values, theta = leaves(family, 1.0), torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    context = torch.linspace(-1, 1, 6, dtype=DOUBLE).reshape(2, 3) if options else None
    estimator = entry.create(like=build(family, values), context_size=3 if options else 0, **options).double()
    own = list(estimator.parameters())
    call = (build(family, values), objective(family, theta))
    estimate = estimator(*call, generator=torch.Generator().manual_seed(0), context=context)
    assert estimate.auxiliary is not None and own
    others = [*values, theta]
    of_surrogate = torch.autograd.grad(
        estimate.surrogate.mean(), [*others, *own], retain_graph=True, materialize_grads=True
    )
    of_auxiliary = torch.autograd.grad(
        estimate.auxiliary.mean(), [*others, *own], retain_graph=True, materialize_grads=True
    )
    estimate.loss().backward()
    for i, p in enumerate(others):
        assert p.grad is not None and torch.equal(p.grad, of_surrogate[i]) and bool(p.grad.any())
        assert not of_auxiliary[i].any()
    learned = False
    for p, surrogate, auxiliary in zip(own, of_surrogate[len(others) :], of_auxiliary[len(others) :], strict=True):
        assert not surrogate.any()
        assert torch.equal(torch.zeros_like(p) if p.grad is None else p.grad, auxiliary)
        learned |= bool(auxiliary.any())
    assert learned


# Micro-batches.

STATELESS = [entry for entry in estimators.available("bernoulli", "elbo") if not list(entry.create().buffers())]


class Recorded(estimators.Noise):
    """Noise for rows [a, b) of a batch, of what the whole batch drew."""

    def __init__(self, drawn: list[Tensor], rows: slice) -> None:
        super().__init__()
        self.drawn, self.rows = iter(drawn), rows

    def _part(self) -> Tensor:
        return next(self.drawn)[..., self.rows, :].clone()

    def normal(self, count: int, like: Tensor) -> Tensor:
        return self._part()

    def choice(self, options: int, shape: Any, device: torch.device) -> Tensor:
        return self._part()

    def _fine(self, count: int, like: Tensor) -> Tensor:
        return self._part()


class Recording(estimators.Noise):
    """Noise that keeps what it drew."""

    def __init__(self, seed: int) -> None:
        super().__init__(torch.Generator().manual_seed(seed))
        self.drawn: list[Tensor] = []

    def _kept(self, x: Tensor) -> Tensor:
        self.drawn.append(x.clone())
        return x

    def normal(self, count: int, like: Tensor) -> Tensor:
        return self._kept(super().normal(count, like))

    def choice(self, options: int, shape: Any, device: torch.device) -> Tensor:
        return self._kept(super().choice(options, shape, device))

    def _fine(self, count: int, like: Tensor) -> Tensor:
        return self._kept(super()._fine(count, like))


@pytest.mark.parametrize("entry", STATELESS, ids=lambda entry: entry.name)
def test_the_mean_loss_of_micro_batches_is_that_of_the_batch(entry: Entry) -> None:
    values, theta = leaves("bernoulli", 1.0, rows=6), torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    estimator = entry.create(like=build("bernoulli", values)).double()
    f = objective("bernoulli", theta)
    wanted = [*values, theta, *estimator.parameters()]
    noise = Recording(3)
    loss = estimator(build("bernoulli", values), f, generator=noise).loss()
    whole = torch.autograd.grad(loss, wanted, materialize_grads=True)
    total = [torch.zeros_like(p) for p in wanted]
    for first in (0, 2, 4):
        rows = slice(first, first + 2)
        q = build("bernoulli", [v[rows] for v in values])
        part = estimator(q, f, generator=Recorded(noise.drawn, rows)).loss() / 3
        total = [t + g for t, g in zip(total, torch.autograd.grad(part, wanted, materialize_grads=True), strict=True)]
    torch.testing.assert_close(total, list(whole), rtol=1e-10, atol=1e-12)


def test_running_state_is_updated_by_every_micro_batch_and_its_gradient_stays_right_in_mean() -> None:
    """The second micro-batch already sees a baseline that the first has moved: the state is one of two updates."""
    estimator = estimators.get("reinforce").create(baseline="moving-average", decay=0.5)
    q = build("bernoulli", [torch.zeros(2, 3)])
    costs = iter([4.0, 8.0])
    for _ in range(2):
        estimator(q, lambda z, q: z.new_full(z.shape[:2], next(costs)))
    mean = estimator.baseline.mean
    assert mean.value().item() == pytest.approx((0.25 * 4 + 0.5 * 8) / 0.75)


# Clipping.


def test_a_clipped_gradient_has_the_norm_and_own_parameters_do_not_take_part_unless_they_are_given() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5]], requires_grad=True)
    estimator = estimators.get("rebar").create()
    estimator(Bernoulli(logits=logits), lambda z, q: 100 * (z - 0.45).square().sum(-1)).loss().backward()
    own = [p.grad.clone() for p in estimator.parameters() if p.grad is not None]
    nn.utils.clip_grad_norm_([logits], 1.0)
    assert logits.grad is not None and float(logits.grad.norm()) == pytest.approx(1.0, abs=1e-4)
    assert own and all(
        torch.equal(a, p.grad) for a, p in zip(own, estimator.parameters(), strict=True) if p.grad is not None
    )


# Autocast.

AUTOCAST = [e for e in estimators.available("bernoulli", "elbo") if e.unbiased and not e.enumerates]


def network(inputs: int, outputs: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


@pytest.mark.parametrize("entry", AUTOCAST, ids=lambda entry: entry.name)
def test_under_autocast_the_mean_is_the_exact_gradient_under_autocast(entry: Entry) -> None:
    """Encoder and decoder in bfloat16, the call inside autocast and outside: within five standard errors."""
    copies = 4000
    with torch.random.fork_rng():
        encoder, decoder = network(4, 3, seed=0), network(3, 1, seed=1)
    x = torch.linspace(-1, 1, 4)[None]

    def cost_alone(z: Tensor, q: Distribution, /) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cost = 3 * decoder(z).squeeze(-1)
        assert cost.dtype == torch.bfloat16
        return cost

    def with_log_q(z: Tensor, q: Distribution, /) -> Tensor:
        log_q = q.log_prob(z).sum(-1)
        assert log_q.dtype == torch.float32
        return cost_alone(z, q) + log_q

    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw = encoder(x)
    assert raw.dtype == torch.bfloat16
    logits = raw.detach().float()
    for f, inside in itertools.product((cost_alone, with_log_q), (True, False)):
        exact = logits.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(expectation(Bernoulli(logits=exact), f).sum(), exact)
        rows = logits.expand(copies, -1).clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
            estimate = entry.create().eval()(Bernoulli(logits=rows), f, generator=torch.Generator().manual_seed(0))
            assert estimate.surrogate.dtype == torch.float32
        (g,) = torch.autograd.grad(estimate.surrogate.sum(), rows)
        error = g.std(0) / math.sqrt(copies)
        rounding = 2.0**-8 * g.abs().mean(0)  # of the decoder's gradient, where it is asked for
        assert bool(((g.mean(0) - wanted[0]).abs() <= 5 * error + rounding).all()), (f, inside, g.mean(0), wanted)
