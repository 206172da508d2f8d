"""The floor of a training step: the estimator's passes over f, in kind."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import estimators
from bench.measure.clock import interleaved
from bench.measure.floor import Given, Pass, floor_of
from bench.problems.vae import VAE, VAEConfig
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from estimators import Estimate, Estimator
from estimators.distributions import live, parameters, sample, stopped
from estimators.entry import Entry
from tests.estimators.cases import families_of

CASES = [(entry, family) for entry in estimators.available() for family in families_of(entry)]


def model(family: str, bound: str = "elbo", samples: int | None = None) -> tuple[VAE, Tensor]:
    more: dict = {"categories": 3} if family == "categorical" else {}
    if bound == "iwae":
        more |= {"bound": "iwae", "importance_samples": samples}
    config = VAEConfig(kind="vae", dataset="digits", family=family, latents=3, architecture=(5,), **more)
    x = (torch.rand(2, 4, 16, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    return VAE(config, torch.full((16,), 0.3), [0, 1]), x


def bound_to(entry: Entry, family: str) -> tuple[Estimator, VAE, Tensor]:
    """An estimator of two samples or the next legal number, a model of two seeds that it is bound to, and rows."""
    samples = next(s for s in range(2, 9) if entry.samples.allow(s))
    vae, x = model(family, entry.bound, samples)
    estimator = entry.create(samples=samples)
    estimator.bind(stack=(2,), context_size=16, event=vae.event, generator=torch.Generator().manual_seed(0))
    return estimator, vae, x


@pytest.mark.parametrize(("entry", "family"), CASES, ids=[f"{entry.name}-{family}" for entry, family in CASES])
def test_a_floor_makes_the_passes_of_its_estimator(entry: Entry, family: str) -> None:
    """Watched in turn, it is its own floor; and what it evaluates is what the tags say."""
    estimator, vae, x = bound_to(entry, family)
    before = {name: value.clone() for name, value in estimator.state_dict().items()}
    floor = floor_of(estimator, vae, x, estimator.samples)
    assert isinstance(floor, Given)
    for name, value in estimator.state_dict().items():
        assert torch.equal(value, before[name]), name
    again = floor_of(floor, vae, x, estimator.samples)
    assert isinstance(again, Given)
    assert again.passes == floor.passes
    assert [(call.shape, call.made) for call in again.calls] == [(call.shape, call.made) for call in floor.calls]
    rows = sum(made.rows for made in floor.passes)
    if not entry.enumerates and (count := entry.evaluations(estimator.samples, vae.event)) is not None:
        assert rows == count
    assert any(made.weights for made in floor.passes)
    if entry.needs == "neither":
        assert not any(made.along or made.inner for made in floor.passes)
    elif entry.needs is not None:
        assert any(made.along or made.inner for made in floor.passes)


@pytest.mark.parametrize(("entry", "family"), CASES, ids=[f"{entry.name}-{family}" for entry, family in CASES])
def test_a_floor_trains_the_model(entry: Entry, family: str) -> None:
    estimator, vae, x = bound_to(entry, family)
    trainer = Trainer(vae, floor_of(estimator, vae, x, estimator.samples), Optimisation(), noise_seed=0)
    trainer.step(x)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trainer.parameters)
    assert all(float(p.grad.abs().max()) > 0 for p in vae.encoder.parameters() if p.grad is not None)


class Operations(TorchDispatchMode):
    """Counts what is computed, views of it apart: on a small model, what a step costs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operations(vae: VAE, estimator: Estimator, x: Tensor) -> int:
    """Of a forward and a backward pass, after those that make constants."""
    trainer = Trainer(vae, estimator, Optimisation(), noise_seed=0)
    trainer.backward(x)
    with Operations() as seen:
        trainer.backward(x)
    return seen.count


@pytest.mark.parametrize(("entry", "family"), CASES, ids=[f"{entry.name}-{family}" for entry, family in CASES])
def test_a_floor_is_below_its_estimator(entry: Entry, family: str) -> None:
    """What it computes is less than what the estimator does, or some step would be faster than its floor."""
    estimator, vae, x = bound_to(entry, family)
    floor = floor_of(estimator, vae, x, estimator.samples)
    assert operations(vae, floor, x) < operations(vae, estimator, x)


