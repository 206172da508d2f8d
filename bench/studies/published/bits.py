"""`OneBit` and `ManyBits`: quadratics of bits, the logits the parameters."""

import math
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from bench.measure.exact import NotExact, exact_moments
from bench.measure.moments import gradient_moments
from bench.published.judge import Number
from bench.published.protocols import ManyBits, OneBit
from bench.studies.published.measure import ONE_ERROR, Numbers, measure, scatter
from estimators.base import Objective
from estimators.registry import create

OF_A_COLUMN, OF_MANY = 20_000, 400_000
"""Draws, where there is no integral: at each of a figure's columns, and of a gradient of many bits."""


def of_columns(protocol: OneBit) -> tuple[Distribution, Objective]:
    """q with a row a column, and f."""
    away = torch.arange(protocol.columns, dtype=torch.float64) - (protocol.columns - 1) / 2
    chances = protocol.chance + protocol.column * away

    def f(z: Tensor, q: Distribution) -> Tensor:
        return (z - protocol.target).square().sum(-1)

    return Bernoulli(logits=chances.logit()[:, None]), f


def sampled(protocol: OneBit, label: str) -> Number:
    """The variance, mean over columns, with its standard error."""
    q, f = of_columns(protocol)
    estimator = create(label, samples=protocol.evaluations)
    total = gradient_moments(estimator, q, f, draws=OF_A_COLUMN, warm_up=0, level=ONE_ERROR).total
    mean, low, high = (end / protocol.columns for end in total)
    return Number(mean, 0.0, (high - low) / 2, OF_A_COLUMN)


@measure.register
def _(protocol: OneBit, label: str) -> Numbers:
    q, f = of_columns(protocol)
    try:
        found = exact_moments(create(label, samples=protocol.evaluations), q, f)
    except NotExact:
        return {"variance": sampled(protocol, label)}
    mean = found.total / protocol.columns
    return {"variance": Number(mean, found.tolerance * mean)}


@scatter.register
def _(protocol: OneBit, label: str, draws: int) -> Mapping[str, float]:
    found = sampled(protocol, label)
    assert found.standard_error is not None
    return {"variance": found.standard_error * math.sqrt(OF_A_COLUMN * protocol.columns / draws)}


@cache
def of_many(protocol: ManyBits, label: str) -> Number:
    """Variance of the gradient of many bits, mean over coordinates, as the estimator starts."""

    def f(z: Tensor, q: Distribution) -> Tensor:
        return (z - protocol.target).square().mean(-1)

    q = Bernoulli(logits=torch.full((1, protocol.latents), protocol.logit, dtype=torch.float64))
    estimator = create(label, samples=protocol.evaluations, like=q)
    total = gradient_moments(estimator, q, f, draws=OF_MANY, warm_up=0, level=ONE_ERROR).total
    mean, low, high = (end / protocol.latents for end in total)
    return Number(mean, 0.0, (high - low) / 2, OF_MANY)


@measure.register
def _(protocol: ManyBits, label: str) -> Numbers:
    return {"variance": of_many(protocol, label)}


@scatter.register
def _(protocol: ManyBits, label: str, draws: int) -> Mapping[str, float]:
    found = of_many(protocol, label)
    assert found.standard_error is not None
    return {"variance": found.standard_error * math.sqrt(found.n / draws)}
