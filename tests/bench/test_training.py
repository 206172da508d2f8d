"""Training: stacked seeds are single seeds, a NaN stays in its own, evaluation is right."""

import copy
import itertools
import math
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import bench.datasets
import estimators
from bench.config import EstimatorConfig
from bench.machine_load import Patience
from bench.measure import elbo, wallclock
from bench.measure.basket import BasketConfig
from bench.measure.elbo import TrainConfig
from bench.measure.floor import Given
from bench.measure.trajectory import travel
from bench.measure.wallclock import TimeConfig
from bench.problems import base as problems
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training.batches import Batches, binarised, subset
from bench.training.evaluation import evaluate
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from estimators import Estimate, Estimator
from estimators.distributions import log_prob, sample
from estimators.exact import expectation, states
from estimators.noise import Noise
from estimators.parts.network import Network
from tests.bench.by_hand import by_seed, terms, weights_of
from tests.bench.plain import measure_basket, measure_time, measure_training
from tests.bench.test_datasets import needs

CPU = torch.device("cpu")
SEED_9 = {"data": 0x29CB2996, "binarisation": 0xC8806D46}
"""The first 32 bits of sha256 of "data:9" and "binarisation:9"."""


def _config(family: str = "bernoulli", **factors) -> VAEConfig:
    if family == "categorical":
        factors["categories"] = 3
    return VAEConfig(kind="vae", dataset="digits", family=family, latents=3, architecture=(8,), **factors)


def _train(seeds: list[int], estimator: Estimator, steps: int = 12, config: VAEConfig | None = None) -> Trainer:
    """In double precision, since Adam amplifies the rounding of gradients near zero."""
    dataset = bench.datasets.load("digits")
    vae = VAE(config or _config(), dataset.train.mean(0), seeds).double()
    estimator.bind(stack=(len(seeds),), context_size=64, generator=torch.Generator().manual_seed(0))
    trainer = Trainer(vae, estimator, Optimisation(learning_rate=1e-2), noise_seed=5)
    for x in itertools.islice(Batches(dataset, 20, seeds, CPU), steps):
        trainer.step(x.double())
    return trainer


@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
def test_stacked_seeds_give_what_single_training_gives(family: str) -> None:
    config = _config(family, prior="learned")
    together = _train([0, 1, 2], estimators.get("exact").create(), config=config).model
    for index, seed in enumerate([0, 1, 2]):
        alone = _train([seed], estimators.get("exact").create(), config=config).model
        for (name, a), b in zip(alone.named_parameters(), together.parameters(), strict=True):
            torch.testing.assert_close(a[0], b[index], rtol=1e-9, atol=1e-12, msg=name)


def test_stacked_noise_gives_what_single_noise_gives() -> None:
    """One sample a row: the stack's uniform noise is the seeds' own, one after another."""
    dataset = bench.datasets.load("digits")
    x = next(Batches(dataset, 20, [0, 1], CPU))

    def trainer(seeds: list[int]) -> Trainer:
        vae = VAE(_config(), dataset.train.mean(0), seeds)
        return Trainer(vae, estimators.get("reinforce").create(), Optimisation(), noise_seed=5)

    together = trainer([0, 1])
    together.backward(x)
    generator = stream("noise", 5)
    for index, seed in enumerate((0, 1)):
        alone = trainer([seed])
        alone.generators[0] = generator
        alone.backward(x[index : index + 1])
        for a, b in zip(alone.model.encoder.parameters(), together.model.encoder.parameters(), strict=True):
            torch.testing.assert_close(a.grad[0], b.grad[index], rtol=1e-4, atol=1e-6)


def test_a_seed_owns_its_data_order_and_its_binarisation() -> None:
    digits = bench.datasets.load("digits")
    dynamic = digits._replace(train=0.5 * digits.train, dynamic=True)
    for dataset in (digits, dynamic):
        alone = list(itertools.islice(Batches(dataset, 500, [4], CPU), 5))
        stacked = list(itertools.islice(Batches(dataset, 500, [9, 4], CPU), 5))
        for a, b in zip(alone, stacked, strict=True):
            assert torch.equal(a[0], b[1])
            assert not torch.equal(a[0], b[0])
            assert set(a.unique().tolist()) == {0.0, 1.0}
    first, *_, later = itertools.islice(Batches(digits, 500, [4], CPU), 3)
    assert not torch.equal(first, later), "the next pass has the order of the first"


def test_batches_are_slices_of_each_seeds_permutations() -> None:
    """Of eleven rows, two batches of four a pass; seeds are the first 32 bits of sha256 of "data:3" and "data:9"."""
    digits = bench.datasets.load("digits")
    numbered = digits._replace(train=torch.arange(11.0)[:, None])
    found = torch.stack([next(batches)[..., 0] for batches in [Batches(numbered, 4, [3, 9], CPU)] for _ in range(6)])
    for index, seed in enumerate((0x1E1DAF24, SEED_9["data"])):
        generator = torch.Generator().manual_seed(seed)
        orders = torch.stack([torch.randperm(11, generator=generator)[:8] for _ in range(3)])
        assert torch.equal(found[:, index], orders.reshape(6, 4).float())


