"""Captured steps: what can be told of them without a GPU, and what cannot."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

import bench.datasets
import estimators
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training.batches import Batches
from bench.training.capture import WARM_UP, EagerSteps, HostReads
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer
from estimators.distributions import from_parameters
from estimators.entry import Entry
from tests.bench.test_floor import CASES, bound_to

IDS = [f"{entry.name}-{family}" for entry, family in CASES]


@pytest.mark.parametrize(("entry", "family"), CASES, ids=IDS)
def test_no_step_reads_a_value_back(entry: Entry, family: str) -> None:
    """One that does cannot be captured, and makes a GPU wait for the host where it is not."""
    estimator, vae, x = bound_to(entry, family)
    trainer = Trainer(vae, estimator, Optimisation(), noise_seed=0)
    trainer.step(x)  # what is made once may be copied
    with HostReads() as reads:
        trainer.step(x)
    assert reads.found == []


@pytest.mark.parametrize(("entry", "family"), CASES, ids=IDS)
def test_no_step_copies_from_the_host(entry: Entry, family: str) -> None:
    """On torch's meta device, which holds no values, as on a GPU tensors of the CPU do not mix with the others."""
    estimator, vae, x = bound_to(entry, family)
    vae, estimator, x = vae.to("meta"), estimator.to("meta"), x.to("meta")

    def step() -> None:
        estimate = estimator(vae.encode(x), vae.objective(x), generator=torch.Generator(), context=x)
        total = estimate.surrogate.sum() + (0 if estimate.auxiliary is None else estimate.auxiliary.sum())
        torch.autograd.grad(total, list(vae.encoder.parameters()))

    step()
    with HostReads() as reads:
        step()
    assert reads.found == []


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "categorical"])
def test_the_analytic_entropy_reads_no_value_back(family: str) -> None:
    more = {"categories": 3} if family == "categorical" else {}
    config = VAEConfig(kind="vae", dataset="digits", family=family, latents=3, entropy="analytic", **more)
    trainer = Trainer(VAE(config, torch.full((16,), 0.3), [0]), estimators.get("rloo").create(), Optimisation(), 0)
    x = torch.ones(1, 4, 16)
    trainer.step(x)
    with HostReads() as reads:
        trainer.step(x)
    assert reads.found == []


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (lambda x: float(x.sum()), "_local_scalar_dense"),
        (lambda x: x[x > 0.5], "index"),
        (lambda x: (x > 0.5).nonzero(), "nonzero"),
        (lambda x: x.masked_select(x > 0.5), "masked_select"),
        (lambda x: torch.empty(5, device="meta")[torch.tensor([0, 1])], "copies indices to meta"),
    ],
)
def test_what_reads_a_value_back_is_named(broken, named: str) -> None:
    with HostReads() as reads:
        broken(torch.rand(5))
    assert reads.found
    assert named in reads.found[0]


def test_what_is_copied_to_the_device_is_named() -> None:
    with HostReads() as reads:
        torch.ones(2).to("meta")
        torch.ones(2).to(torch.float64)
    assert len(reads.found) == 1
    assert "copies between cpu and meta" in reads.found[0]


def test_on_the_cpu_steps_are_eager_and_say_so() -> None:
    dataset = bench.datasets.load("digits")
    config = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=3)
    trainers = []
    for _ in range(2):
        vae = VAE(config, dataset.train.mean(0), [0, 1])
        trainers.append(Trainer(vae, estimators.get("rloo").create(), Optimisation(), noise_seed=0))
    steps = EagerSteps(trainers[0], Batches(dataset, 10, [0, 1], torch.device("cpu")))
    assert steps.eager_because == "the device is cpu"
    batches = Batches(dataset, 10, [0, 1], torch.device("cpu"))
    for _ in range(5):
        steps.run(1)
        trainers[1].step(next(batches))
    assert trainers[0].steps == 5
    for a, b in zip(trainers[0].model.parameters(), trainers[1].model.parameters(), strict=True):
        assert torch.equal(a, b)


class Driven:
    """A trainer and batches on a device that is called cuda, which write down what they are told to do."""

    def __init__(self, reads_in: int = 0) -> None:
        self.log, self.steps, self.device, self.reads_in = list[str](), 0, torch.device("cuda"), reads_in

    def advance(self) -> None:
        self.log.append("advance")

    def gather(self) -> str:
        self.log.append("gather")
        return "rows"

    def step(self, rows: str) -> None:
        assert rows == "rows"
        self.log.append("step")
        self.steps += 1
        if self.steps == self.reads_in:
            float(torch.ones(()))

    def set_rates(self) -> None:
        self.log.append("rates")

    def replay(self) -> None:
        self.log.append("replay")


