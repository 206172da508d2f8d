"""Training: stacked seeds are single seeds, a NaN stays in its own, evaluation is right."""

import itertools

import pytest
import torch
from torch import Tensor

import bench.datasets
import estimators
from bench.measure.elbo import TrainConfig, measure_training
from bench.measure.wallclock import Given, TimeConfig, measure_time
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training import Optimisation, Trainer, batches, binarised, evaluate
from estimators import Estimate, Estimator
from estimators.distributions import log_prob
from estimators.exact import expectation, states

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
    for x in itertools.islice(batches(dataset, 20, seeds, CPU), steps):
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
    x = next(batches(dataset, 20, [0, 1], CPU))

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
        alone = list(itertools.islice(batches(dataset, 500, [4], CPU), 5))
        stacked = list(itertools.islice(batches(dataset, 500, [9, 4], CPU), 5))
        for a, b in zip(alone, stacked, strict=True):
            assert torch.equal(a[0], b[1])
            assert not torch.equal(a[0], b[0])
            assert set(a.unique().tolist()) == {0.0, 1.0}
    first, *_, later = itertools.islice(batches(digits, 500, [4], CPU), 3)
    assert not torch.equal(first, later), "the next pass has the order of the first"


def test_every_row_is_seen_once_a_pass() -> None:
    dataset = bench.datasets.load("digits")
    numbered = dataset._replace(train=torch.arange(12.0)[:, None])
    passes = list(itertools.islice(batches(numbered, 4, [0], CPU), 6))
    for start in (0, 3):
        assert sorted(torch.cat(passes[start : start + 3], 1).flatten().tolist()) == list(range(12))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="batch = 2000 is larger than the train split of digits, 1285 rows"):
        next(batches(bench.datasets.load("digits"), 2000, [0], CPU))


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
    x = next(batches(dataset, 20, [0], CPU))
    trainer.backward(x)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in vae.parameters() if p.requires_grad)
    assert trainer.estimator.z.shape[0] == 2


def test_timing_reports_quartiles_of_interleaved_rounds() -> None:
    config = TimeConfig(optimisation=Optimisation(batch=20), rounds=5, warm_up=1)
    found = measure_time(_config(), estimators.get("disarm").create(samples=4), config, seed=0, device=CPU)
    assert found["rows"] == 4
    for part in ("step", "floor", "ratio"):
        assert 0 < found[part]["q25"] <= found[part]["median"] <= found[part]["q75"]
        assert found[part]["n"] == 5


def test_intensities_are_binarised_once_and_bits_stay() -> None:
    rows = torch.full((2000, 3), 0.25)
    drawn = binarised(rows)
    assert torch.equal(drawn, binarised(rows))
    assert drawn.mean().item() == pytest.approx(0.25, abs=0.02)
    bits: Tensor = bench.datasets.load("digits").train
    assert torch.equal(binarised(bits), bits)
