"""One training step, on the shapes of digits and of MNIST; the rows of a group share the model and the batch.

Timing decides no test: what is asserted here is only that the step ran. Data are random bits, since a step's cost
does not depend on them.
"""

import pytest
import torch
import torch.utils.benchmark
from pytest_benchmark.fixture import BenchmarkFixture

import estimators
from bench.measure.moments import probe
from bench.measure.floor import Given
from bench.problems.vae import VAE, VAEConfig
from bench.training import Optimisation, Trainer
from estimators import Estimator
from estimators.registry import Entry

BATCH = 100
ROUNDS, WARM_UP = 30, 5
SHAPES = {"digits": (64, 6), "mnist": (784, 200)}
CASES = [
    (entry, family, shape)
    for shape in SHAPES
    for entry in estimators.available(bound="elbo")
    for family in entry.families
    if not (entry.enumerates and shape == "mnist")
]
IDS = [f"{entry.name}-{family}-{shape}" for entry, family, shape in CASES]


def _trainer(estimator: Estimator, family: str, shape: str) -> tuple[Trainer, torch.Tensor]:
    pixels, latents = SHAPES[shape]
    size = {"latents": latents // 2, "categories": 4} if family == "categorical" else {"latents": latents}
    config = VAEConfig.model_validate({"kind": "vae", "dataset": shape, "family": family, **size})
    vae = VAE(config, torch.full((pixels,), 0.3), [0])
    estimator.bind(stack=(1,), context_size=pixels, event=vae.event, generator=torch.Generator().manual_seed(0))
    x = (torch.rand(1, BATCH, pixels, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    return Trainer(vae, estimator, Optimisation(), noise_seed=0), x


# The timer synchronises the device before it reads the clock.
@pytest.mark.benchmark(timer=torch.utils.benchmark.timer)
@pytest.mark.parametrize("floor", [False, True], ids=["step", "floor"])
@pytest.mark.parametrize(("entry", "family", "shape"), CASES, ids=IDS)
def test_step(benchmark: BenchmarkFixture, entry: Entry, family: str, shape: str, floor: bool) -> None:
    """Time one step, or its floor."""
    torch.set_num_threads(1)
    trainer, x = _trainer(entry.create(), family, shape)
    if floor:
        rows = probe(trainer.estimator, trainer.vae.encode(x), trainer.vae.objective(x), x).evaluations
        trainer, x = _trainer(Given(rows), family, shape)
    benchmark.group = f"{shape} {family} {entry.name}"
    benchmark.extra_info |= {"threads": torch.get_num_threads(), "batch": BATCH, "torch": torch.__version__}
    benchmark.pedantic(trainer.step, args=(x,), rounds=ROUNDS, warmup_rounds=WARM_UP)
    assert trainer.steps == ROUNDS + WARM_UP
