"""`CategoricalDescent`: Adam on categorical latents, each of which is trained apart from the others."""

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor
from torch.distributions import Distribution, OneHotCategorical

from bench.published.judge import Number
from bench.published.protocols import CategoricalDescent
from bench.studies.published.measure import Numbers, measure, scatter
from estimators.call import trusted
from estimators.registry import create

POWERS = (1.5, 2.0, 3.0)
"""All are trained side by side, where one is asked for: a step of three costs little more than one of one."""


def values(protocol: CategoricalDescent) -> Tensor:
    """Of the classes, [C]; drawn in single precision, as the authors do, and kept in double."""
    if protocol.embedding == "integers":
        return torch.linspace(0, 1, protocol.classes, dtype=torch.float64)
    drawn = torch.randn(protocol.classes, generator=torch.Generator().manual_seed(0))
    return ((drawn - drawn.min()) / (drawn.max() - drawn.min())).double()


class Descents:
    """The descents of all powers, made as far as their losses are asked for.

    As many latents are trained as the protocol has. Adam goes coordinate by coordinate and the loss is a mean over
    latents, so that these are independent draws of one path, by whose spread both our number and the published one,
    the means over latents, are known.

    Args:
        protocol: its power and epoch are not read.
        label: our estimator.
    """

    def __init__(self, protocol: CategoricalDescent, label: str) -> None:
        self.protocol, self.estimator = protocol, create(label, samples=protocol.draws)
        self.values, self.powers = values(protocol), torch.tensor(POWERS, dtype=torch.float64).view(-1, 1, 1)
        self.generator = torch.Generator().manual_seed(0)
        start = torch.rand(len(POWERS), protocol.latents, 1, protocol.classes, generator=self.generator)
        self.logits = ((2 * start.double() - 1) * protocol.reach).requires_grad_()  # P x n x 1 x C
        self.adam = torch.optim.Adam([self.logits], lr=protocol.learning_rate)
        self.epochs: list[Tensor] = []

    def f(self, z: Tensor, q: Distribution) -> Tensor:
        """The cost, [S, P, n]."""
        return (z @ self.values - self.protocol.target).abs().pow(self.powers).sum(-1)

    def losses(self, epoch: int) -> Tensor:
        """Mean loss of each latent over the steps of an epoch, [P, n]."""
        while len(self.epochs) < epoch:
            total = torch.zeros(self.logits.shape[:2], dtype=torch.float64)
            for _ in range(self.protocol.steps):
                with trusted():  # f is our own, and needs no look in every step
                    found = self.estimator(OneHotCategorical(logits=self.logits), self.f, generator=self.generator)
                self.adam.zero_grad()
                (found.surrogate.sum() / self.protocol.latents).backward()
                self.adam.step()
                total += found.value
            self.epochs.append(total / self.protocol.steps)
        return self.epochs[epoch - 1]


@cache
def descents(protocol: CategoricalDescent, label: str) -> Descents:
    """The descents of all cells that differ in power and epoch alone."""
    return Descents(protocol, label)


def losses(protocol: CategoricalDescent, label: str) -> Tensor:
    """Of each latent, [n].

    Raises:
        ValueError: it is of a power that is not trained here.
    """
    if protocol.power not in POWERS:
        raise ValueError(f"power must be one of {POWERS}, got {protocol.power:g}: add it to those")
    shared = protocol.model_copy(update={"power": POWERS[0], "epoch": 1})
    return descents(shared, label).losses(protocol.epoch)[POWERS.index(protocol.power)]


@measure.register
def _(protocol: CategoricalDescent, label: str) -> Numbers:
    found = losses(protocol, label)
    return {"loss": Number(float(found.mean()), 0.0, float(found.std()) / math.sqrt(len(found)), len(found))}


@scatter.register
def _(protocol: CategoricalDescent, label: str, draws: int) -> Mapping[str, float]:
    return {"loss": float(losses(protocol, label).std()) / math.sqrt(draws)}