def test_intensities_are_drawn_anew_in_every_batch_from_a_stream_beside_the_orders() -> None:
    """1 where the uniform number is less than the intensity; the stream is that of "binarisation:9"."""
    digits = bench.datasets.load("digits")
    intensity = torch.tensor([[0.0, 1.0, 0.5, 0.2], [0.0, 1.0, 0.9, 0.5], [0.0, 1.0, 0.1, 0.6]])
    batches = Batches(digits._replace(train=intensity, dynamic=True), 2, [3, 9], CPU)
    order, noise = (torch.Generator().manual_seed(SEED_9[name]) for name in ("data", "binarisation"))
    for _ in range(8):
        rows = intensity[torch.randperm(3, generator=order)[:2]]
        expected = (torch.rand(2, 4, generator=noise) < rows).float()
        assert torch.equal(next(batches)[1], expected)


def test_every_row_is_seen_once_a_pass() -> None:
    dataset = bench.datasets.load("digits")
    numbered = dataset._replace(train=torch.arange(12.0)[:, None])
    passes = list(itertools.islice(Batches(numbered, 4, [0], CPU), 6))
    for start in (0, 3):
        assert sorted(torch.cat(passes[start : start + 3], 1).flatten().tolist()) == list(range(12))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch = 2000 is larger than the train split of digits, 1285 rows"):
        next(Batches(bench.datasets.load("digits"), 2000, [0], CPU))


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("bound", ["elbo", "iwae"])
def test_encoder_decoder_and_prior_take_the_mean_over_the_batch_alike(bound: str, samples: int) -> None:
    """A batch that is its rows twice leaves every weight's gradient as it is; a sum anywhere would double it."""
    dataset = bench.datasets.load("digits")
    factors = {"bound": "iwae", "importance_samples": samples} if bound == "iwae" else {}
    vae = VAE(_config("gaussian", prior="learned", **factors), dataset.train.mean(0), [0, 1]).double()
    x = next(Batches(dataset, 10, [0, 1], CPU)).double()
    name = "iwae-reparameterization" if bound == "iwae" else "reparameterization"

    def found(times: int) -> list[Tensor]:
        estimator = estimators.get(name).create(samples=samples)
        noise = torch.randn(samples, 2, 10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Noise, "normal", lambda *_: noise.repeat(1, 1, times, 1))
            Trainer(vae, estimator, Optimisation(), noise_seed=5).backward(x.repeat(1, times, 1))
        return [p.grad.clone() for p in vae.parameters() if p.grad is not None]

    once, twice = found(1), found(2)
    assert len(once) == len(list(vae.parameters()))
    for a, b in zip(once, twice, strict=True):
        assert float(a.abs().max()) > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_every_weight_follows_the_mean_of_the_rows_bounds() -> None:
    """The gradient of the mean over rows of -ELBO, summed over states, in encoder, decoder and prior alike."""
    dataset = bench.datasets.load("digits")
    vae = VAE(_config(prior="learned"), dataset.train.mean(0), [0, 1]).double()
    x = next(Batches(dataset, 10, [0, 1], CPU)).double()
    Trainer(vae, estimators.get("exact").create(), Optimisation(), noise_seed=5).backward(x)
    weights = list(vae.parameters())
    found = [p.grad.clone() for p in weights]
    total = sum(
        expectation(vae.encode(x), vae.objective(x))[seed, row] / 10
        for seed, row in itertools.product((0, 1), range(10))
    )
    for got, wanted in zip(found, torch.autograd.grad(total, weights), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


class OneDraw(Estimator):
    """f at draws given; its own loss pulls a number a seed towards the mean of the context."""

    def __init__(self, draws: Tensor) -> None:
        super().__init__(len(draws))
        self.draws = draws
        self.own = nn.Parameter(torch.tensor([[0.5], [-0.25]], dtype=torch.float64))

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        value = f(self.draws, q).mean(0)
        return Estimate(value, value.detach(), (self.own - context.mean(-1)).square())


def _updated(optimiser: str, rate: float, value: Tensor, slopes: list[Tensor]) -> Tensor:
    """A weight after steps with these gradients, by plain SGD or by Adam with the constants of its paper."""
    first, second = torch.zeros_like(value), torch.zeros_like(value)
    for step, g in enumerate(slopes, 1):
        if optimiser == "sgd":
            value = value - rate * g
            continue
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        value = value - rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
    return value


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("entropy", ["sampled", "analytic"])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_steps_are_those_written_out_by_hand(family: str, entropy: str, optimiser: str) -> None:
    """Each seed's loss and weights after each of three steps on other rows, own parameters at their own rate."""
    learned = optimiser == "sgd"
    config = _config(family, entropy=entropy, prior="learned" if learned else "fixed")
    vae = VAE(config, torch.linspace(0.1, 0.9, 6), [0, 1]).double()
    with torch.no_grad():
        vae.prior_parameters += (
            0.4 * torch.arange(vae.prior_parameters.numel()).reshape(vae.prior_parameters.shape).cos()
        )
    generator = torch.Generator().manual_seed(4)
    batches = [(torch.rand(2, 5, 6, generator=generator) > 0.4).double() for _ in range(3)]
    z = sample(vae.encode(batches[0]), 2, generator).detach()
    estimator = OneDraw(z)
    settings = Optimisation(optimiser=optimiser, learning_rate=0.02, own_learning_rate=0.3)
    start, own = weights_of(vae), estimator.own.detach().clone()
    trainer, now = Trainer(vae, estimator, settings, noise_seed=5), weights_of(vae)
    slopes: dict[str, list[Tensor]] = {name: [] for name in now}
    own_slopes: list[Tensor] = []
    for number, x in enumerate(batches, 1):
        rows = [(t.analytic_loss if entropy == "analytic" else t.loss).mean(0) for t in by_seed(vae, now, x, z)]
        names = [name for name in now if learned or name != "prior_parameters"]
        for name, g in zip(
            names, torch.autograd.grad(torch.stack(rows).mean(-1).sum(), [now[n] for n in names]), strict=True
        ):
            slopes[name].append(g)
        own_now = _updated(optimiser, 0.3, own, own_slopes)
        own_slopes.append(2 * (own_now - x.mean((1, 2))[:, None]))
        torch.testing.assert_close(trainer.backward(x), torch.stack(rows).mean(-1).detach())
        trainer.step(x)
        assert (trainer.steps, int(trainer.step_on_device)) == (number, number)
        now = {name: _updated(optimiser, 0.02, value, slopes[name]) for name, value in start.items()}
        now = {name: value.detach().requires_grad_() for name, value in now.items()}
        for name, p in vae.named_parameters():
            torch.testing.assert_close(p.detach(), now[name].detach(), rtol=1e-8, atol=1e-10)
        expected = _updated(optimiser, 0.3, own, own_slopes)
        torch.testing.assert_close(estimator.own.detach(), expected, rtol=1e-8, atol=1e-10)
    moved = {name for name in now if not torch.equal(now[name].detach(), start[name].detach())}
    assert moved == set(now) - (set() if learned else {"prior_parameters"})


def test_a_trainer_draws_from_the_noise_of_its_seed() -> None:
    """The first 32 bits of sha256 of "noise:5"."""
    vae = VAE(_config(), torch.full((6,), 0.5), [0])
    trainer = Trainer(vae.eval(), estimators.get("rloo").create().eval(), Optimisation(), noise_seed=5)
    assert trainer.generator.initial_seed() == 0x6F2E44BC
    assert vae.training and trainer.estimator.training


def test_a_seed_is_marked_at_the_first_step_whose_value_is_no_number() -> None:
    vae = VAE(_config(), torch.full((6,), 0.5), [0, 1, 2, 3])
    trainer = Trainer(vae, estimators.get("rloo").create(), Optimisation(), noise_seed=5)
    nan, inf = math.nan, math.inf
    for step, values in ((2, [1.0, nan, 1e30, -1e30]), (3, [1.0, 5.0, inf, 0.0]), (7, [1.0, nan, nan, -inf])):
        trainer.step_on_device.fill_(step)
        trainer.mark_diverged(torch.tensor(values))
    assert trainer.diverged_at.tolist() == [-1, 2, 3, 7]


LEARNERS = [
    ("bernoulli", "reinforce", {"baseline": "input-dependent"}),
    ("bernoulli", "rebar", {}),
    ("categorical", "rebar", {}),
    ("bernoulli", "relax", {}),
    ("bernoulli", "relax-rebar", {}),
    ("bernoulli", "double-cv", {"samples": 2, "scale": 0.1}),
    ("bernoulli", "rodeo", {"samples": 2, "scale": 0.1}),
    ("gaussian", "lax", {}),
]


class Learner(NamedTuple):
    """Two stacked seeds after one step of SGD."""

    trainer: Trainer
    start: list[Tensor]
    """Own parameters before the step."""
    slopes: tuple[Tensor, ...]
    """Of the auxiliary loss, a mean over rows, in own parameters."""

    @property
    def moves(self) -> list[Tensor]:
        """What the step has added to own parameters."""
        return [own.detach() - p for own, p in zip(self.trainer.estimator.parameters(), self.start, strict=True)]


def _learner(family: str, name: str, options: dict, rate: float, spoil: bool = False) -> Learner:
    dataset = bench.datasets.load("digits")
    vae = VAE(_config(family), dataset.train.mean(0), [0, 1]).double()
    estimator = estimators.get(name).create(**options)
    initial = torch.Generator().manual_seed(0)
    estimator.bind(stack=(2,), context_size=64, event=vae.event, generator=initial).double()
    start = [p.detach().clone() for p in estimator.parameters()]
    settings = Optimisation(optimiser="sgd", learning_rate=1e-3, own_learning_rate=rate)
    trainer = Trainer(vae, estimator, settings, noise_seed=5)
    x = next(Batches(dataset, 10, [0, 1], CPU)).double()
    if spoil:
        x[1] = 1 - x[1]
    same, noise = copy.deepcopy(estimator), torch.Generator()
    noise.set_state(trainer.generator.get_state())
    loss = same(vae.encode(x), vae.objective(x), generator=noise, context=x).auxiliary
    slopes = torch.autograd.grad(loss.mean(-1).sum(), list(same.parameters()))
    trainer.step(x)
    return Learner(trainer, start, slopes)


@pytest.mark.parametrize(("family", "name", "options"), LEARNERS, ids=[f"{n}-{f}" for f, n, _ in LEARNERS])
def test_own_parameters_train_by_the_auxiliary_loss_at_their_own_rate_and_by_seed(
    family: str, name: str, options: dict
) -> None:
    """A step is the rate times the slope of the loss, a mean over rows; the model's step does not depend on it."""
    rate = 1e-4
    slow, fast = (_learner(family, name, options, r) for r in (rate, 10 * rate))
    assert slow.moves
    for move, faster, slope in zip(slow.moves, fast.moves, slow.slopes, strict=True):
        assert len(move) == 2
        assert bool((move.flatten(1).abs().amax(1) > 0).all())
        torch.testing.assert_close(move, -rate * slope, rtol=1e-6, atol=1e-14)
        torch.testing.assert_close(faster, -10 * rate * slope, rtol=1e-6, atol=1e-14)
    for a, b in zip(slow.trainer.model.parameters(), fast.trainer.model.parameters(), strict=True):
        assert torch.equal(a, b)
    # The second seed's rows are others: the first one's parameters do not notice.
    spoilt = _learner(family, name, options, rate, spoil=True)
    for move, other in zip(slow.moves, spoilt.moves, strict=True):
        torch.testing.assert_close(move[0], other[0], rtol=1e-9, atol=1e-15)
        assert not torch.equal(move[1], other[1])


@pytest.mark.parametrize(("family", "name", "options"), LEARNERS, ids=[f"{n}-{f}" for f, n, _ in LEARNERS])
def test_the_timed_step_trains_own_parameters_and_its_floor_copies_of_its_networks(
    family: str, name: str, options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator = estimators.get(name).create(**options)
    trainers: list[Trainer] = []

    class Watched(Trainer):
        def __init__(self, *arguments, **more) -> None:
            super().__init__(*arguments, **more)
            trainers.append(self)
            self.start = [p.detach().clone() for p in self.estimator.parameters()]

    monkeypatch.setattr("bench.measure.wallclock.Trainer", Watched)
    config = TimeConfig(optimisation=Optimisation(batch=10), rounds=5, warm_up=1)
    found = measure_time(_config(family), estimator, config, seed=0, device=CPU)
    subject, floor, plain = trainers
    assert not list(plain.estimator.parameters())
    assert subject.estimator is estimator
    assert all(not torch.equal(a, b) for a, b in zip(subject.start, estimator.parameters(), strict=True))
    assert not {*map(id, floor.estimator.parameters())} & {*map(id, estimator.parameters())}
    networks = [tuple(p.shape) for m in estimator.modules() if isinstance(m, Network) for p in m.parameters()]
    networks = [()] * (floor.estimator.behind is not None) + networks
    assert [tuple(p.shape) for p in floor.estimator.parameters()] == networks
    assert all(not torch.equal(a, b) for a, b in zip(floor.start, floor.estimator.parameters(), strict=True))
    event = (3, 3) if family == "categorical" else (3,)
    assert found["rows"] == estimators.get(name).evaluations(estimator.samples, event) == floor.estimator.samples


class Poisoned(Estimator):
    """REINFORCE whose second stacked seed meets a NaN in its fourth call."""

    def __init__(self, samples: int = 1) -> None:
        super().__init__(samples)
        self.inner = estimators.get("reinforce").create()
        self.calls = 0
        self.poison = True

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        self.calls += 1
        estimate = self.inner(q, f, generator=generator)
        if not self.poison or self.calls != 4:
            return estimate
        factor = torch.ones(q.logits.shape[0], 1)
        factor[1] = float("nan")
        return Estimate(estimate.surrogate * factor, estimate.value * factor.expand_as(estimate.value))


def test_a_nan_marks_its_seed_and_the_others_go_on_unchanged() -> None:
    healthy = Poisoned()
    healthy.poison = False
    clean, poisoned = _train([0, 1, 2], healthy), _train([0, 1, 2], Poisoned())
    assert clean.diverged_at.tolist() == [-1, -1, -1]
    assert poisoned.diverged_at.tolist() == [-1, 4, -1]
    for a, b in zip(clean.model.encoder.parameters(), poisoned.model.encoder.parameters(), strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[2], b[2])
        assert b[1].isnan().all()


def test_evaluation_agrees_with_enumeration() -> None:
    dataset = bench.datasets.load("digits")
    vae = VAE(_config(), dataset.train.mean(0), [0, 1])
    rows = dataset.test[:50]
    x = rows.expand(2, 50, 64)
    q = vae.encode(x)
    exact = -expectation(q, vae.objective(x)).mean(-1).double()
    z = states(q).expand(-1, *q.logits.shape)
    log_p = (log_prob(vae.prior(), z) + vae.log_likelihood(x, z)).logsumexp(0).mean(-1).double()
    elbo, iwae = evaluate(vae, rows, samples=400, seed=0)
    torch.testing.assert_close(elbo, exact, atol=0.02, rtol=0)
    torch.testing.assert_close(iwae, log_p, atol=0.02, rtol=0)
    assert (elbo < iwae).all()
    one, same = evaluate(vae, rows, samples=1, seed=0)
    assert one.shape == same.shape == (2,)


@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
def test_a_bound_of_two_draws_is_the_mean_over_pairs_and_the_elbo_takes_its_kl_in_closed_form(family: str) -> None:
    """Of 20,000 copies of a row, by enumeration: E log((w + w') / 2), and E log p(x|z) less the KL divergence."""
    config = _config(family, prior="learned", signed_decoder_input=True)
    vae = VAE(config, torch.linspace(0.1, 0.9, 6), [0, 1]).double()
    with torch.no_grad():  # sharp weights, or the two bounds are the same
        for index, p in enumerate(vae.parameters()):
            p += torch.arange(p.numel()).reshape(p.shape).add(index).cos()
    row = torch.tensor([[1.0, 0, 0, 1, 1, 0]]).double()
    elbo, iwae = evaluate(vae, row.repeat(20_000, 1), samples=2, seed=3)
    z = states(vae.encode(row.expand(2, 1, 6)))
    z = z.expand(-1, 2, 1, *vae.event)
    for seed, by_hand in enumerate(by_seed(vae, dict(vae.named_parameters()), row.expand(2, 1, 6), z)):
        log_q, log_w = by_hand.log_q[:, 0].detach(), -by_hand.loss[:, 0].detach()
        chance, pairs = log_q.exp(), torch.logaddexp(log_w[:, None], log_w) - math.log(2)
        both = chance[:, None] * chance
        bound, one = float((both * pairs).sum()), float((chance * log_w).sum())
        spread = float((both * (pairs - bound).square()).sum().sqrt())
        assert float(iwae[seed]) == pytest.approx(bound, abs=5 * spread / 20_000**0.5)
        log_likelihood = by_hand.log_likelihood[:, 0].detach()
        mean = float((chance * log_likelihood).sum())
        spread = float((chance * (log_likelihood - mean).square()).sum().sqrt()) / 2**0.5
        assert float(elbo[seed]) == pytest.approx(one, abs=5 * spread / 20_000**0.5)
        assert bound > one + 0.05, "weights so even would not tell the two bounds apart"
        assert one == pytest.approx(mean - float(by_hand.kl.detach()))


def test_an_evaluation_in_parts_is_the_mean_over_all_rows() -> None:
    """Of certain bits, whose draws all are the same: five rows, two at once."""
    vae = VAE(_config(prior="learned"), torch.linspace(0.1, 0.9, 6), [0, 1]).double()
    with torch.no_grad():
        vae.encoder[-1].bias.copy_(torch.tensor([[[90.0, -90.0, 90.0]], [[-90.0, -90.0, 90.0]]]))
        vae.prior_parameters += torch.arange(6.0).reshape(2, 1, 3).cos()
    rows = torch.tensor([[1.0, 0, 0, 1, 1, 0], [0, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0] * 6])
    z = (vae.encoder[-1].bias > 0).double().detach()[None]
    weights = dict(vae.named_parameters())
    x = rows.double().expand(2, 5, 6)
    expected = [
        (t.log_likelihood + t.log_prior).mean().detach() for t in by_seed(vae, weights, x, z.expand(1, 2, 5, 3))
    ]
    seen = list[int]()
    vae.decoder.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[:-1].numel()))
    bounds = evaluate(vae, rows.double(), samples=2**13, seed=0)
    assert seen == [2**15, 2**15, 2**14], "more rows at once than memory is meant to hold"
    for bound in bounds:
        assert bound.dtype == torch.float64
        torch.testing.assert_close(bound, torch.stack(expected))


