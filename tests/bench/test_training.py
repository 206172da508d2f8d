"""Training: stacked seeds are single seeds, a NaN stays in its own, evaluation is right."""

import copy
import itertools
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import bench.datasets
import estimators
from bench.config import EstimatorConfig
from bench.load import Patience
from bench.measure import elbo, wallclock
from bench.measure.basket import BasketConfig, travel
from bench.measure.elbo import TrainConfig, measure_training
from bench.measure.floor import Given
from bench.measure.wallclock import TimeConfig, measure_time
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training import Batches, Optimisation, Trainer, binarised, evaluate, subset
from estimators import Estimate, Estimator
from estimators.distributions import log_prob
from estimators.exact import expectation, states
from estimators.network import Network
from tests.bench.test_datasets import needs

CPU = torch.device("cpu")


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
    together = _train([0, 1, 2], estimators.get("exact").create(), config=config).vae
    for index, seed in enumerate([0, 1, 2]):
        alone = _train([seed], estimators.get("exact").create(), config=config).vae
        for (name, a), b in zip(alone.named_parameters(), together.parameters(), strict=True):
            own = b[:, index] if name == "prior_parameters" else b[index]
            torch.testing.assert_close(a.reshape(own.shape), own, rtol=1e-9, atol=1e-12)


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
        alone.generator = generator
        alone.backward(x[index : index + 1])
        for a, b in zip(alone.vae.encoder.parameters(), together.vae.encoder.parameters(), strict=True):
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
            patch.setattr(sys.modules[type(estimator).__module__], "normal", lambda *_: noise.repeat(1, 1, times, 1))
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
    for a, b in zip(slow.trainer.vae.parameters(), fast.trainer.vae.parameters(), strict=True):
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
    for a, b in zip(clean.vae.encoder.parameters(), poisoned.vae.encoder.parameters(), strict=True):
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


def test_a_subset_is_typical_of_its_split_and_always_the_same() -> None:
    rows = torch.arange(10_000.0)[:, None]  # sorted, as files often are
    chosen = subset(rows, 500)
    assert len(chosen.unique()) == len(chosen) == 500
    assert abs(chosen.mean() - rows.mean()) < 3 * rows.std() / 500**0.5
    assert torch.equal(chosen, subset(rows, 500))
    assert torch.equal(subset(rows, 10_000), rows)
    assert torch.equal(subset(rows, 20_000), rows)


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
    monkeypatch.setattr(elbo, "load_once", lambda name: digits._replace(train=rows, test=rows))
    config = TrainConfig(optimisation=Optimisation(steps=20), seeds=2, evaluations=2, evaluation_rows=200)
    found = measure_training(_config(), estimators.get("rloo").create(), config, seed=1, device=CPU)
    final, curve = found["final"], found["curve"]
    assert final["train_elbo"] == final["test_elbo"]
    assert (curve["train_elbo"][-1], curve["test_elbo"][-1]) == (final["train_elbo"], final["test_elbo"])
    assert found["evaluated_rows"] == {"train": 200, "test": 200}


def test_the_fixed_minibatch_is_a_subset_of_the_train_split() -> None:
    optimisation = Optimisation()
    reference = EstimatorConfig(name="rloo")
    config = BasketConfig(draws=10, rows=20, checkpoints=(0,), reference=reference, reference_draws=1000,
                          trajectory_seed=0, optimisation=optimisation)  # fmt: skip
    (stop,) = travel(_config(), config, CPU)
    assert torch.equal(stop.x[0], subset(bench.datasets.load("digits").train, 20))
