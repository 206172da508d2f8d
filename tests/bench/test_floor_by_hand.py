"""What the floor of a step computes: constants, f at them, and the gradients that it asks for."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import estimators
from bench.measure.floor import Given, NetworkPass, Pass, floor_of, plain
from bench.problems.per_layer import PerLayer
from bench.problems.vae import VAE, VAEConfig
from estimators import Estimate, Estimator
from estimators.distributions import from_parameters, live, parameters, sample, stopped

LOGITS = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.0, -0.5]], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)


def gaussian() -> tuple[Distribution, list[Tensor]]:
    leaves = [LOGITS.clone().requires_grad_(), (1 + LOGITS.square()).requires_grad_()]
    return from_parameters("gaussian", *leaves), leaves


class Cost:
    """theta (w z)^2, noting its calls."""

    def __init__(self) -> None:
        self.theta = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        self.points: list[Tensor] = []

    def __call__(self, z: Tensor, q: Distribution, /) -> Tensor:
        assert not any(p.requires_grad for p in parameters(q))
        self.points.append(z)
        return self.theta * (z @ WEIGHTS).square()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_plain_floor_is_f_at_constants_and_a_constant_slope(samples: int) -> None:
    """The mean over draws in theta, and for each of q's parameters a gradient of 1."""
    (q, leaves), f = gaussian(), Cost()
    floor, generator = Given(samples), seeded()
    assert floor.passes == (Pass(samples, weights=True, along=False, inner=0, graph=False),)
    first, second = (floor(q, f, generator=generator) for _ in "12")
    z = sample(q, samples, seeded())
    assert all(torch.equal(point, z) for point in f.points) and len(f.points) == 2
    square = (z @ WEIGHTS).square().mean(0)
    for estimate in (first, second):
        torch.testing.assert_close(estimate.value, 3 * square)
        torch.testing.assert_close(estimate.surrogate, 3 * square + leaves[0].sum(-1) + leaves[1].sum(-1))
        assert not estimate.value.requires_grad and estimate.auxiliary is None
    found = torch.autograd.grad(first.surrogate.sum(), [f.theta, *leaves])
    torch.testing.assert_close(found[0], square.sum())
    assert all(torch.equal(g, torch.ones(2, 3, dtype=torch.float64)) for g in found[1:])
    floor.bind(stack=(2,))
    floor(q, f, generator=generator)
    assert f.points[-1].shape == z.shape and not torch.equal(f.points[-1], z)


def test_classes_of_a_categorical_q_all_have_the_slope() -> None:
    logits = torch.zeros(2, 2, 3, dtype=torch.float64, requires_grad=True)
    q = live(from_parameters("categorical", logits))
    surrogate = Given(2)(q, lambda z, q: z.sum((-2, -1)), generator=seeded()).surrogate
    torch.testing.assert_close(surrogate, 2 + parameters(q)[0].sum((-2, -1)))


def test_passes_in_kind_add_up() -> None:
    """One without a graph, one in theta, one whose slope in z, 2 theta w (w z), is differentiated, and one more."""
    (q, leaves), f = gaussian(), Cost()
    passes = [Pass(4, weights=False), Pass(2), Pass(1, inner=2, graph=True), Pass(3, weights=False, inner=1)]
    estimate = Given(10, passes)(q, f, generator=seeded())
    generator = seeded()
    none, two, one, three = (sample(q, made.rows, generator) for made in passes)
    for point, expected in zip(f.points, (none, two, one, three), strict=True):
        assert torch.equal(point.detach(), expected)
    slopes = (2 * WEIGHTS * (one @ WEIGHTS).unsqueeze(-1)).mean()
    cost = (two @ WEIGHTS).square().mean(0) + (one @ WEIGHTS).square().mean(0) + slopes
    torch.testing.assert_close(estimate.surrogate, 3 * cost + leaves[0].sum(-1) + leaves[1].sum(-1))
    torch.testing.assert_close(estimate.value, 3 * (three @ WEIGHTS).square().mean(0))
    (found,) = torch.autograd.grad(estimate.surrogate.sum(), f.theta)
    torch.testing.assert_close(found, cost.sum())


def test_a_path_into_q_takes_the_constant_slopes_place() -> None:
    """The point moves with the sum of loc and scale; a path whose weights are not reached is none."""
    (q, leaves), f = gaussian(), Cost()
    estimate = Given(2, [Pass(2, along=True)])(q, f, generator=seeded())
    z = sample(q, 2, seeded())
    torch.testing.assert_close(f.points[0].detach(), z)
    slope = (6 * WEIGHTS * (z @ WEIGHTS).unsqueeze(-1)).mean(0)
    for found in torch.autograd.grad(estimate.surrogate.sum(), leaves):
        torch.testing.assert_close(found, slope)
    estimate = Given(2, [Pass(2, weights=False, along=True), Pass(1)])(q, f, generator=seeded())
    for found in torch.autograd.grad(estimate.surrogate.sum(), leaves):
        assert torch.equal(found, torch.ones(2, 3, dtype=torch.float64))