def test_an_evaluation_draws_from_the_stream_of_its_seed() -> None:
    vae = VAE(_config(), torch.full((64,), 0.3), [0])
    rows = bench.datasets.load("digits").test[:3]
    (elbo, first), again, other = (evaluate(vae, rows, samples=2, seed=seed) for seed in (0, 0, 3))
    assert (elbo, first) == again
    assert not torch.equal(elbo, other[0]) and not torch.equal(first, other[1])
    z = sample(vae.encode(rows[None]), 2, torch.Generator().manual_seed(0x31672463))  # sha256 of "evaluate:0"
    t = terms(vae, dict(vae.named_parameters()), 0, rows, z[:, 0])
    expected = (-t.loss).logsumexp(0).mean() - math.log(2)
    assert float(first) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert float(elbo) == pytest.approx(float((t.log_likelihood.mean(0) - t.kl).mean().detach()), rel=1e-5)


STILL = Optimisation(steps=10, batch=20, learning_rate=1e-30, own_learning_rate=1e-30)
"""Steps that leave every weight where it is."""


def test_a_record_of_training_is_of_the_rows_draws_and_splits_that_its_settings_say() -> None:
    dataset = bench.datasets.load("digits")
    config = TrainConfig(
        optimisation=STILL, seeds=3, evaluations=4, evaluation_rows=100, evaluation_samples=3, iwae_samples=7
    )
    problem = _config("categorical", prior="learned", bias_from_data=False)
    found = measure_training(problem, estimators.get("rloo").create(samples=4), config, seed=8, device=CPU)
    vae = VAE(problem, dataset.train.mean(0), [0, 1, 2])
    train, test = (subset(rows, 100) for rows in (dataset.train, dataset.test))
    curve, final = found["curve"], found["final"]
    assert curve["step"] == [0, 2, 5, 8, 10]  # 2.5 and 7.5 to the even
    assert curve["f_evals"] == [80 * step for step in curve["step"]]  # 20 rows, 4 draws
    for name, rows in (("train_elbo", train), ("test_elbo", test)):
        expected = evaluate(vae, rows, samples=3, seed=0)[0].tolist()
        assert curve[name] == [pytest.approx(expected, rel=1e-9)] * 5
        assert final[name] == curve[name][-1]
        assert len(set(expected)) == 3
    assert final["test_iwae"] == pytest.approx(evaluate(vae, dataset.test, samples=7, seed=0)[1].tolist(), rel=1e-9)
    assert (final["iwae_samples"], found["rows_per_step"], found["captured"]) == (7, 20, False)
    assert (found["seeds"], found["diverged"]) == ([0, 1, 2], [None] * 3)
    assert found["evaluated_rows"] == {"train": 100, "test": 100}
    # 64-8-9 and 9-8-64, each layer with its bias, and a prior of 3 x 3.
    assert found["parameters"] == 64 * 8 + 8 + 8 * 9 + 9 + 9 * 8 + 8 + 8 * 64 + 64 + 9
    whole = config.model_copy(update={"evaluation_rows": 600, "evaluations": 30, "seeds": 1})
    found = measure_training(problem, estimators.get("exact").create(), whole, seed=8, device=CPU)
    assert found["evaluated_rows"] == {"train": 600, "test": 256}
    assert found["curve"]["step"] == list(range(11))
    assert found["curve"]["f_evals"] == [20 * 27 * step for step in range(11)]