def test_a_path_leads_to_every_parameter_of_q() -> None:
    """The draws stay where they are given until q moves, and each parameter gets f's own gradient."""
    vae, x = model("gaussian")
    q = vae.encode(x)
    floor = Given(2, [Pass(2, along=True)])
    generator = torch.Generator().manual_seed(0)
    points: list[Tensor] = []

    def f(z: Tensor, q: object) -> Tensor:
        points.append(z)
        return (3 * z).sum(-1)

    surrogate = floor(q, f, generator=generator).surrogate
    drawn = sample(q, 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(points[0].detach(), drawn)
    for gradient in torch.autograd.grad(surrogate.sum(), parameters(q)):
        torch.testing.assert_close(gradient, torch.full_like(gradient, 3.0))


def test_rounds_take_turns_in_going_first() -> None:
    """Who follows whom decides what is in the cache: over three rounds, each of three has had every place."""
    order: list[str] = []
    seconds = interleaved([lambda name=name: order.append(name) for name in "abc"], rounds=4, warm_up=1)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc" + "bca"
    assert [len(taken) for taken in seconds] == [4, 4, 4]


class Mixed(Estimator):
    """One pass of each kind."""

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        (logits,) = parameters(q)
        with torch.no_grad():
            f(sample(q, 3, generator), stopped(q))
        values = f(sample(q, 2, generator), stopped(q))
        path = f((logits + torch.zeros(1, *logits.shape)).sigmoid(), live(q))
        point = sample(q, 1, generator).requires_grad_()
        (slope,) = torch.autograd.grad(f(point, stopped(q)).sum(), point)
        twice = sample(q, 1, generator).requires_grad_()
        (first,) = torch.autograd.grad(f(twice, stopped(q)).sum(), twice, create_graph=True)
        torch.autograd.grad(first.sum(), twice, retain_graph=True)
        torch.autograd.grad(first.sum(), twice)
        surrogate = values.mean(0) + path.mean(0) + (slope[0] * logits).sum(-1)
        return Estimate(surrogate, values.mean(0).detach())


def test_passes_are_told_apart() -> None:
    vae, x = model("bernoulli")
    floor = floor_of(Mixed(), vae, x, 8)
    assert isinstance(floor, Given)
    assert floor.passes == (
        Pass(3, weights=False),
        Pass(2),
        Pass(1, along=True),
        Pass(1, weights=False, inner=1),
        Pass(1, weights=False, inner=3, graph=True),
    )


class Foreign(Estimator):
    """With torch's own modules: one of two inputs by place, and one that returns no tensor."""

    def __init__(self, samples: int = 1) -> None:
        super().__init__(samples)
        self.pair, self.memory = torch.nn.Bilinear(3, 3, 7), torch.nn.LSTM(3, 2)
        self.last = torch.nn.Linear(7, 1)

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        z = sample(q, 1, generator)
        cost = f(z, stopped(q)).mean(0)
        self.memory(z[0])
        guess = self.last(self.pair(z[0], parameters(q)[0].detach())).squeeze(-1)
        return Estimate(cost + parameters(q)[0].sum(-1), cost.detach(), (guess - cost.detach()).square())


def test_a_third_partys_modules_are_floored_where_they_are_networks() -> None:
    vae, x = model("bernoulli")
    floor = floor_of(Foreign(), vae, x, 1)
    assert isinstance(floor, Given)
    assert [type(call.network).__name__ for call in floor.calls] == ["Bilinear", "Linear"]
    trainer = Trainer(vae, floor, Optimisation(), noise_seed=0)
    trainer.step(x)
    assert all(p.grad is not None for p in trainer.parameters)


def test_watching_leaves_no_hook_behind() -> None:
    estimator, vae, x = bound_to(estimators.get("relax"), "bernoulli")
    floor_of(estimator, vae, x, 1)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in estimator.modules())