class Net(nn.Module):
    """x -> factor x^2, times what else it is given."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor, times: float = 1.0, *, plus: float = 0.0) -> Tensor:
        return self.factor * x.square() * times + plus


@pytest.mark.parametrize("along", [False, True])
def test_networks_are_passed_at_one_half(along: bool) -> None:
    """Their means add up in the auxiliary loss of every row, with slopes that are differentiated."""
    q, _ = gaussian()
    first, second = Net(8.0), Net(16.0)
    calls = [
        NetworkPass(first, torch.Size([2, 5]), (3.0,), {"plus": 1.0}, Pass(1, along=along)),
        NetworkPass(second, torch.Size([4]), (), {}, Pass(1, inner=1, graph=True)),
    ]
    floor = Given(1, calls=calls)
    estimate = floor(q, Cost(), generator=seeded())
    assert estimate.auxiliary.shape == (2,)
    # 8 / 4 * 3 + 1, 16 / 4, and the second one's slope 2 * 16 / 2
    assert estimate.auxiliary.tolist() == pytest.approx([7.0 + 4.0 + 16.0] * 2)
    assert list(floor.networks) == [first, second]
    total = estimate.auxiliary.mean()
    slopes = torch.autograd.grad(total, [first.factor, second.factor], retain_graph=True)
    assert [float(s) for s in slopes] == pytest.approx([0.75, 1.25])
    assert (floor.behind is not None) == along
    if floor.behind is not None:
        (slope,) = torch.autograd.grad(total, floor.behind)
        assert float(slope) == pytest.approx(2 * 8 * 3 / 2)
    assert floor.draws[-1].shape == (4,) and floor.draws[-2].shape == (2, 5)


def model() -> tuple[VAE, Tensor]:
    config = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=3)
    x = (torch.rand(2, 4, 16, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    return VAE(config, torch.full((16,), 0.3), [0, 1]), x


class Known(Estimator):
    """A network that is not reached, one whose input is differentiated, and f before and after."""

    def __init__(self) -> None:
        super().__init__(1)
        self.idle, self.busy = Net(2.0), Net(4.0)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        assert self.training and torch.equal(context, model()[1])
        assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())
        (logits,) = parameters(q)
        z = sample(q, 5, generator)
        value = f(z, stopped(q)).mean(0)
        with torch.no_grad():
            self.idle(z[0], 6.0)
        x = self.scale * logits.detach().sum(-1)
        out = self.busy(x, plus=2.0)
        torch.autograd.grad(out.sum(), x, create_graph=True)
        return Estimate(value + logits.sum(-1), value.detach(), out)


def test_a_floor_is_made_of_what_was_seen_at_the_rows() -> None:
    """By a copy in training: networks are copies too, at the shapes and with the arguments that they were given."""
    estimator, (vae, x) = Known().eval(), model()
    floor = floor_of(estimator, vae, x, 9)
    assert isinstance(floor, Given)
    assert (floor.samples, floor.passes) == (9, (Pass(5),))
    idle, busy = floor.calls
    assert (idle.shape, idle.rest, idle.more, idle.made) == ((2, 4, 3), (6.0,), {}, Pass(1, weights=False))
    assert (busy.shape, busy.rest, busy.more) == ((2, 4), (), {"plus": 2.0})
    assert busy.made == Pass(1, along=True, inner=1, graph=True)
    assert [call.network.factor.item() for call in floor.calls] == [2.0, 4.0]
    assert busy.network is not estimator.busy and not estimator.training


def test_floors_of_two_layers_are_two() -> None:
    layers = PerLayer(estimators.get("rloo").create(samples=3), estimators.get("rloo").create(samples=5))
    vae, x = model()
    floor = floor_of(layers, vae, x, 7)
    assert isinstance(floor, PerLayer)
    assert [layer.passes for layer in (floor.lower, floor.upper)] == [(Pass(7),), (Pass(5),)]
    yardstick = plain(layers)
    assert isinstance(yardstick, PerLayer)
    assert [layer.passes for layer in (yardstick.lower, yardstick.upper)] == [(Pass(1),), (Pass(1),)]
    alone = plain(estimators.get("rloo").create(samples=3))
    assert isinstance(alone, Given) and alone.passes == (Pass(1),)