def test_training_notices_its_seed_in_noise_alone() -> None:
    """A cell's seed is that of its noise; the seeds of a stack own initialisation and data, the same in every cell."""
    config = TrainConfig(optimisation=Optimisation(steps=3, batch=20, learning_rate=0.1), seeds=2, evaluations=1)

    def end(name: str, seed: int) -> list[float]:
        found = measure_training(_config(), estimators.get(name).create(), config, seed=seed, device=CPU)
        return found["final"]["train_elbo"]

    assert end("exact", 1) == end("exact", 2)
    assert end("rloo", 1) != end("rloo", 2)
    assert end("rloo", 1) == end("rloo", 1)


def test_a_bound_that_is_no_number_is_written_as_none_and_marks_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = iter(
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [-1.5, math.inf, 2.5], [3.5, 4.5, math.nan], [7.0, -math.inf, 8.0]]
    )
    monkeypatch.setattr(
        elbo, "evaluate", lambda *rest, **more: [torch.tensor(values := next(bounds)), torch.tensor(values)]
    )
    config = TrainConfig(optimisation=STILL, seeds=3, evaluations=1)
    found = measure_training(_config(), estimators.get("rloo").create(), config, seed=0, device=CPU)
    assert found["curve"]["train_elbo"] == [[1.0, 2.0, 3.0], [-1.5, None, 2.5]]
    assert found["curve"]["test_elbo"] == [[4.0, 5.0, 6.0], [3.5, 4.5, None]]
    assert found["final"]["test_iwae"] == [7.0, None, 8.0]
    assert found["diverged"] == [None, 10, 10]


