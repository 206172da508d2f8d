"""The step as one program: on the same noise it gives the numbers of the eager step, for every registered estimator."""

import os
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

import bench.datasets
import estimators
from bench.problems.vae import VAE
from bench.seeds import stream
from bench.training.batches import Batches
from bench.training.program_steps import ProgramSteps
from bench.training.settings import Optimisation
from bench.training.step_program import look_at
from bench.training.trainer import Trainer
from estimators import Estimator
from estimators.entry import Entry
from tests.bench.test_floor import CASES, bound_to

CPU = torch.device("cpu")
IDS = [f"{entry.name}-{family}" for entry, family in CASES]
DIGITS = bench.datasets.load("digits")
GREY = DIGITS._replace(train=0.5 * DIGITS.train, dynamic=True)


def training(
    entry: Entry | None = None,
    family: str = "bernoulli",
    *,
    own: Estimator | None = None,
    device: torch.device = CPU,
    batch: int = 500,
    **optimisation: object,
) -> tuple[Trainer, Batches]:
    """Two seeds on grey digits, drawn to bits anew for each batch: two batches a pass."""
    estimator, model, _ = bound_to(entry or estimators.get("rloo"), family)
    estimator = own or estimator
    vae = VAE(model.config, GREY.train.mean(0), [0, 1]).to(device)
    estimator.bind(stack=(2,), context_size=64, event=vae.event, generator=stream("own", 0)).to(device)
    settings = Optimisation.model_validate({"learning_rate": 0.1, "own_learning_rate": 0.1} | optimisation)
    return Trainer(vae, estimator, settings, noise_seed=0), Batches(GREY, batch, [0, 1], device)


def state(trainer: Trainer, batches: Batches) -> dict[str, Tensor]:
    """All that a step changes, but for what an optimiser keeps."""
    return {
        **{f"model.{name}": value.detach() for name, value in trainer.model.state_dict().items()},
        **{f"estimator.{name}": value.detach() for name, value in trainer.estimator.state_dict().items()},
        "steps": trainer.step_on_device,
        "diverged": trainer.diverged_at,
        "position": batches.position,
        "noise": trainer.generator.get_state(),
        **{f"binarisation.{i}": generator.get_state() for i, generator in enumerate(batches.noise)},
    }


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=2e-4, atol=2e-6, msg=lambda m, name=name: f"{name}: {m}")


COMPILE_ALL = "GRADEST_COMPILE_ALL" in os.environ


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traced operations one by one, since compiling all of them takes minutes; `tox -e programs` compiles them."""
    if not COMPILE_ALL:
        monkeypatch.setattr("bench.training.step_program.compiled", one_by_one)


def one_by_one(graph: GraphModule, tensors: Sequence[Tensor]) -> GraphModule:
    """The graph as it is, but for views: operations may leave numbers in another order than the trace supposed."""
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    graph.recompile()
    return graph


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("entry", "family"), CASES, ids=IDS)
def test_the_program_of_every_estimator_gives_the_eager_numbers_on_the_same_noise(entry: Entry, family: str) -> None:
    """By plain descent, which leaves rounding errors as small as they are; Adam divides them by what is near zero."""
    eager, fused = (training(entry, family, optimiser="sgd") for _ in range(2))
    program = ProgramSteps(*fused, look_at(*fused), capture=False)
    for _ in range(3):  # into the second pass
        trainer, batches = eager
        trainer.step(next(batches))
        program.run(1)
        assert_same(state(*fused), state(*eager))
    assert fused[0].steps == 3
