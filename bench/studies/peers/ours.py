"""Our half: the steps that a run takes, with a registered estimator, and their floor."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import estimators
from bench import datasets
from bench.datasets import Dataset
from bench.measure.floor import floor_of
from bench.problems.vae_model import VAE
from bench.studies.peers.cases import BATCH, LEARNING_RATE, Comparison, Shape
from bench.training.batches import Batches
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators.base import Estimator

PIXEL_MEAN = 0.3
CPU = torch.device("cpu")


INFO = datasets.info("digits")
"""Of a data set that does not matter: what is trained on is invented."""


@lru_cache(maxsize=1)
def data(shape: Shape, binarised: bool) -> Dataset:
    """Train rows [N, X] that are gathered from: random bits, or random intensities, of the same mean."""
    uniform = torch.rand(shape.rows, shape.pixels, generator=torch.Generator().manual_seed(0))
    train = 2 * PIXEL_MEAN * uniform if binarised else (uniform < PIXEL_MEAN).float()
    return Dataset(shape.name, train, train[:0], train[:0], binarised, INFO)


def steps(comparison: Comparison, trainer: Trainer, compile: bool) -> Steps:
    """Training steps on batches of their own, as a run takes them; the one place where the study makes them.

    Raises:
        RuntimeError: they were to be compiled and were not.
    """
    trainer.optimisation = trainer.optimisation.model_copy(update={"compile": compile})
    batches = Batches(data(comparison.shape, comparison.binarised), BATCH, list(range(comparison.stacked)), CPU)
    steps = Steps(trainer, batches)
    steps.eager.run(1)  # in which a floor draws what it is given
    if steps.prepare().compiled != compile:
        raise RuntimeError(f"the step is not compiled: {steps.prepare().because}")
    return steps


def rows(comparison: Comparison) -> Tensor:
    """A batch [B, X] of random bits: the time of a step does not depend on the data."""
    noise = torch.rand(BATCH, comparison.shape.pixels, generator=torch.Generator().manual_seed(0))
    return (noise < PIXEL_MEAN).float()


def model(comparison: Comparison) -> VAE:
    """The shared VAE, with as many seeds stacked as the comparison asks for."""
    mean = torch.full((comparison.shape.pixels,), PIXEL_MEAN)
    return VAE(comparison.config(), mean, list(range(comparison.stacked)))


def stacked(comparison: Comparison, x: Tensor) -> Tensor:
    """The batch of every seed, [E, B, X]; here all seeds have the same rows."""
    return x.expand(comparison.stacked, *x.shape).contiguous()


def trainer(comparison: Comparison, estimator: Estimator, vae: VAE) -> Trainer:
    """A trainer as a run makes it."""
    pixels, initial = comparison.shape.pixels, torch.Generator().manual_seed(0)
    estimator.bind(stack=(vae.stack,), context_size=pixels, event=vae.event, generator=initial)
    return Trainer(vae, estimator, Optimisation(batch=BATCH, learning_rate=LEARNING_RATE), noise_seed=0)


def subject(comparison: Comparison, vae: VAE | None = None) -> Trainer:
    """The estimator that is compared."""
    options: dict[str, Any] = {"samples": comparison.samples, **comparison.options()}
    estimator = estimators.get(comparison.estimator).create(**options)
    return trainer(comparison, estimator, vae or model(comparison))


def floor(comparison: Comparison) -> Trainer:
    """The same model, optimiser and passes over the decoder, with samples and learning signal given."""
    made = subject(comparison)
    x = stacked(comparison, rows(comparison))
    return trainer(comparison, floor_of(made.estimator, made.model, x, comparison.samples), model(comparison))