def test_training_raises_the_elbo_and_its_curve_is_consistent() -> None:
    config = TrainConfig(
        optimisation=Optimisation(steps=150, batch=50, learning_rate=1e-2),
        seeds=2,
        evaluations=3,
        iwae_samples=20,
    )
    found = measure_training(_config(), estimators.get("rloo").create(), config, seed=1, device=CPU)
    curve, final = found["curve"], found["final"]
    assert curve["step"] == [0, 50, 100, 150]
    assert curve["f_evals"] == [0, 5000, 10000, 15000]  # 2 evaluations a row, 50 rows a step
    assert curve["seconds"] == sorted(curve["seconds"])
    assert all(last > first + 1 for first, last in zip(curve["train_elbo"][0], curve["train_elbo"][-1], strict=True))
    assert all(k > one for one, k in zip(final["test_elbo"], final["test_iwae"], strict=True))
    assert found["diverged"] == [None, None]
    again = measure_training(_config(), estimators.get("rloo").create(), config, seed=1, device=CPU)
    assert again["final"] == final, "the same seed gave other numbers"


def test_one_seed_alone_and_in_a_stack_end_with_the_same_elbo() -> None:
    config = TrainConfig(optimisation=Optimisation(steps=20, batch=50), seeds=3, evaluations=1)
    three = measure_training(_config(), estimators.get("exact").create(), config, seed=1, device=CPU)
    one = measure_training(
        _config(),
        estimators.get("exact").create(),
        config.model_copy(update={"seeds": 1}),
        seed=1,
        device=CPU,
    )
    assert one["final"]["train_elbo"][0] == pytest.approx(three["final"]["train_elbo"][0], abs=0.02)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_the_floor_gives_every_parameter_a_gradient(family: str) -> None:
    dataset = bench.datasets.load("digits")
    vae = VAE(_config(family), dataset.train.mean(0), [0])
    trainer = Trainer(vae, Given(2), Optimisation(), noise_seed=0)
    x = next(Batches(dataset, 20, [0], CPU))
    trainer.backward(x)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in vae.parameters() if p.requires_grad)
    assert trainer.estimator.draws[0].shape[0] == 2