EAGER = ["advance", "gather", "step"]


@pytest.mark.parametrize(
    ("reads_in", "capture", "log", "because"),
    [
        (0, True, [*3 * EAGER, *2 * ["advance", "rates", "replay"]], None),
        (2, True, [*3 * EAGER, *2 * ["advance", "rates", "replay"]], None),  # what is read once may be a constant
        (3, True, 5 * EAGER, "aten._local_scalar_dense.default reads values back"),
        (0, False, 5 * EAGER, "not asked for"),
    ],
)
def test_three_steps_are_taken_to_warm_up_and_the_others_replayed_where_nothing_is_read_back(
    monkeypatch: pytest.MonkeyPatch, reads_in: int, capture: bool, log: list[str], because: str | None
) -> None:
    side = SimpleNamespace(wait_stream=lambda stream: None)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: side)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    driven = Driven(reads_in)
    steps = EagerSteps(driven, driven, capture=capture)
    monkeypatch.setattr(steps, "_capture", lambda: driven)
    for _ in range(5):
        steps.run(1)
    assert driven.log == log
    assert driven.steps == 5
    assert steps.eager_because == because
    assert (steps.graph is None) == (because is not None)


@pytest.mark.gpu
@pytest.mark.parametrize(("entry", "family"), CASES, ids=IDS)
def test_captured_steps_give_the_numbers_of_eager_ones(entry: Entry, family: str) -> None:
    dataset = bench.datasets.load("digits")
    dataset = dataset._replace(train=0.5 * dataset.train, dynamic=True)
    device = torch.device("cuda")
    ends = []
    for capture in (True, False):
        estimator, model, _ = bound_to(entry, family)
        vae = VAE(model.config, dataset.train.mean(0), [0, 1]).to(device)
        estimator.bind(stack=(2,), context_size=64, event=vae.event, generator=stream("own", 0)).to(device)
        trainer = Trainer(vae, estimator, Optimisation(), noise_seed=0)
        steps = EagerSteps(trainer, Batches(dataset, 500, [0, 1], device), capture=capture)
        for _ in range(WARM_UP + 6):  # beyond a pass of two batches
            steps.run(1)
        assert (steps.graph is not None) == capture, steps.eager_because
        assert trainer.steps == int(trainer.step_on_device) == WARM_UP + 6
        ends.append([p.detach() for p in trainer.parameters] + [*estimator.buffers()])
    for captured, eager in zip(*ends, strict=True):
        torch.testing.assert_close(captured, eager, rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
def test_a_seed_that_diverges_in_a_captured_step_is_marked() -> None:
    dataset = bench.datasets.load("digits")
    config = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=3)
    device = torch.device("cuda")
    vae = VAE(config, dataset.train.mean(0), [0, 1]).to(device)
    trainer = Trainer(vae, estimators.get("rloo").create(), Optimisation(), noise_seed=0)
    steps = EagerSteps(trainer, Batches(dataset, 100, [0, 1], device))
    for _ in range(WARM_UP + 2):
        steps.run(1)
    with torch.no_grad():
        vae.encoder[0].weight[1] = torch.nan
    for _ in range(3):
        steps.run(1)
    assert steps.graph is not None
    assert trainer.diverged_at.tolist() == [-1, WARM_UP + 3]


def test_categorical_latents_are_built_without_a_look_at_their_values() -> None:
    """torch's own constructor validates logits whatever it is told, which reads them back."""
    with HostReads() as reads:
        q = from_parameters("categorical", torch.randn(2, 3, 4))
    assert reads.found == []
    torch.testing.assert_close(q.logits.exp().sum(-1), torch.ones(2, 3))
    assert (q.batch_shape, q.event_shape) == ((2, 3), (4,))
    assert q.expand((5, 2, 3)).logits.shape == (5, 2, 3, 4)
    with HostReads() as reads:
        torch.distributions.OneHotCategorical(logits=torch.randn(2, 3, 4), validate_args=False)
    assert reads.found, "torch no longer looks: from_parameters can use its constructor"
