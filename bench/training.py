"""Training of E stacked seeds: the batches that a seed owns, one optimiser step, the ELBO that it reaches."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution

from bench.config import Config
from bench.datasets import Dataset
from bench.memory import keep_freed_memory
from bench.problems.vae import VAE
from bench.seeds import stream
from estimators.base import Estimator
from estimators.call import trusted
from estimators.distributions import below, log_prob, sample

EVALUATION_ROWS = 2**15
"""Rows of the decoder evaluated at once."""


class Optimisation(Config):
    """How a model is trained."""

    steps: Annotated[int, Field(ge=1)] = 1000
    batch: Annotated[int, Field(ge=1)] = 50
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    own_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Rate of the estimator's own parameters."""


def make_optimiser(optimisation: Optimisation, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser over parameter groups that carry their own rates."""
    if optimisation.optimiser == "sgd":
        return torch.optim.SGD(groups, fused=True)
    # Without `capturable` it refuses to take part in a captured step.
    on_gpu = any(p.is_cuda for group in groups for p in group["params"])
    return torch.optim.Adam(groups, fused=True, capturable=on_gpu)


class Batches:
    """Endless minibatches [E, size, X] in {0, 1}, from data that stay on the device.

    Each seed draws its own order and, for a dynamic data set, its own binarisation, from generators of its own: they
    are the same for every estimator and in every stack. The last rows that fill no batch wait for the next pass.

    A batch is made in two halves, so that the second can be captured: `advance`, on the host, shuffles where a pass
    begins; `gather`, on the device alone, takes the rows at a position that it moves on.

    Raises:
        ValueError: a batch larger than the train split.
    """

    def __init__(self, dataset: Dataset, size: int, seeds: Sequence[int], device: torch.device) -> None:
        self.count = len(dataset.train)
        if size > self.count:
            raise ValueError(f"batch = {size} is larger than the train split of {dataset.name}, {self.count} rows")
        self.train, self.dynamic = dataset.train.to(device), dataset.dynamic
        self.orders = [stream("data", seed) for seed in seeds]
        self.noise = [stream("binarisation", seed, device=device) for seed in seeds if dataset.dynamic]
        self.order = torch.zeros(len(seeds), self.count, dtype=torch.long, device=device)
        self.columns = torch.arange(size, device=device)
        self.position = torch.zeros((), dtype=torch.long, device=device)
        self.left = 0

    def advance(self) -> None:
        """Make ready for the next `gather`."""
        if self.left == 0:
            self.order.copy_(torch.stack([torch.randperm(self.count, generator=g) for g in self.orders]))
            self.position.zero_()
            self.left = self.count // len(self.columns)
        self.left -= 1

    def gather(self) -> Tensor:
        """The batch at the position, which moves on."""
        x = self.train[self.order.index_select(1, self.columns + self.position)]
        self.position += len(self.columns)
        if not self.dynamic:
            return x
        noise = [torch.rand(x.shape[1:], generator=g, dtype=x.dtype, device=x.device) for g in self.noise]
        return below(torch.stack(noise), x)

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        self.advance()
        return self.gather()


def subset(rows: Tensor, count: int) -> Tensor:
    """`count` of the rows [N, X], drawn once with a fixed seed and in their order; all of them where there are no more.

    Not the first: files are often sorted, and the first 500 test rows of static MNIST have 123 pixels on where all have
    104. The draw is the same for every estimator and seed, so that comparisons pair.
    """
    if count >= len(rows):
        return rows
    return rows[torch.randperm(len(rows), generator=stream("rows"))[:count].sort().values]


def binarised(rows: Tensor) -> Tensor:
    """Rows drawn once from intensities, with a fixed seed; binary rows stay as they are."""
    return below(torch.rand(rows.shape, generator=stream("binarise")), rows).to(rows.dtype)


class Trainer:
    """A model, its estimator and an optimiser, one step at a time.

    Args:
        vae: E stacked models.
        estimator: bound to the same stack.
        optimisation: the optimiser's settings.
        noise_seed: of the estimator's noise, shared by the stack.
    """

    def __init__(self, vae: VAE, estimator: Estimator, optimisation: Optimisation, noise_seed: int) -> None:
        keep_freed_memory()
        self.vae, self.estimator = vae.train(), estimator.train()
        weights = [p for p in vae.parameters() if p.requires_grad]
        groups = [{"params": weights, "lr": optimisation.learning_rate}]
        if own := [p for p in estimator.parameters() if p.requires_grad]:
            groups.append({"params": own, "lr": optimisation.own_learning_rate})
        self.parameters = weights + own
        self.optimiser = make_optimiser(optimisation, groups)
        self.device = weights[0].device
        self.generator = stream("noise", noise_seed, device=self.device)
        self.steps = 0
        self.step_on_device = torch.zeros((), dtype=torch.long, device=self.device)
        self.diverged_at = torch.full((vae.stack,), -1, device=self.device)

    def backward(self, x: Tensor) -> Tensor:
        """Gradients of every parameter for the rows x [E, B, X]; returns each seed's loss [E]."""
        q = self.vae.encode(x)
        with trusted():  # f is ours, and stays the same from step to step
            estimate = self.estimator(q, self.vae.objective(x), generator=self.generator, context=x)
        loss: Tensor = estimate.value
        surrogate: Tensor = estimate.surrogate
        if (closed := self.vae.closed_form(q)) is not None:
            loss, surrogate = loss + closed.detach(), surrogate + closed
        # Mean over rows, sum over seeds: the seeds share no parameter, and so train as if alone.
        total = surrogate.mean(-1).sum()
        if estimate.auxiliary is not None:
            total = total + estimate.auxiliary.mean(-1).sum()
        self.optimiser.zero_grad()
        # Towards what is optimised alone, and not to a draw at which f was differentiated before.
        total.backward(inputs=self.parameters)
        return loss.mean(-1)

    def step(self, x: Tensor) -> None:
        """One optimiser step on the rows x [E, B, X]; a seed whose loss is not finite is marked diverged."""
        self.device_step(x)
        self.steps += 1

    def device_step(self, x: Tensor) -> None:
        """What of a step takes place on the device; nothing of it waits for a value."""
        loss = self.backward(x)
        self.optimiser.step()
        self.step_on_device += 1
        self.mark_diverged(loss)

    def mark_diverged(self, values: Tensor) -> None:
        """Note the present step for the seeds whose value [E] is not finite, unless they had diverged before."""
        fresh = (values - values != 0) & (self.diverged_at < 0)  # neither infinity nor NaN is 0 less itself
        self.diverged_at.copy_(torch.where(fresh, self.step_on_device, self.diverged_at))


@torch.no_grad()
def evaluate(vae: VAE, rows: Tensor, *, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bounds on log p(x) in nats a row, averaged over the rows: each [E].

    Args:
        vae: E stacked models.
        rows: [N, X] in {0, 1}, the same for all seeds.
        samples: K, draws of z a row.
        seed: of the draws.

    Returns:
        The ELBO, from the closed-form KL and the mean over K draws of log p(x|z), or for two layers the mean log weight
        of K draws, and the K-sample importance-weighted bound from the same draws.
    """
    generator = stream("evaluate", seed, device=rows.device)
    elbo = iwae = torch.zeros(vae.stack, dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, max(1, EVALUATION_ROWS // (samples * vae.stack))):
        x = part.expand(vae.stack, *part.shape)
        if vae.config.stochastic_layers == 1:
            q: Distribution = vae.encode(x)
            z = sample(q, samples, generator)
            log_likelihood = vae.log_likelihood(x, z)  # K x E x n
            log_weights = log_likelihood + log_prob(vae.prior(), z) - log_prob(q, z)
            integrand = log_likelihood.mean(0) - vae.kl(q)
        else:
            log_weights = vae.log_weights(x, samples, generator)
            integrand = log_weights.mean(0)
        elbo = elbo + integrand.double().sum(-1)
        iwae = iwae + (log_weights.logsumexp(0) - math.log(samples)).double().sum(-1)
    return elbo / len(rows), iwae / len(rows)