def test_timing_reports_quartiles_of_interleaved_rounds() -> None:
    config = TimeConfig(optimisation=Optimisation(batch=20), rounds=5, warm_up=1)
    found = measure_time(_config(), estimators.get("disarm").create(samples=4), config, seed=0, device=CPU)
    assert found["rows"] == 4
    for part in ("step", "floor", "ratio"):
        assert 0 < found[part]["q25"] <= found[part]["median"] <= found[part]["q75"]
        assert found[part]["n"] == 5
    assert found["ratio"]["log_se"] > 0
    assert found["plain_ratio"]["log_se"] > 0


@pytest.mark.parametrize(
    ("load", "tries", "slept", "before", "after"),
    [
        (lambda slept, timed: 0.5, 1, 0, 0.5, 0.5),
        (lambda slept, timed: 2.0, 1, 0, 2.0, 2.0),  # two threads of ours on two cores
        (lambda slept, timed: 9.0 if slept < 10 else 0.5, 1, 10, 0.5, 0.5),
        (lambda slept, timed: 9.0 if timed == 1 and slept < 5 else 0.4, 2, 5, 0.4, 0.4),
        (lambda slept, timed: 0.3 if timed == slept // 5 else 9.0, 3, 10, 0.3, 9.0),  # whenever it is timed
        (lambda slept, timed: 9.0, 1, 30, 9.0, 9.0),  # never idle: no patience is left
    ],
)
def test_a_busy_machine_is_waited_for_and_timed_again(
    monkeypatch: pytest.MonkeyPatch,
    load: Callable[[float, int], float],
    tries: int,
    slept: float,
    before: float,
    after: float,
) -> None:
    """`load` is that of a machine of two cores, after so many seconds of sleep and so many timings."""
    naps, timed, patience = list[float](), list[object](), Patience(30.0)

    def timing(subjects: list[object], **settings: object) -> list[list[float]]:
        timed.append(subjects)
        return [[1.0] * 5 for _ in subjects]

    monkeypatch.setattr(os, "getloadavg", lambda: (load(sum(naps), len(timed)), 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(time, "sleep", naps.append)
    monkeypatch.setattr(time, "process_time", lambda: 1000.0)
    monkeypatch.setattr(wallclock, "PATIENCE", patience)
    monkeypatch.setattr(wallclock, "interleaved", timing)
    config = TimeConfig(optimisation=Optimisation(batch=20), rounds=5, warm_up=1)
    found = measure_time(_config(), estimators.get("disarm").create(samples=2), config, seed=0, device=CPU)
    assert (found["tries"], found["load_before"], found["load"][0]) == (tries, before, after)
    assert (len(timed), sum(naps), patience.spent) == (tries, slept, slept)


def test_nobody_waits_for_longer_than_they_have_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    naps, patience = list[float](), Patience(30.0)
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(time, "sleep", naps.append)
    for worked, slept in ((0.5, []), (7.5, [5.0, 2.5]), (8.0, [5.0, 2.5]), (1000.0, [5.0, 2.5, *4 * [5.0], 2.5])):
        monkeypatch.setattr(time, "process_time", lambda worked=worked: worked)
        patience.wait()
        assert naps == slept


def test_intensities_are_binarised_once_and_bits_stay() -> None:
    rows = torch.full((2000, 3), 0.25)
    drawn = binarised(rows)
    assert torch.equal(drawn, binarised(rows))
    assert drawn.mean().item() == pytest.approx(0.25, abs=0.02)
    bits: Tensor = bench.datasets.load("digits").train
    assert torch.equal(binarised(bits), bits)
    some = torch.linspace(0, 1, 15).reshape(5, 3).double()
    uniform = torch.rand(5, 3, generator=torch.Generator().manual_seed(0x7EB176D9))  # sha256 of "binarise"
    assert torch.equal(binarised(some), (uniform < some).double())


def test_a_subset_is_typical_of_its_split_and_always_the_same() -> None:
    rows = torch.arange(10_000.0)[:, None]  # sorted, as files often are
    chosen = subset(rows, 500)
    assert len(chosen.unique()) == len(chosen) == 500
    assert abs(chosen.mean() - rows.mean()) < 3 * rows.std() / 500**0.5
    assert torch.equal(chosen, subset(rows, 500))
    assert torch.equal(subset(rows, 10_000), rows)
    assert torch.equal(subset(rows, 20_000), rows)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0xBC51E9E6)).tolist()  # sha256 of "rows"
    assert subset(10 * torch.arange(12.0)[:, None], 5).flatten().tolist() == [10 * n for n in sorted(order[:5])]


@needs("mnist-static")
@pytest.mark.parametrize("count", [20, 500, 1000, 2000])
def test_a_subset_of_static_mnist_has_as_many_pixels_on_as_its_split(count: int) -> None:
    """Its first 500 test rows have 123.5 pixels on, all have 103.9."""
    dataset = bench.datasets.load_once("mnist-static")
    for split in (dataset.train, dataset.test):
        on = split.sum(1)
        assert abs(subset(split, count).sum(1).mean() - on.mean()) < 3 * on.std() / count**0.5


def test_the_gap_compares_like_with_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the splits hold the same rows, in an order that puts the dark ones first, there is no gap at all."""
    digits = bench.datasets.load("digits")
    rows = digits.train[digits.train.sum(1).argsort()]
    monkeypatch.setattr(problems, "load_once", lambda name: digits._replace(train=rows, test=rows))
    config = TrainConfig(optimisation=Optimisation(steps=20), seeds=2, evaluations=2, evaluation_rows=200)
    found = measure_training(_config(), estimators.get("rloo").create(), config, seed=1, device=CPU)
    final, curve = found["final"], found["curve"]
    assert final["train_elbo"] == final["test_elbo"]
    assert (curve["train_elbo"][-1], curve["test_elbo"][-1]) == (final["train_elbo"], final["test_elbo"])
    assert found["evaluated_rows"] == {"train": 200, "test": 200}


def _basket(**settings) -> BasketConfig:
    given = {
        "draws": 10,
        "rows": 5,
        "checkpoints": (0, 2),
        "reference": EstimatorConfig(name="rloo", samples=2),
        "reference_draws": 1000,
        "trajectory_seed": 3,
        "optimisation": Optimisation(batch=20, learning_rate=0.05),
    }
    return BasketConfig(**given | settings)


def test_the_fixed_minibatch_is_a_subset_of_the_train_split() -> None:
    (stop,) = travel(_config(), _basket(checkpoints=(0,), rows=20), CPU)
    assert torch.equal(stop.x[0], subset(bench.datasets.load("digits").train, 20))


def test_a_trajectory_is_the_training_of_its_seed_and_stops_where_it_says() -> None:
    """The same initial values, batches and noise as that seed's own training; a checkpoint is a copy."""
    digits = bench.datasets.load("digits")
    vae = VAE(_config(), digits.train.mean(0), [3])
    trainer = Trainer(vae, estimators.get("rloo").create(samples=2), _basket().optimisation, noise_seed=3)
    expected, batches = [], Batches(digits, 20, [3], CPU)
    for _ in range(6):
        expected.append([p.detach().clone() for p in vae.parameters()])
        trainer.step(next(batches))
    stops = list(travel(_config(), _basket(checkpoints=(5, 0, 2)), CPU))
    assert [stop.step for stop in stops] == [0, 2, 5]
    for stop in stops:
        for a, b in zip(stop.model.parameters(), expected[stop.step], strict=True):
            assert torch.equal(a, b)


def test_a_passenger_learns_on_the_way_at_its_own_rate_from_every_batch_and_moves_nothing() -> None:
    """By plain SGD; its loss is its distance from the mean of the batch, which it sees as its context."""
    digits = bench.datasets.load("digits")

    class Passenger(Estimator):
        def __init__(self, samples: int = 1) -> None:
            super().__init__(samples)
            self.own, self.noise = nn.Parameter(torch.tensor(2.0)), list[int]()

        def forward(self, q, f, *, generator=None, context=None) -> Estimate:
            self.noise.append(generator.initial_seed())
            value = f(sample(q, 1, generator), q).mean(0)
            return Estimate(value, value.detach(), (self.own - context.mean(-1)).square())

    settings = _basket(optimisation=Optimisation(batch=20, optimiser="sgd", learning_rate=0.05, own_learning_rate=0.1))
    alone, batches = list(travel(_config(), settings, CPU)), Batches(digits, 20, [3], CPU)
    passenger, own = Passenger(), 2.0
    for stop, other in zip(travel(_config(), settings, CPU, passenger), alone, strict=True):
        assert float(passenger.own.detach()) == pytest.approx(own, rel=1e-6)
        for a, b in zip(stop.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)
        for _ in range(2):
            own -= 0.1 * 2 * (own - float(next(batches).mean()))
    assert set(passenger.noise) == {0xDA8D8B74}  # sha256 of "passenger:3"


def test_a_trajectory_is_trained_again_for_any_other_setting_and_once_for_the_same() -> None:
    """What a process remembers of a problem's checkpoints is not taken for another's."""

    def elbos(problem: VAEConfig, config: BasketConfig) -> list[float]:
        found = measure_basket(problem, estimators.get("rloo").create(samples=2), config, seed=0, device=CPU)
        return [point["elbo"] for point in found["points"]]

    base, sgd = elbos(_config(), _basket()), {"optimiser": "sgd"}
    for problem, config, at in (
        (_config(signed_decoder_input=True), _basket(), 0),
        (_config(), _basket(trajectory_seed=4), 0),
        (_config(), _basket(rows=6), 0),
        (_config(), _basket(optimisation=Optimisation(batch=21, learning_rate=0.05)), 1),
        (_config(), _basket(optimisation=Optimisation(batch=20, learning_rate=0.04)), 1),
        (_config(), _basket(optimisation=Optimisation(batch=20, learning_rate=0.05, **sgd)), 1),
        (_config(), _basket(optimisation=Optimisation(batch=20, learning_rate=0.05, epsilon=0.5)), 1),
        (_config(), _basket(optimisation=Optimisation(batch=20, learning_rate=0.05, warm_up=9)), 1),
        (_config(), _basket(reference=EstimatorConfig(name="reinforce", samples=2)), 1),
        (_config(), _basket(reference=EstimatorConfig(name="rloo", samples=3)), 1),
        (_config(), _basket(checkpoints=(0, 1)), 1),
    ):
        assert elbos(problem, config)[at] != base[at]
    assert elbos(_config(), _basket()) == base
